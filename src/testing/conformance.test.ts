import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fixedWindow } from "../core/window-policy.js";
import { corrected } from "../drafters/corrected.js";
import { frozen } from "../drafters/frozen.js";
import { independent } from "../drafters/independent.js";
import { createDrafter } from "../drafters/index.js";
import { posterior } from "../drafters/posterior.js";
import { block, reflection, verifiers } from "../verifiers/index.js";
import {
  brokenVerifiers,
  type ConformanceCase,
  drafterConformance,
  foreseeingDrafter,
  modelConformance,
  peekingDrafter,
  verifierConformance,
} from "./conformance.js";
import { assertLaw, pathLaw } from "./law.js";
import { testChain, testModel } from "./targets.js";

/** Fixed for the quick suite; SPECDIFF_SEED gives another. */
const seed = Number(process.env.SPECDIFF_SEED ?? 1);

function declare(name: string, cases: readonly ConformanceCase[]): void {
  describe(name, () => {
    for (const { name: what, run } of cases) it(what, run);
  });
}

async function failures(cases: readonly ConformanceCase[]): Promise<string[]> {
  const messages = await Promise.all(
    cases.map(({ run }) =>
      run().then(
        () => [],
        (error) => [String(error)],
      ),
    ),
  );
  return messages.flat();
}

for (const verifier of Object.values(verifiers))
  declare(`verifier ${verifier.name}`, verifierConformance(verifier, seed));

for (const kind of ["output", "increment", "drift"]) {
  declare(
    `drafter frozen:${kind}`,
    drafterConformance((chain) => frozen(chain, kind), seed),
  );
}
declare(
  "drafter posterior",
  drafterConformance((chain, dim) => posterior(chain, [dim]), seed),
);
declare(
  "drafter posterior, chain without levels",
  drafterConformance(({ levels: _, ...chain }, dim) => posterior(chain, [dim]), seed),
);
it("drafter posterior, in the spectral basis of images", async () => {
  const dim = 64;
  const chain = testChain();
  for (const verifier of [block, reflection]) {
    const speculation = { drafter: posterior(chain, [1, 8, 8]), verifier, window: fixedWindow(5), inFlight: 32 };
    assertLaw(await pathLaw(chain, testModel(dim), testModel(dim, 0.2), speculation, 600, seed));
  }
});
declare(
  "drafter independent",
  drafterConformance((_, dim) => independent(testModel(dim, 0.3)), seed),
);
declare(
  "drafter auto",
  drafterConformance((chain, dim) => createDrafter("auto", { chain, shape: [dim] }), seed),
);
declare(
  "drafter corrected:independent",
  drafterConformance((_, dim) => corrected(independent(testModel(dim, 0.3))), seed),
);
declare("model of the tests", modelConformance(testModel(4), testChain(), 0));

describe("broken twins are caught", () => {
  for (const twin of brokenVerifiers) {
    it(`verifier that ${twin.name}`, async () => {
      assert.notDeepEqual(await failures(verifierConformance(twin, seed)), []);
    });
  }
  it("drafter that peeks at its own noise", async () => {
    assert.notDeepEqual(await failures(drafterConformance((chain, dim) => peekingDrafter(chain, dim, seed), seed)), []);
  });
  it("drafter that foresees refused states", async () => {
    const broken = await failures(drafterConformance(foreseeingDrafter, seed));
    assert.notDeepEqual(broken, []);
  });
  it("model whose rows leak into each other, that writes to its input, or is not finite", async () => {
    const model = testModel(3);
    const spoiled = [
      {
        ...model,
        evaluate: (rows: Parameters<typeof model.evaluate>[0]) => {
          const out = Float64Array.from(model.evaluate(rows) as Float64Array);
          out[0]! += rows.count * 1e-3;
          return out;
        },
      },
      {
        ...model,
        evaluate: (rows: Parameters<typeof model.evaluate>[0]) => {
          rows.states[0]! += 1;
          return model.evaluate(rows);
        },
      },
      {
        ...model,
        evaluate: (rows: Parameters<typeof model.evaluate>[0]) => new Float64Array(rows.count * 3).fill(Number.NaN),
      },
    ];
    for (const twin of spoiled) assert.notDeepEqual(await failures(modelConformance(twin, testChain(), 1e-5)), []);
  });
});
