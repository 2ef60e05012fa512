import { SpecdiffError } from "../core/errors.js";
import type { Verifier } from "../core/verifier.js";
import { block } from "./block.js";
import { reflection } from "./reflection.js";

/** Verifiers by name. */
export const verifiers: Readonly<Record<string, Verifier>> = { reflection, block };

/** @throws SpecdiffError("bad-argument") for an unknown name, listing the known ones */
export function verifierNamed(name: string): Verifier {
  const verifier = Object.hasOwn(verifiers, name) ? verifiers[name] : undefined;
  if (!verifier)
    throw new SpecdiffError(
      "bad-argument",
      `unknown coupling "${name}"; known are ${Object.keys(verifiers).join(", ")}`,
    );
  return verifier;
}

export { block, reflection };
