import assert from "node:assert/strict";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { runProgram } from "./process.test.util.js";

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-study-cli-"));
});
after(() => rm(scratch, { recursive: true }));

const specdiff = (args: readonly string[], interruptAt?: RegExp) => runProgram(scratch, args, interruptAt);

describe("specdiff study", () => {
  it("goes on after Ctrl-C where it stopped, and ends in a report", async () => {
    const stopped = await specdiff(["study", "gmm", "--tiny", "--out", "gmm"], /gmm 4\//);
    assert.equal(stopped.code, 130, stopped.stderr);
    assert.match(stopped.stderr, /stopped after \d+ of \d+ cells; the same command goes on/);
    const kept = (await readFile(join(scratch, "gmm", "rows.jsonl"), "utf8")).trim().split("\n").length;
    assert.ok(kept >= 3, `${kept} rows`);
    const resumed = await specdiff(["study", "gmm", "--tiny", "--out", "gmm"]);
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.ok(resumed.stderr.includes(`gmm ${kept + 1}/`) && !resumed.stderr.includes(`gmm ${kept}/`), resumed.stderr);
    assert.match(resumed.stdout, /Same law: .*\n.*published speed-ups.*\nAcceptance follows/);
    for (const file of ["report.html", "rows.csv", "summary.json", "plots/speedup-dimension.svg"]) {
      await access(join(scratch, "gmm", file));
    }
  });
  it("langevin takes a density of the user's own", async () => {
    const file = fileURLToPath(new URL("../../examples/my-density.mjs", import.meta.url));
    const { code, stdout, stderr } = await specdiff(["study", "langevin", "--tiny", "--density", file, "--out", "own"]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /my-density.mjs, d 3, step 0.02/);
    assert.match(stdout, /Moments: of 30 compared with plain chains/);
    await access(join(scratch, "own", "plots", "speedup-step.svg"));
  });
  it("does not mix a folder's rows with others", async () => {
    const other = await specdiff(["study", "gmm", "--tiny", "--seed", "2", "--out", "gmm"]);
    assert.equal(other.code, 2, other.stderr);
    assert.match(other.stderr, /other settings/);
  });
});
