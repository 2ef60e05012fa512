import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type ControlRow,
  type LawRow,
  type PushtConfig,
  pushtDefinition,
  type StripRow,
  type TimingRow,
} from "./pusht.js";
import { quantile } from "./pusht-report.js";
import { type Result, runStudy } from "./study.js";

const STAND_IN = fileURLToPath(new URL("../../test/fixtures/models/pusher", import.meta.url));

it("runs a study of PushT from cells to report, and goes on without running a cell twice", async () => {
  const out = await mkdtemp(join(tmpdir(), "specdiff-test-"));
  try {
    const ran: string[] = [];
    const study = async () => pushtDefinition.create({ size: "tiny", seed: 1, out, flags: { model: STAND_IN } });
    const options = {
      out,
      versions: { specdiff: "test" },
      command: "specdiff study pusht --tiny",
      onProgress: ({ label }: { label: string }) => void ran.push(label),
    };
    const first = await study();
    const { summary } = await runStudy(first, options);
    await first.close?.();
    const cells = ran.length;

    const lines = (await readFile(join(out, "rows.jsonl"), "utf8")).trim().split("\n");
    const results = lines.map((line) => JSON.parse(line)) as Result<PushtConfig, never>[];
    const rows = <Row>(kind: PushtConfig["kind"]) =>
      results.filter(({ config }) => config.kind === kind).map(({ row }) => row as Row);
    for (const { rewards, calls, decisions } of rows<ControlRow>("control")) {
      assert.equal(rewards.length, 2);
      assert.ok(rewards.every((reward) => reward >= 0 && reward <= 1));
      assert.equal(decisions, 6);
      assert.ok(calls.every((count) => count >= 2 && count <= 100));
    }
    const [timing] = rows<TimingRow>("timing");
    for (const { method, ms, calls } of timing!.methods) {
      assert.equal(ms.length, 3);
      if (method.ddim) assert.equal(calls, method.ddim);
      else if (method.draft === "none") assert.equal(calls, 100);
      else assert.ok(calls < 100);
    }
    assert.ok(rows<LawRow>("law").every(({ tests }) => tests.every(({ p }) => p > 1e-6)));
    assert.equal(rows<StripRow>("strip")[0]!.frames.length, 7);

    const page = await readFile(join(out, "report.html"), "utf8");
    assert.doesNotMatch(page, /(src|href)="http/);
    assert.match(page, /times sooner than plain sampling/);
    for (const plot of ["calls", "cost", "reward-time", "sooner", "strip-100000"])
      assert.match(await readFile(join(out, "plots", `${plot}.svg`), "utf8"), /^<svg/);

    ran.length = 0;
    const again = await study();
    assert.deepEqual((await runStudy(again, options)).summary, summary);
    await again.close?.();
    assert.ok(cells > 5);
    assert.deepEqual(ran, [""]);
  } finally {
    await rm(out, { recursive: true });
  }
});

it("interpolates quantiles", () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([7], 0.95), 7);
  assert.equal(quantile([0, 10], 0.95), 9.5);
});
