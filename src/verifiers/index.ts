import type { Verifier } from "../core/verifier.js";
import { reflection } from "./reflection.js";

/** Verifiers by name. */
export const verifiers: Readonly<Record<string, Verifier>> = { reflection };
export { reflection };
