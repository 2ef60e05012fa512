import { noDraft } from "./core/drafter.js";
import type { SampleOptions } from "./core/loop.js";
import { fixedWindow } from "./core/window-policy.js";
import { reflection } from "./verifiers/reflection.js";

/** Plain sequential sampling as options of `sample`: one call a step, nothing drafted ahead, so any verifier keeps every step. */
export const plain: Pick<SampleOptions, "drafter" | "verifier" | "window" | "carry" | "leaves"> = {
  drafter: noDraft,
  verifier: reflection,
  window: fixedWindow(1),
  carry: "none",
  leaves: false,
};
