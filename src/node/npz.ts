import { unzipSync } from "fflate";
import { SpecdiffError } from "../core/errors.js";
import { type NpyArray, readNpy } from "./npy.js";

/**
 * The arrays of NumPy's .npz format by name.
 * @param label what messages call the file
 * @throws SpecdiffError("file") if it is none, or holds an array that cannot be read
 */
export function readNpz(bytes: Uint8Array, label: string): Record<string, NpyArray> {
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(bytes, { filter: ({ name }) => name.endsWith(".npy") });
  } catch (cause) {
    throw new SpecdiffError("file", `${label} is not a .npz file; save it with numpy.savez(file, mu=.., sigma=..)`, {
      cause,
    });
  }
  return Object.fromEntries(
    Object.entries(entries).map(([name, entry]) => [name.replace(/\.npy$/, ""), readNpy(entry, `${label}, ${name}`)]),
  );
}
