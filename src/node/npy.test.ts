import assert from "node:assert/strict";
import { it } from "node:test";
import { npy, readNpy } from "./npy.js";

/** A .npy file of version 1 as NumPy writes it. */
function file(descr: string, shape: string, data: ArrayBufferView, order = "False"): Uint8Array {
  const header = `${`{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape}), }`.padEnd(117)}\n`;
  const bytes = new Uint8Array(128 + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 128);
  return bytes;
}

it("reads what it writes", () => {
  const values = Float64Array.of(1, -2.5, 0, 4, 1e-3, 7).map(Math.fround);
  assert.deepEqual(readNpy(npy(values, [2, 3]), "x.npy"), { shape: [2, 3], values });
  assert.deepEqual(readNpy(npy(values, [6]), "x.npy"), { shape: [6], values });
});

it("reads the types that conditions come in", () => {
  const cases: [string, ArrayBufferView][] = [
    ["<i8", BigInt64Array.of(3n, -1n)],
    ["<i4", Int32Array.of(3, -1)],
    ["<f8", Float64Array.of(3, -1)],
    ["<f4", Float32Array.of(3, -1)],
    ["<f2", Uint16Array.of(0x4200, 0xbc00)],
    ["|i1", Int8Array.of(3, -1)],
  ];
  for (const [descr, data] of cases)
    assert.deepEqual([...readNpy(file(descr, "2,", data), "x").values], [3, -1], descr);
});

it("says what it cannot read", () => {
  const two = Float32Array.of(1, 2);
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(3), /x.npy is not a .npy file/],
    [file("<f4", "3,", two), /is cut off: 136 bytes, but shape \(3,\) of <f4 needs 140/],
    [file("<c8", "1,", two), /elements of type <c8/],
    [file("<f4", "1, 2", two, "True"), /Fortran order; save it with numpy.save\(file, numpy.ascontiguousarray/],
  ];
  for (const [bytes, message] of cases) assert.throws(() => readNpy(bytes, "x.npy"), message);
});
