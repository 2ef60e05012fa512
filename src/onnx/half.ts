// IEEE 754 binary16, which Node 20 and browsers of 2024 have no array for: ONNX Runtime takes the bits as Uint16Array.

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Rounds to the nearest half, ties to even; beyond 65504 to infinity. NaN stays NaN. @returns the 16 bits of each */
export function toHalf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    float[0] = values[i]!;
    const sign = (bits[0]! >>> 16) & 0x8000;
    const size = bits[0]! & 0x7fffffff;
    if (size > 0x7f800000) out[i] = sign | 0x7e00;
    else if (size >= 0x477ff000) out[i] = sign | 0x7c00;
    else if (size < 0x38800000) {
      // Subnormal halfs are multiples of 2^-24: adding 0.5 lets the float32 addition round to one (0.5 has the ulp 2^-24).
      bits[0] = size;
      float[0] = float[0]! + 0.5;
      out[i] = sign | (bits[0]! - 0x3f000000);
    } else {
      // 13 bits are cut: add just under half of their unit, and the last kept bit for ties to even; then move the exponent.
      out[i] = sign | ((size + 0xfff + ((size >>> 13) & 1) - 0x38000000) >>> 13);
    }
  }
  return out;
}

/** Exact. @param halves the 16 bits of each number */
export function fromHalf(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const exponent = (halves[i]! >>> 10) & 31;
    const fraction = halves[i]! & 1023;
    const size =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent === 31
          ? fraction
            ? Number.NaN
            : Number.POSITIVE_INFINITY
          : (1024 + fraction) * 2 ** (exponent - 25);
    out[i] = halves[i]! & 0x8000 ? -size : size;
  }
  return out;
}
