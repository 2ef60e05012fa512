import assert from "node:assert/strict";
import { it } from "node:test";
import { fromHalf, toHalf } from "./half.js";

it("gives back every half", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const back = toHalf(fromHalf(all));
  for (let i = 0; i < 65536; i++) {
    const nan = (i & 0x7c00) === 0x7c00 && (i & 1023) !== 0;
    if (nan) assert.ok(Number.isNaN(fromHalf(back.subarray(i, i + 1))[0]));
    else assert.equal(back[i], i);
  }
});

it("rounds to the nearest half, ties to even", () => {
  const cases: [number, number][] = [
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // a tie between 0 and the smallest half
    [1.5 * 2 ** -25, 0x0001],
    [3 * 2 ** -25, 0x0002], // a tie between 1 and 2 units
    [1 + 2 ** -11, 0x3c00], // a tie
    [1 + 3 * 2 ** -11, 0x3c02], // a tie
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [-0, 0x8000],
    [Number.NEGATIVE_INFINITY, 0xfc00],
  ];
  for (const [value, half] of cases) assert.equal(toHalf([value])[0], half, String(value));
});

it("has no error above half a unit for any float32 in range", () => {
  for (let i = 0; i < 20000; i++) {
    const value = Math.fround((Math.sin(i) * 2) ** (i % 31) * 1e-3);
    const unit = Math.max(2 ** -24, 2 ** (Math.floor(Math.log2(Math.abs(value) || 1e-30)) - 10));
    const error = Math.abs(fromHalf(toHalf([value]))[0]! - value);
    if (Math.abs(value) < 65504) assert.ok(error <= unit / 2, `${value}: ${error}`);
  }
});
