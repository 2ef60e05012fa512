import type { Chain } from "../core/chain.js";
import { type Drafter, noDraft } from "../core/drafter.js";
import { SpecdiffError } from "../core/errors.js";
import type { Model } from "../core/model.js";
import { corrected } from "./corrected.js";
import { frozen } from "./frozen.js";
import { independent } from "./independent.js";
import { posterior } from "./posterior.js";
import { selector } from "./selector.js";

/** What a drafter may be built from. */
export interface DraftContext {
  readonly chain: Chain;
  /** Shape of one state; [channels, height, width] for images, which have a spectrum. */
  readonly shape: readonly number[];
  /** A cheaper network with the target's output convention, if there is one. */
  readonly draftModel?: Model;
}

/** Drafters by name; `kind` is what follows the colon in "frozen:x0". */
const registry: Readonly<Record<string, (context: DraftContext, kind: string | undefined) => Drafter>> = {
  auto: (context) => {
    const frozen = createDrafter("frozen", context) as Drafter<unknown>;
    // Without levels nothing bounds a refused state, nor what a base was wrong by there.
    return selector([posterior(context.chain, context.shape), context.chain.levels ? corrected(frozen) : frozen]);
  },
  none: () => noDraft,
  // x0 is a martingale under the exact reverse SDE with churn 1, hence its own best constant prediction.
  frozen: ({ chain }, kind) => frozen(chain, kind ?? (chain.readings.x0 ? "x0" : "increment")),
  independent: ({ draftModel }) => {
    if (!draftModel)
      throw new SpecdiffError(
        "bad-argument",
        "the drafter 'independent' needs a draft network, and this model has none; use frozen",
      );
    return independent(draftModel);
  },
  posterior: ({ chain, shape }) => posterior(chain, shape),
  corrected: (context, base = "independent") => corrected(createDrafter(base, context)),
};

/** Families of drafters. */
export const drafterNames: readonly string[] = Object.keys(registry);

/** Whether a drafter of this name is built on the draft network. */
export function usesDraftModel(name: string): boolean {
  return /(^|:)independent$|^corrected$/.test(name);
}

/**
 * A drafter from its name: "auto", "posterior", "frozen", "frozen:x0", "independent", "corrected:independent", "none".
 * @throws SpecdiffError("bad-argument") for an unknown name, listing the known ones
 */
export function createDrafter(name: string, context: DraftContext): Drafter {
  const colon = name.indexOf(":");
  const [family, kind] = colon < 0 ? [name] : [name.slice(0, colon), name.slice(colon + 1)];
  const create = Object.hasOwn(registry, family!) ? registry[family!] : undefined;
  if (!create)
    throw new SpecdiffError("bad-argument", `unknown drafter "${name}"; known are ${Object.keys(registry).join(", ")}`);
  return create(context, kind);
}

export { corrected, frozen, independent, posterior, selector };
