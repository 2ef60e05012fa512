/**
 * The T in its own coordinates (u, v): the origin is the middle of the bar's outer long edge, v leads down the stem. All
 * lengths in px. A pose puts it at x + u cos a - v sin a, y + u sin a + v cos a.
 */

/** Side of the square world; x leads right, y down, and a positive angle turns x towards y. */
export const WORLD = 512;
export const PUSHER_RADIUS = 15;

/** Bar and stem as [left, top, right, bottom]; they share an edge and do not overlap. */
export const RECTANGLES: readonly (readonly [number, number, number, number])[] = [
  [-60, 0, 60, 30],
  [-15, 30, 15, 120],
];
/** The point the block turns about: the mean of both centres, not the centre of the area. */
export const CENTRE_V = 45;
export const AREA = 6300;

/** Where the T should be: x, y, angle. */
export const GOAL = [256, 256, Math.PI / 4] as const;

/** Corners of both rectangles: bar, then stem, as gym-pusht orders them. */
export const CORNERS: readonly (readonly [number, number])[] = RECTANGLES.flatMap(([left, top, right, bottom]) => [
  [left, top] as const,
  [right, top] as const,
  [right, bottom] as const,
  [left, bottom] as const,
]);

/** The nine points of the Diffusion Policy keypoint task, recovered from its data to 1e-5. */
export const KEYPOINTS: readonly (readonly [number, number])[] = [
  [9.26979, 90.04097],
  [-60.98347, -1.18673],
  [60.91276, -1.39336],
  [-0.2705, 25.54363],
  [-14.06493, 122.81585],
  [39.00274, 32.8574],
  [-39.96641, 32.72966],
  [-16.82434, 62.86318],
  [23.54146, -1.70029],
];

const [GOAL_COS, GOAL_SIN] = [Math.cos(GOAL[2]), Math.sin(GOAL[2])];

/**
 * Share of the goal that the T covers at a pose, in [0, 1]: the exact area of the polygons' intersection over the area of
 * the T. Both are cut into their rectangles, and a rectangle of the goal is upright in the goal's own coordinates.
 */
export function coverageOf(x: number, y: number, angle: number): number {
  // the block's pose in the coordinates of the goal
  const dx = x - GOAL[0];
  const dy = y - GOAL[1];
  const u = dx * GOAL_COS + dy * GOAL_SIN;
  const v = dy * GOAL_COS - dx * GOAL_SIN;
  const cos = Math.cos(angle - GOAL[2]);
  const sin = Math.sin(angle - GOAL[2]);
  let area = 0;
  for (let block = 0; block < 2; block++) {
    for (let goal = 0; goal < 2; goal++) area += overlapArea(u, v, cos, sin, block, RECTANGLES[goal]!);
  }
  return Math.min(1, area / AREA);
}

// Convex clipping of four corners by four lines makes at most eight: Sutherland and Hodgman 1974.
let polygon = new Float64Array(16);
let clipped = new Float64Array(16);

function overlapArea(
  u: number,
  v: number,
  cos: number,
  sin: number,
  block: number,
  [left, top, right, bottom]: readonly [number, number, number, number],
): number {
  for (let i = 0; i < 4; i++) {
    const [p, q] = CORNERS[4 * block + i]!;
    polygon[2 * i] = u + p * cos - q * sin;
    polygon[2 * i + 1] = v + p * sin + q * cos;
  }
  let corners = clip(4, 0, 1, left);
  corners = clip(corners, 0, -1, -right);
  corners = clip(corners, 1, 1, top);
  corners = clip(corners, 1, -1, -bottom);
  let twice = 0;
  for (let i = 0, j = corners - 1; i < corners; j = i++) {
    twice += polygon[2 * j]! * polygon[2 * i + 1]! - polygon[2 * i]! * polygon[2 * j + 1]!;
  }
  return twice / 2;
}

/** Keeps the part of `polygon` with sign * coordinate >= least; returns its corners. */
function clip(corners: number, axis: 0 | 1, sign: 1 | -1, least: number): number {
  let kept = 0;
  for (let i = 0, j = corners - 1; i < corners; j = i++) {
    const from = sign * polygon[2 * j + axis]! - least;
    const to = sign * polygon[2 * i + axis]! - least;
    if (from >= 0 !== to >= 0) {
      const share = from / (from - to);
      clipped[2 * kept] = polygon[2 * j]! + share * (polygon[2 * i]! - polygon[2 * j]!);
      clipped[2 * kept + 1] = polygon[2 * j + 1]! + share * (polygon[2 * i + 1]! - polygon[2 * j + 1]!);
      kept++;
    }
    if (to >= 0) {
      clipped[2 * kept] = polygon[2 * i]!;
      clipped[2 * kept + 1] = polygon[2 * i + 1]!;
      kept++;
    }
  }
  [polygon, clipped] = [clipped, polygon];
  return kept;
}
