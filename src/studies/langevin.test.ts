import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checkGradient, densities, loadDensity } from "./densities.js";
import { langevinStudy } from "./langevin.js";

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-langevin-"));
});
after(() => rm(scratch, { recursive: true }));

async function module(name: string, text: string): Promise<string> {
  const file = join(scratch, `${name}.mjs`);
  await writeFile(file, text);
  return file;
}

describe("densities", () => {
  for (const family of densities) {
    it(`${family.name}: the gradient is that of the potential`, () => {
      for (const dim of [2, 5]) checkGradient(family.make(dim, 3), family.name);
    });
  }
  it("of the user's own are checked, and a wrong sign is found", async () => {
    const good = await module(
      "good",
      "export const dim = 3; export const potential = (x) => x[0] ** 4 + x[1] * x[2] + x[2] ** 2 + x[1] ** 2; export const gradient = (x) => [4 * x[0] ** 3, x[2] + 2 * x[1], x[1] + 2 * x[2]];",
    );
    assert.equal((await loadDensity(good)).make(1, 1).dim, 3);
    const wrong = await module(
      "wrong",
      "export const dim = 2; export const potential = (x) => x[0] ** 2 + x[1] ** 2; export const gradient = (x) => [2 * x[0], -2 * x[1]];",
    );
    await assert.rejects(loadDensity(wrong), /gradient\[1\] is .* must be that of the potential/);
    const missing = await module("missing", "export const dim = 2;");
    await assert.rejects(loadDensity(missing), { code: "bad-argument", message: /must export dim/ });
    await assert.rejects(loadDensity(join(scratch, "none.mjs")), { code: "file" });
  });
});

describe("the study of Langevin dynamics", () => {
  it("has cells of the user's own density in its own dimension", async () => {
    const file = await module(
      "own",
      "export const dim = 3; export const stepSize = 0.1; export const potential = (x) => x.reduce((s, v) => s + v * v, 0) / 2; export const gradient = (x) => x;",
    );
    const size = { draft: "posterior", dims: [2], baseDim: 2, scales: [1, 2], steps: 40, window: 6, count: 400 };
    const study = langevinStudy(size, 1, await loadDensity(file));
    assert.deepEqual([...new Set(study.cells.map(({ dim, stepSize }) => `${dim} ${stepSize}`))], ["3 0.1", "3 0.2"]);
    const plain = study.cells.find(({ draft, stepSize }) => draft === "none" && stepSize === 0.1)!;
    const { speedup, moments, momentErrors } = await study.run(plain, new AbortController().signal);
    assert.equal(speedup, 1);
    // x[k+1] = (1 - gamma) x[k] + sqrt(2 gamma) z settles at variance 2 gamma / (1 - (1 - gamma)^2), reached to 1e-3 here
    const variance = (2 * 0.1) / (1 - 0.9 ** 2);
    assert.ok(Math.abs(moments[4]! - 3 * variance) < 4.5 * momentErrors[4]! + 0.003, `${moments[4]}`);
  });
});
