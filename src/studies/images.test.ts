import assert from "node:assert/strict";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { npy } from "../node/npy.js";
import { imagesDefinition } from "./images.js";
import { runStudy } from "./study.js";

const fixture = (path: string) => fileURLToPath(new URL(`../../test/fixtures/${path}`, import.meta.url));

it("runs the image study from cells to report, and measures again without sampling again", async () => {
  const out = await mkdtemp(join(tmpdir(), "specdiff-images-"));
  try {
    await copyFile(fixture("onnx/features.onnx"), join(out, "model.onnx"));
    const identity = npy(Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1), [3, 3]);
    await writeFile(
      join(out, "stats.npz"),
      zipSync({ "mu.npy": npy(new Float64Array(3), [3]), "sigma.npy": identity }),
    );
    const ran: string[] = [];
    const run = async (flags: object) => {
      const study = await imagesDefinition.create({
        size: "tiny",
        seed: 1,
        out,
        flags: { model: fixture("models/images-epsilon"), features: out, range: "-1,1", draft: "posterior", ...flags },
      });
      try {
        return await runStudy(study, {
          out,
          versions: { specdiff: "test" },
          command: "specdiff study images --tiny",
          onProgress: ({ label }) => void ran.push(label),
        });
      } finally {
        await study.close?.();
      }
    };
    const report = await run({});
    assert.equal(ran.length, 2 * 2 + 1);
    assert.match(report.lead.join(" "), /Only 8 images .* mean nothing beyond that/);
    assert.match(report.lead.join(" "), /would have been seen with probability 80 %/);
    assert.deepEqual((await readdir(join(out, "plots"))).sort(), ["calls.svg", "images-churn-1.png", "quality.svg"]);
    const { ways } = report.summary as { ways: { speedup: number; fid: number; inceptionScore: number }[] };
    assert.equal(ways[0]!.speedup, 1);
    assert.ok(ways[1]!.speedup > 1, `${ways[1]!.speedup}`);
    for (const { fid, inceptionScore } of ways) {
      assert.ok(fid > 0 && inceptionScore > 1 - 1e-9, `${fid} ${inceptionScore}`);
    }
    await run({});
    assert.equal(ran.length, 2 * 2 + 1 + 1);
    assert.match(await readFile(join(out, "report.html"), "utf8"), /data:image\/png;base64/);
    await rm(join(out, "stats.npz"));
    await assert.rejects(run({}), /without statistics of real images/);
  } finally {
    await rm(out, { recursive: true });
  }
});
