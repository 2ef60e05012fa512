/** What a stream of random numbers is for. Part of its key, so that no number serves two purposes. */
export const Purpose = { initial: 0, draft: 1, accept: 2, residual: 3 } as const;

/**
 * Random numbers keyed by (seed, trajectory, round, step, purpose): the same key gives the same stream whatever else
 * is in the batch. Generator: sfc32 (C. Doty-Humphrey, PractRand) seeded through a 128-bit mix of the key;
 * normals by the ziggurat (Marsaglia and Tsang 2000, 256 layers) on 52-bit mantissas.
 *
 * One object is re-keyed again and again; keying allocates nothing.
 */
export class RandomStream {
  /** State after (seed), (seed, trajectory) and (seed, trajectory, round): only what changed is mixed in again. */
  readonly #seeded = new Int32Array(4);
  readonly #ofTrajectory = new Int32Array(4);
  readonly #ofRound = new Int32Array(4);
  #trajectory = -1;
  #round = -1;
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  /** @param seed whole number from 0 to 2^53 - 1 */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed is ${seed}; it must be a whole number from 0 to 2^53 - 1`);
    }
    this.#seeded.set([0x9e3779b9, 0x243f6a88, 0xb7e15162, 0xc2b2ae35]);
    absorb(this.#seeded, seed >>> 0);
    absorb(this.#seeded, Math.floor(seed / 2 ** 32) >>> 0);
    this.key(0, 0, 0, 0);
  }

  /** Starts the stream of this key; arguments are whole numbers below 2^32. */
  key(trajectory: number, round: number, step: number, purpose: number): this {
    if (trajectory !== this.#trajectory) {
      this.#trajectory = trajectory;
      this.#round = -1;
      this.#ofTrajectory.set(this.#seeded);
      absorb(this.#ofTrajectory, trajectory);
    }
    if (round !== this.#round) {
      this.#round = round;
      this.#ofRound.set(this.#ofTrajectory);
      absorb(this.#ofRound, round);
    }
    state.set(this.#ofRound);
    absorb(state, step);
    absorb(state, purpose);
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let counter = state[3]!;
    for (let i = 0; i < 12; i++) {
      const t = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + t) | 0;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
    return this;
  }

  /** Uniform in [0, 1), 53 bits. */
  uniform(): number {
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** Fills `out[from .. from + count - 1]` with independent N(0, 1). */
  normals(out: Float64Array, from = 0, count = out.length - from): void {
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let counter = this.#counter;
    const end = from + count;
    for (let i = from; i < end; ) {
      let t = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + t) | 0;
      const first = t;
      t = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + t) | 0;
      const layer = t & 255;
      // 52-bit magnitude from `first` and the upper 20 bits of the second word; bit 8 is the sign
      const magnitude = (first >>> 0) * 1048576 + (t >>> 12);
      const x = magnitude * SCALE[layer]!;
      if (magnitude < INSIDE[layer]!) {
        out[i++] = t & 256 ? -x : x;
        continue;
      }
      this.#a = a;
      this.#b = b;
      this.#c = c;
      this.#counter = counter;
      const value = this.#edge(layer, x);
      a = this.#a;
      b = this.#b;
      c = this.#c;
      counter = this.#counter;
      if (value >= 0) out[i++] = t & 256 ? -value : value;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }

  /** The rare part of the ziggurat: a value >= 0, or -1 to draw again. */
  #edge(layer: number, x: number): number {
    if (layer === 0) {
      for (;;) {
        const tail = -Math.log(1 - this.uniform()) / TAIL;
        if (-2 * Math.log(1 - this.uniform()) > tail * tail) return TAIL + tail;
      }
    }
    const height = HEIGHT[layer]! + this.uniform() * (HEIGHT[layer - 1]! - HEIGHT[layer]!);
    return height < Math.exp(-0.5 * x * x) ? x : -1;
  }

  #next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t;
  }
}

/** Mixes one word of the key into all 128 bits of state. */
function absorb(words: Int32Array, word: number): void {
  const a = mix(words[0]! ^ word);
  const b = mix(words[1]! + word + a);
  const c = mix((words[2]! ^ word) + b);
  const counter = mix(words[3]! + (word ^ c));
  words[0] = a + counter;
  words[1] = b;
  words[2] = c;
  words[3] = counter;
}

const state = new Int32Array(4);

function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

// Ziggurat of 256 layers of equal area under exp(-x^2/2). Layer i >= 1 has width x_i and spans the heights
// density(x_i) .. density(x_{i+1}), with TAIL = x_1 > x_2 > .. > x_256 = 0; layer 0 is the base strip and the tail.
const LAYERS = 256;
const TAIL = 3.6541528853610088;
const MANTISSA = 2 ** 52;

const SCALE = new Float64Array(LAYERS); // x = magnitude * SCALE[layer]
const INSIDE = new Float64Array(LAYERS); // a magnitude below this lies under the curve for sure
const HEIGHT = new Float64Array(LAYERS); // upper end of the layer
buildLayers();

function buildLayers(): void {
  const density = (x: number) => Math.exp(-0.5 * x * x);
  const area = TAIL * density(TAIL) + Math.sqrt(Math.PI / 2) * erfcOfTail();
  const edge = new Float64Array(LAYERS + 1);
  edge[0] = area / density(TAIL);
  edge[1] = TAIL;
  for (let i = 1; i < LAYERS - 1; i++) edge[i + 1] = Math.sqrt(-2 * Math.log(area / edge[i]! + density(edge[i]!)));
  edge[LAYERS] = 0;
  for (let i = 0; i < LAYERS; i++) {
    SCALE[i] = edge[i]! / MANTISSA;
    INSIDE[i] = (edge[i + 1]! / edge[i]!) * MANTISSA;
    HEIGHT[i] = density(edge[i + 1]!);
  }
}

/** erfc(TAIL / sqrt 2) by its continued fraction, which converges fast this far out. */
function erfcOfTail(): number {
  const x = TAIL / Math.SQRT2;
  let fraction = x;
  for (let k = 80; k >= 1; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}
