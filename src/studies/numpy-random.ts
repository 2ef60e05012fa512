const STATE = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/**
 * The uniform numbers of `numpy.random.default_rng(seed).random()`: PCG64 (XSL-RR 128/64) seeded by NumPy's SeedSequence.
 * For published experiments that were drawn with it.
 * @param seed whole number below 2^32
 */
export function numpyRandom(seed: number): () => number {
  const words = seedSequence(seed, 8);
  const wide = (i: number) =>
    (BigInt(words[i + 1]!) << 96n) |
    (BigInt(words[i]!) << 64n) |
    (BigInt(words[i + 3]!) << 32n) |
    BigInt(words[i + 2]!);
  const increment = ((wide(4) << 1n) | 1n) & STATE;
  const next = (state: bigint) => (state * MULTIPLIER + increment) & STATE;
  let state = next((next(0n) + wide(0)) & STATE);
  return () => {
    state = next(state);
    const folded = ((state >> 64n) ^ state) & 0xffffffffffffffffn;
    const turn = state >> 122n;
    const word = ((folded >> turn) | (folded << (64n - turn))) & 0xffffffffffffffffn;
    return Number(word >> 11n) / 2 ** 53;
  };
}

/** NumPy's SeedSequence(seed).generate_state(count) for a seed of one word (M. O'Neill's seed_seq_fe). */
function seedSequence(seed: number, count: number): Uint32Array {
  let constant = 0x43b0d7e5;
  const hash = (value: number) => {
    let x = (value ^ constant) >>> 0;
    constant = Math.imul(constant, 0x931e8875) >>> 0;
    x = Math.imul(x, constant) >>> 0;
    return (x ^ (x >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number) => {
    const mixed = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) >>> 0;
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const pool = [seed, 0, 0, 0].map((word) => hash(word >>> 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to]!, hash(pool[from]!));
  }
  let out = 0x8b51f9dd;
  return Uint32Array.from({ length: count }, (_, i) => {
    let x = (pool[i % 4]! ^ out) >>> 0;
    out = Math.imul(out, 0x58f38ded) >>> 0;
    x = Math.imul(x, out) >>> 0;
    return (x ^ (x >>> 16)) >>> 0;
  });
}
