import type { Moment } from "./rollout.js";
import { CENTRE_V, GOAL, PUSHER_RADIUS, WORLD } from "./shape.js";

/** Colours that people of every colour vision tell apart (Okabe and Ito 2008). */
export const COLOURS = {
  floor: "#ffffff",
  wall: "#444444",
  goal: "#9fd9c4",
  block: "#5b6b82",
  pusher: "#0072B2",
  plan: "#D55E00",
} as const;

/** Outline of the T in its own coordinates. */
export const OUTLINE: readonly (readonly [number, number])[] = [
  [-60, 0],
  [60, 0],
  [60, 30],
  [15, 30],
  [15, 120],
  [-15, 120],
  [-15, 30],
  [-60, 30],
];

const POINTS = OUTLINE.map((point) => point.join(",")).join(" ");

/** Transform of the T at a pose, for SVG. */
export function poseOf(x: number, y: number, angle: number): string {
  return `translate(${x.toFixed(2)} ${y.toFixed(2)}) rotate(${((angle * 180) / Math.PI).toFixed(2)})`;
}

/** What does not move. */
export const STAGE =
  `<rect width="${WORLD}" height="${WORLD}" fill="${COLOURS.floor}"/>` +
  `<polygon points="${POINTS}" transform="${poseOf(...GOAL)}" fill="${COLOURS.goal}"/>` +
  `<rect x="5" y="5" width="501" height="501" fill="none" stroke="${COLOURS.wall}" stroke-width="4"/>`;

export const BLOCK = `<polygon points="${POINTS}" fill="${COLOURS.block}" fill-opacity=".85"/><circle cy="${CENTRE_V}" r="3" fill="white"/>`;

/** One moment of an episode as the content of an SVG of 512 x 512. */
export function sceneSvg({ state, planned }: Pick<Moment, "state" | "planned">): string {
  const [px, py, bx, by, angle] = state as unknown as readonly [number, number, number, number, number];
  return (
    STAGE +
    `<g transform="${poseOf(bx, by, angle)}">${BLOCK}</g>` +
    (planned ? planSvg(planned) : "") +
    `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="${PUSHER_RADIUS}" fill="${COLOURS.pusher}"/>`
  );
}

function planSvg(planned: Float64Array): string {
  const points = Array.from({ length: planned.length / 2 }, (_, i) => [planned[2 * i]!, planned[2 * i + 1]!] as const);
  return points
    .map(([x, y]) => `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4" fill="${COLOURS.plan}"/>`)
    .join("");
}

/** A row of moments with a caption under each, as one SVG. */
export function filmstrip(frames: readonly { moment: Pick<Moment, "state" | "planned">; caption: string }[]): string {
  const size = 150;
  const gap = 10;
  const width = frames.length * (size + gap) - gap;
  const cells = frames.map(({ moment, caption }, i) => {
    const scene = `<svg width="${size}" height="${size}" viewBox="0 0 ${WORLD} ${WORLD}">${sceneSvg(moment)}</svg>`;
    const text = `<text x="${size / 2}" y="${size + 16}" font-size="12" text-anchor="middle" font-family="Helvetica, Arial, sans-serif" fill="#1a1a1a">${caption}</text>`;
    return `<g transform="translate(${i * (size + gap)} 0)">${scene}${text}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${size + 24}" viewBox="0 0 ${width} ${size + 24}">${cells.join("")}</svg>`;
}
