import type { Drafter } from "../core/drafter.js";
import { Meter, type Model } from "../core/model.js";

/**
 * INDEPENDENT (De Bortoli et al. 2025, section 3.1): a second, cheaper network of the same output convention as the target
 * (for diffusion x0; wrap it in the same `denoiser`). One call of it per drafted level, counted apart.
 */
export function independent(model: Model): Drafter<undefined> {
  const meter = new Meter(model);
  return {
    name: "independent",
    needsAnchor: false,
    meter,
    open: () => undefined,
    guess: (rows, _memories, signal) => meter.evaluate(rows, signal),
  };
}
