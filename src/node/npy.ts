import { SpecdiffError } from "../core/errors.js";
import { fromHalf } from "../onnx/half.js";

/** An array in NumPy's .npy format 1.0: little-endian float32, C order. */
export function npy(values: Float64Array, shape: readonly number[]): Uint8Array {
  const extents = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${extents}), }`;
  // magic, version and length take 10 bytes; the header ends in a newline at a multiple of 64
  const padded = `${dictionary.padEnd(64 * Math.ceil((dictionary.length + 11) / 64) - 11)}\n`;
  const bytes = new Uint8Array(10 + padded.length + 4 * values.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  const view = new DataView(bytes.buffer, 10 + padded.length);
  for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i]!, true);
  return bytes;
}

/** An array read from a .npy file; whole numbers and halfs come as the same numbers. */
export interface NpyArray {
  readonly shape: readonly number[];
  /** In C order. */
  readonly values: Float64Array;
}

/**
 * Reads NumPy's .npy format, versions 1 to 3: little-endian floats of 16, 32 or 64 bits, integers of 8 to 64, booleans.
 * @param label what messages call the file
 * @throws SpecdiffError("file") saying what it has and how to save it
 */
export function readNpy(bytes: Uint8Array, label: string): NpyArray {
  const bad = (what: string) =>
    new SpecdiffError(
      "file",
      `${label} ${what}; save it with numpy.save(file, numpy.ascontiguousarray(array, "float32"))`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059)
    throw bad("is not a .npy file");
  const [lengthBytes, headerLength] = bytes[6] === 1 ? [2, view.getUint16(8, true)] : [4, view.getUint32(8, true)];
  const start = 8 + lengthBytes + headerLength;
  const header = new TextDecoder().decode(bytes.subarray(8 + lengthBytes, start));
  const type = /'descr': *'([^']*)'/.exec(header)?.[1] ?? "a record";
  const extents = /'shape': *\(([^)]*)\)/.exec(header)?.[1];
  const read = Object.hasOwn(NPY_TYPES, type) ? NPY_TYPES[type] : undefined;
  if (!read || extents === undefined) throw bad(`has elements of type ${type}, which cannot be read`);
  if (/'fortran_order': *True/.test(header)) throw bad("is in Fortran order");
  const shape = extents
    .split(",")
    .filter((one) => one.trim() !== "")
    .map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  const size = Number(type.slice(2));
  if (bytes.length < start + count * size) {
    throw bad(`is cut off: ${bytes.length} bytes, but shape (${extents}) of ${type} needs ${start + count * size}`);
  }
  return { shape, values: Float64Array.from({ length: count }, (_, i) => read(view, start + i * size)) };
}

const NPY_TYPES: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  "<f2": (view, at) => fromHalf(Uint16Array.of(view.getUint16(at, true)))[0]!,
  "<f4": (view, at) => view.getFloat32(at, true),
  "<f8": (view, at) => view.getFloat64(at, true),
  "|b1": (view, at) => view.getUint8(at),
  "|u1": (view, at) => view.getUint8(at),
  "|i1": (view, at) => view.getInt8(at),
  "<i2": (view, at) => view.getInt16(at, true),
  "<i4": (view, at) => view.getInt32(at, true),
  "<i8": (view, at) => Number(view.getBigInt64(at, true)),
};
