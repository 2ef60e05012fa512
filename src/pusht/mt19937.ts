const SIZE = 624;
const SHIFT = 397;

/**
 * The Mersenne Twister as numpy's legacy `RandomState(seed)` uses it, number for number: seeds of the PushT benchmark mean
 * the same starts here as there.
 * @see Matsumoto and Nishimura 1998
 */
export class LegacyRandom {
  readonly #state = new Uint32Array(SIZE);
  #at = SIZE;
  #spare: number | undefined;

  /** @param seed whole number from 0 to 2^32 - 1 */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new RangeError(`seed is ${seed}; it must be a whole number from 0 to 2^32 - 1`);
    }
    let word = seed;
    for (let i = 0; i < SIZE; i++) {
      this.#state[i] = word;
      word = (Math.imul(1812433253, word ^ (word >>> 30)) + i + 1) >>> 0;
    }
  }

  /** The next 32 bits, as a number from 0 to 2^32 - 1. */
  uint32(): number {
    if (this.#at === SIZE) this.#twist();
    let y = this.#state[this.#at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  /** A whole number from `low` to `high - 1`, by rejection of masked bits: `randint(low, high)`. */
  integer(low: number, high: number): number {
    const most = high - 1 - low;
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    for (;;) {
      const value = (this.uint32() & mask) >>> 0;
      if (value <= most) return low + value;
    }
  }

  /** Uniform in [0, 1), 53 bits: `random_sample()`. */
  uniform(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** A standard normal by the polar method: `randn()`. Values come in pairs, the second is kept for the next call. */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare;
      this.#spare = undefined;
      return value;
    }
    for (;;) {
      const a = 2 * this.uniform() - 1;
      const b = 2 * this.uniform() - 1;
      const square = a * a + b * b;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * log(square)) / square);
      this.#spare = factor * a;
      return factor * b;
    }
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % SIZE]! & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#at = 0;
  }
}

const FRACTION = 120n;
const ONE = 1n << FRACTION;

/**
 * The logarithm of x in (0, 1), rounded once: Math.log may be off in the last bit, which numpy's is not.
 * ln x = 2 artanh((x - 1) / (x + 1)) in fixed point, after x was doubled up to [1/2, 1).
 */
function log(x: number): number {
  let doublings = 0;
  while (x < 0.5) {
    x *= 2;
    doublings++;
  }
  return Number(artanhTwice(BigInt(x * 2 ** 53) << (FRACTION - 53n)) - BigInt(doublings) * LN2) / 2 ** Number(FRACTION);
}

function artanhTwice(x: bigint): bigint {
  const z = ((x - ONE) << FRACTION) / (x + ONE);
  const square = (z * z) >> FRACTION;
  let power = z;
  let sum = 0n;
  for (let k = 1n; k < 80n; k += 2n) {
    sum += power / k;
    power = (power * square) >> FRACTION;
  }
  return 2n * sum;
}

const LN2 = -artanhTwice(ONE >> 1n);
