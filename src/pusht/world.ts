import { Broadphase } from "./broadphase.js";
import { CENTRE_V, CORNERS, PUSHER_RADIUS, RECTANGLES } from "./shape.js";

/** Duration of one step of the physics, seconds. */
export const PHYSICS_STEP = 0.01;

const MASS_INVERSE = 1;
const MOMENT_INVERSE = 1 / 3000;
const ITERATIONS = 10;
/** Overlap that is left alone, px. */
const SLOP = 0.1;
/** Share of the rest that one step removes. */
const CORRECTION = 1 - ((1 - 0.1) ** 60) ** PHYSICS_STEP;
/** Steps for which a contact that ended is remembered. */
const PERSISTENCE = 3;

const WALL_RADIUS = 2;
/** Walls as [ax, ay, bx, by]. */
const WALLS: readonly (readonly [number, number, number, number])[] = [
  [5, 506, 5, 5],
  [5, 5, 506, 5],
  [506, 5, 506, 506],
  [5, 506, 506, 506],
];
/** Shapes by number: the walls, the pusher, and the parts of the block. */
const PUSHER = WALLS.length;
const BLOCK = PUSHER + 1;
/** The order in which boxes of moving shapes are looked at: of the engine's hash table of five places. */
const RENEWAL = [1, 2, 0] as const;
/** Where pusher and block are before anything is placed: it decides the first order of contacts. */
const PARKED = { pusher: [256, 400], block: [256, 300] } as const;

/** A point where the block touches something, and the impulses that keep them apart. */
class Contact {
  /** Which features touch: the same key in the next step is the same contact. */
  key = -1;
  /** Unit normal towards the block. */
  nx = 0;
  ny = 0;
  /** The point on the block, from its centre of mass. */
  rx = 0;
  ry = 0;
  /** Velocity of what the block touches, along the normal. */
  push = 0;
  /** Effective mass along the normal. */
  mass = 0;
  /** Speed along the normal that removes the overlap. */
  bias = 0;
  biasImpulse = 0;
  impulse = 0;
  /** r x n */
  lever = 0;
  /** Whether the pair touched in the step before. */
  lasting = false;
}

/** What the block may touch: a pair of shapes and their contacts, remembered over the steps. */
class Pair {
  readonly contacts = [new Contact(), new Contact()] as const;
  count = 0;
  /** The last step in which they touched. */
  stamp = Number.NEGATIVE_INFINITY;
}

/**
 * The physics of PushT: a circular pusher that is moved from outside, and a T that it pushes inside four walls without
 * friction; nothing coasts. The semantics are those of the Chipmunk 7 engine: contacts with remembered impulses, ten rounds of
 * sequential impulses in the engine's order, overlap removed by velocities of their own that act in the next step only.
 */
export class World {
  pusherX = 0;
  pusherY = 0;
  pusherVx = 0;
  pusherVy = 0;
  angle = 0;
  /** Contact points of the last step. */
  contacts = 0;
  /** Centre of mass. */
  #x = 0;
  #y = 0;
  #vx = 0;
  #vy = 0;
  #w = 0;
  #biasVx = 0;
  #biasVy = 0;
  #biasW = 0;
  #stamp = 0;
  #cos = 1;
  #sin = 0;
  readonly #corners = new Float64Array(2 * CORNERS.length);
  readonly #bounds = new Float64Array(4);
  #broadphase = this.#parked();
  readonly #pusherPairs = RECTANGLES.map(() => new Pair());
  readonly #wallPairs = WALLS.map(() => RECTANGLES.map(() => new Pair()));
  readonly #active: Contact[] = [];
  readonly #found = [new Contact(), new Contact()] as const;

  /** World position of the T's local origin. */
  get blockX(): number {
    return this.#x + CENTRE_V * Math.sin(this.angle);
  }

  get blockY(): number {
    return this.#y - CENTRE_V * Math.cos(this.angle);
  }

  /** Puts everything in place, at rest and with no memory of contacts. */
  place(pusherX: number, pusherY: number, blockX: number, blockY: number, angle: number): void {
    this.#set(...PARKED.pusher, ...PARKED.block, 0);
    this.#broadphase = this.#parked();
    this.#set(pusherX, pusherY, blockX, blockY, angle);
    this.#stamp = 0;
    for (const pair of [...this.#pusherPairs, ...this.#wallPairs.flat()]) pair.stamp = Number.NEGATIVE_INFINITY;
  }

  #set(pusherX: number, pusherY: number, blockX: number, blockY: number, angle: number): void {
    this.pusherX = pusherX;
    this.pusherY = pusherY;
    this.angle = angle;
    this.#x = blockX - CENTRE_V * Math.sin(angle);
    this.#y = blockY + CENTRE_V * Math.cos(angle);
    this.pusherVx = this.pusherVy = 0;
    this.#vx = this.#vy = this.#w = 0;
    this.#biasVx = this.#biasVy = this.#biasW = 0;
  }

  #parked(): Broadphase {
    const broadphase = new Broadphase((a, b) => this.#meet(a, b));
    for (const [wall, [ax, ay, bx, by]] of WALLS.entries()) {
      const [left, right] = [Math.min(ax, bx) - WALL_RADIUS, Math.max(ax, bx) + WALL_RADIUS];
      broadphase.addFixed(
        wall,
        Float64Array.of(left, Math.min(ay, by) - WALL_RADIUS, right, Math.max(ay, by) + WALL_RADIUS),
      );
    }
    this.#turn();
    for (let index = 0; index < 3; index++) broadphase.addMoving(PUSHER + index, this.#boundsOf(index), 0, 0);
    return broadphase;
  }

  /** One step of {@link PHYSICS_STEP}. */
  step(): void {
    this.#stamp++;
    this.pusherX += PHYSICS_STEP * this.pusherVx;
    this.pusherY += PHYSICS_STEP * this.pusherVy;
    this.#x += PHYSICS_STEP * (this.#vx + this.#biasVx);
    this.#y += PHYSICS_STEP * (this.#vy + this.#biasVy);
    this.angle += PHYSICS_STEP * (this.#w + this.#biasW);
    this.#biasVx = this.#biasVy = this.#biasW = 0;

    this.contacts = 0;
    this.#turn();
    for (const index of RENEWAL) {
      const bounds = this.#boundsOf(index);
      if (!this.#broadphase.hasLeft(index, bounds)) continue;
      if (index === 0) this.#broadphase.renew(index, bounds, this.pusherVx, this.pusherVy);
      else this.#broadphase.renew(index, bounds, this.#vx, this.#vy);
    }
    this.#broadphase.find();
    this.#vx = this.#vy = this.#w = 0; // full damping
    for (let i = 0; i < this.contacts; i++) {
      const contact = this.#active[i]!;
      if (contact.lasting) this.#apply(contact, contact.impulse);
    }
    for (let iteration = 0; iteration < ITERATIONS; iteration++) {
      for (let i = 0; i < this.contacts; i++) this.#solve(this.#active[i]!);
    }
  }

  /** Corners of the block where it is now. */
  #turn(): void {
    this.#cos = Math.cos(this.angle);
    this.#sin = Math.sin(this.angle);
    for (let i = 0; i < CORNERS.length; i++) {
      const [u, v] = CORNERS[i]!;
      this.#corners[2 * i] = this.#x + u * this.#cos - (v - CENTRE_V) * this.#sin;
      this.#corners[2 * i + 1] = this.#y + u * this.#sin + (v - CENTRE_V) * this.#cos;
    }
  }

  /** Bounds of a moving shape: 0 the pusher, 1 and 2 the parts of the block. */
  #boundsOf(index: number): Float64Array {
    const bounds = this.#bounds;
    if (index === 0) {
      bounds[0] = this.pusherX - PUSHER_RADIUS;
      bounds[1] = this.pusherY - PUSHER_RADIUS;
      bounds[2] = this.pusherX + PUSHER_RADIUS;
      bounds[3] = this.pusherY + PUSHER_RADIUS;
      return bounds;
    }
    const corners = this.#corners;
    const at = 8 * (index - 1);
    for (let axis = 0; axis < 2; axis++) {
      const [p, q, r, s] = [
        corners[at + axis]!,
        corners[at + 2 + axis]!,
        corners[at + 4 + axis]!,
        corners[at + 6 + axis]!,
      ];
      bounds[axis] = Math.min(p, q, r, s);
      bounds[2 + axis] = Math.max(p, q, r, s);
    }
    return bounds;
  }

  /** Two shapes whose boxes overlap. */
  #meet(a: number, b: number): void {
    const [lower, upper] = a < b ? [a, b] : [b, a];
    if (upper < BLOCK || lower >= BLOCK) return; // neither of them is moved by the other
    if (lower === PUSHER) this.#touchPusher(upper - BLOCK);
    else this.#touchWall(lower, upper - BLOCK);
  }

  #apply({ nx, ny, lever }: Contact, impulse: number): void {
    this.#vx += MASS_INVERSE * impulse * nx;
    this.#vy += MASS_INVERSE * impulse * ny;
    this.#w += MOMENT_INVERSE * impulse * lever;
  }

  #solve(contact: Contact): void {
    const { nx, ny, lever, mass } = contact;
    const biasSpeed = this.#biasVx * nx + this.#biasVy * ny + this.#biasW * lever;
    const biasImpulse = Math.max(0, contact.biasImpulse + (contact.bias - biasSpeed) * mass);
    const biasChange = biasImpulse - contact.biasImpulse;
    contact.biasImpulse = biasImpulse;
    this.#biasVx += MASS_INVERSE * biasChange * nx;
    this.#biasVy += MASS_INVERSE * biasChange * ny;
    this.#biasW += MOMENT_INVERSE * biasChange * lever;

    const speed = this.#vx * nx + this.#vy * ny + this.#w * lever - contact.push;
    const impulse = Math.max(0, contact.impulse - speed * mass);
    const change = impulse - contact.impulse;
    contact.impulse = impulse;
    this.#apply(contact, change);
  }

  /** Circle against rectangle: the nearest point of the rectangle, or of its nearest face if the centre is inside. */
  #touchPusher(part: number): void {
    const [cos, sin] = [this.#cos, this.#sin];
    const [left, top, right, bottom] = RECTANGLES[part]!;
    const dx = this.pusherX - this.#x;
    const dy = this.pusherY - this.#y;
    const u = dx * cos + dy * sin;
    const v = dy * cos - dx * sin + CENTRE_V;
    let qu = Math.min(right, Math.max(left, u));
    let qv = Math.min(bottom, Math.max(top, v));
    let nu = qu - u;
    let nv = qv - v;
    let distance = Math.sqrt(nu * nu + nv * nv);
    if (distance > PUSHER_RADIUS) return;
    if (distance > 0) {
      nu /= distance;
      nv /= distance;
    } else {
      const depth = Math.min(u - left, right - u, v - top, bottom - v);
      distance = -depth;
      nu = depth === u - left ? 1 : depth === right - u ? -1 : 0;
      nv = nu !== 0 ? 0 : depth === v - top ? 1 : -1;
      qu -= nu * depth;
      qv -= nv * depth;
    }
    const found = this.#found[0];
    found.key = 0;
    found.nx = nu * cos - nv * sin;
    found.ny = nu * sin + nv * cos;
    found.rx = qu * cos - (qv - CENTRE_V) * sin;
    found.ry = qu * sin + (qv - CENTRE_V) * cos;
    found.push = this.pusherVx * found.nx + this.pusherVy * found.ny;
    found.bias = distance - PUSHER_RADIUS;
    this.#touch(this.#pusherPairs[part]!, 1);
  }

  /** Takes over what was found for a pair, with the impulses of contacts that were there before. */
  #touch(pair: Pair, count: number): void {
    const age = this.#stamp - pair.stamp;
    if (age > PERSISTENCE) pair.count = 0;
    const [first, second] = pair.contacts;
    const [firstKey, secondKey] = [first.key, second.key];
    const [firstImpulse, secondImpulse] = [first.impulse, second.impulse];
    for (let i = 0; i < count; i++) {
      const found = this.#found[i]!;
      const contact = pair.contacts[i]!;
      contact.impulse = 0;
      if (pair.count > 0 && firstKey === found.key) contact.impulse = firstImpulse;
      if (pair.count > 1 && secondKey === found.key) contact.impulse = secondImpulse;
      contact.key = found.key;
      contact.nx = found.nx;
      contact.ny = found.ny;
      contact.rx = found.rx;
      contact.ry = found.ry;
      contact.push = found.push;
      contact.lever = found.rx * found.ny - found.ry * found.nx;
      contact.mass = 1 / (MASS_INVERSE + MOMENT_INVERSE * contact.lever * contact.lever);
      contact.bias = (-CORRECTION * Math.min(0, found.bias + SLOP)) / PHYSICS_STEP;
      contact.biasImpulse = 0;
      contact.lasting = age === 1;
      this.#active[this.contacts++] = contact;
    }
    pair.count = count;
    pair.stamp = this.#stamp;
  }

  /**
   * Segment against rectangle: the axis of least overlap among the normals of both, then the edges that face each other,
   * clipped against one another.
   */
  #touchWall(wall: number, part: number): void {
    const [ax, ay, bx, by] = WALLS[wall]!;
    const corners = this.#corners;
    const at = 8 * part;
    const length = Math.hypot(bx - ax, by - ay);
    const wallNx = (by - ay) / length;
    const wallNy = -(bx - ax) / length;
    let distance = Number.NEGATIVE_INFINITY;
    let nx = 0;
    let ny = 0;
    for (let side = -1; side <= 1; side += 2) {
      let gap = Number.POSITIVE_INFINITY;
      for (let i = at; i < at + 8; i += 2) {
        gap = Math.min(gap, side * ((corners[i]! - ax) * wallNx + (corners[i + 1]! - ay) * wallNy));
      }
      if (gap > distance) {
        distance = gap;
        nx = side * wallNx;
        ny = side * wallNy;
      }
    }
    for (let i = 0, j = 6; i < 8; j = i, i += 2) {
      const ex = corners[at + i]! - corners[at + j]!;
      const ey = corners[at + i + 1]! - corners[at + j + 1]!;
      const size = Math.sqrt(ex * ex + ey * ey);
      const mx = ey / size;
      const my = -ex / size;
      const offset = corners[at + i]! * mx + corners[at + i + 1]! * my;
      const gap = Math.min(ax * mx + ay * my, bx * mx + by * my) - offset;
      if (gap > distance) {
        distance = gap;
        nx = -mx;
        ny = -my;
      }
    }
    if (distance > WALL_RADIUS) return;
    this.#clipEdges(wall, part, nx, ny);
  }

  #clipEdges(wall: number, part: number, nx: number, ny: number): void {
    let [ax, ay, bx, by] = WALLS[wall]!;
    let firstEnd = 0;
    if (!((by - ay) * nx - (bx - ax) * ny > 0)) {
      [ax, ay, bx, by] = [bx, by, ax, ay];
      firstEnd = 1;
    }
    const corners = this.#corners;
    const at = 8 * part;
    let support = 0;
    for (let i = 1; i < 4; i++) {
      const along = corners[at + 2 * i]! * nx + corners[at + 2 * i + 1]! * ny;
      if (along < corners[at + 2 * support]! * nx + corners[at + 2 * support + 1]! * ny) support = i;
    }
    const before = (support + 3) % 4;
    const after = (support + 1) % 4;
    const facing = (i: number, j: number) => {
      const ex = corners[at + 2 * j]! - corners[at + 2 * i]!;
      const ey = corners[at + 2 * j + 1]! - corners[at + 2 * i + 1]!;
      return -(nx * ey - ny * ex) / Math.sqrt(ex * ex + ey * ey);
    };
    const [c, d] = facing(before, support) > facing(support, after) ? [before, support] : [support, after];
    const cx = corners[at + 2 * c]!;
    const cy = corners[at + 2 * c + 1]!;
    const dx = corners[at + 2 * d]!;
    const dy = corners[at + 2 * d + 1]!;
    const alongA = ax * ny - ay * nx;
    const alongB = bx * ny - by * nx;
    const alongC = cx * ny - cy * nx;
    const alongD = dx * ny - dy * nx;
    const share = (value: number, from: number, to: number) => Math.min(1, Math.max(0, (value - from) / (to - from)));
    let count = 0;
    for (let point = 0; point < 2; point++) {
      const onWall = share(point === 0 ? alongD : alongC, alongA, alongB);
      const onBlock = share(point === 0 ? alongA : alongB, alongC, alongD);
      const px = cx + onBlock * (dx - cx);
      const py = cy + onBlock * (dy - cy);
      const depth = (px - ax - onWall * (bx - ax)) * nx + (py - ay - onWall * (by - ay)) * ny - WALL_RADIUS;
      if (depth > 0) continue;
      const found = this.#found[count++]!;
      found.key = point === 0 ? 8 * firstEnd + d : 8 * (1 - firstEnd) + c;
      found.nx = nx;
      found.ny = ny;
      found.rx = px - this.#x;
      found.ry = py - this.#y;
      found.push = 0;
      found.bias = depth;
    }
    if (count > 0) this.#touch(this.#wallPairs[wall]![part]!, count);
  }
}
