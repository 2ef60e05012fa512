import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { chart } from "./plots.js";
import { estimate, studentQuantile } from "./statistics.js";
import { runStudy, type Study } from "./study.js";

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-study-"));
});
after(() => rm(scratch, { recursive: true }));

/** Squares numbers; remembers which cells it ran. */
function squares(numbers: readonly number[], setting = 1) {
  const ran: number[] = [];
  const study: Study<{ n: number }, { square: number; "a,b": number[] }> = {
    name: "squares",
    title: "Squares & <tags>",
    settings: { setting },
    cells: numbers.map((n) => ({ n })),
    label: ({ n }) => `n ${n}`,
    async run({ n }) {
      ran.push(n);
      return { square: n * n, "a,b": [n, 2] };
    },
    async report(results) {
      const data = results.map(({ config, row }) => ({ n: config.n, square: row.square }));
      const svg = await chart({ data, x: { field: "n", title: "n" }, y: { field: "square", title: "square of n" } });
      return {
        lead: [`The sum is ${data.reduce((sum, { square }) => sum + square, 0)}, by \`runStudy\`.`],
        summary: { sum: data.length },
        sections: [
          {
            title: "All",
            figures: [{ name: "squares", caption: "Squares", svg }],
            tables: [{ caption: "t", columns: ["n", "square"], rows: data.map(({ n, square }) => [n, square]) }],
          },
        ],
      };
    },
  };
  return { study, ran };
}

const common = { versions: { specdiff: "1" }, command: "specdiff study squares" };

describe("runStudy", () => {
  it("writes rows, table, settings, summary, plots and one page without anything fetched", async () => {
    const out = join(scratch, "all");
    const { study, ran } = squares([1, 2, 3, 2]);
    const seen: string[] = [];
    await runStudy(study, {
      ...common,
      out,
      onProgress: ({ done, total, label }) => seen.push(`${done}/${total} ${label}`),
    });
    assert.deepEqual(ran, [1, 2, 3]);
    assert.deepEqual(seen, ["0/3 n 1", "1/3 n 2", "2/3 n 3", "3/3 "]);
    assert.equal(await readFile(join(out, "rows.csv"), "utf8"), 'n,square,"a,b"\n1,1,1 2\n2,4,2 2\n3,9,3 2\n');
    const rows = (await readFile(join(out, "rows.jsonl"), "utf8")).trim().split("\n");
    assert.deepEqual(JSON.parse(rows[1]!), { config: { n: 2 }, row: { square: 4, "a,b": [2, 2] } });
    assert.deepEqual(JSON.parse(await readFile(join(out, "settings.json"), "utf8")), {
      study: "squares",
      settings: { setting: 1 },
      ...common,
    });
    assert.deepEqual(await readdir(join(out, "plots")), ["squares.svg"]);
    const page = await readFile(join(out, "report.html"), "utf8");
    assert.match(page, /The sum is 14, by <code>runStudy<\/code>/);
    assert.match(page, /<h1>Squares &amp; &lt;tags&gt;<\/h1>/);
    assert.match(page, /square of n/); // the axis of the plot is in the page
    assert.doesNotMatch(page, /<script|src="http|<link/);
  });

  it("does not run finished cells again, and drops a line that was cut off", async () => {
    const out = join(scratch, "again");
    await runStudy(squares([1, 2]).study, { ...common, out });
    await appendFile(join(out, "rows.jsonl"), '{"config":{"n":3},"row":{"squ');
    const { study, ran } = squares([1, 2, 3, 4]);
    await runStudy(study, { ...common, out });
    assert.deepEqual(ran, [3, 4]);
    const rows = (await readFile(join(out, "rows.jsonl"), "utf8")).trim().split("\n");
    assert.deepEqual(
      rows.map((line) => JSON.parse(line).config.n),
      [1, 2, 3, 4],
    );
  });

  it("refuses a folder with rows of other settings", async () => {
    const out = join(scratch, "other");
    await runStudy(squares([1]).study, { ...common, out });
    await assert.rejects(runStudy(squares([1], 2).study, { ...common, out }), /other settings.*choose another --out/);
    await writeFile(join(out, "settings.json"), "{}");
    await assert.rejects(runStudy(squares([1]).study, { ...common, out }), /another study/);
  });

  it("stops between cells, keeps what is finished and says how to go on", async () => {
    const out = join(scratch, "stopped");
    const abort = new AbortController();
    const first = squares([1, 2, 3]);
    const stopping = runStudy(first.study, {
      ...common,
      out,
      signal: abort.signal,
      onProgress: ({ done }) => done === 2 && abort.abort(),
    });
    await assert.rejects(stopping, { code: "aborted", message: /after 2 of 3 cells/ });
    assert.deepEqual(first.ran, [1, 2]);
    const second = squares([1, 2, 3]);
    await runStudy(second.study, { ...common, out });
    assert.deepEqual(second.ran, [3]);
  });
});

describe("estimate", () => {
  it("has mean, standard error and Student's interval", () => {
    const { mean, error, low, high } = estimate([1, 2, 3, 6]);
    assert.equal(mean, 3);
    assert.ok(Math.abs(error - Math.sqrt(14 / 3 / 4)) < 1e-12);
    assert.ok(Math.abs(high - mean - 3.18245 * error) < 1e-4 && Math.abs(low + high - 2 * mean) < 1e-12);
  });
  it("knows quantiles of Student's t", () => {
    for (const [freedom, quantile] of [
      [1, 12.7062],
      [9, 2.26216],
      [10, 2.22814],
      [30, 2.04227],
      [1000, 1.96234],
    ] as const) {
      assert.ok(Math.abs(studentQuantile(freedom) - quantile) < 5e-4, `${freedom}: ${studentQuantile(freedom)}`);
    }
  });
});

describe("chart", () => {
  it("shows series with intervals, a reference and panels, each with its title", async () => {
    const data = [1, 2, 4].flatMap((x) =>
      ["first", "second"].flatMap((name) =>
        ["left", "right"].map((side) => ({ x, y: x * 2, low: x, high: 3 * x, name, side })),
      ),
    );
    const svg = await chart({
      data,
      x: { field: "x", title: "rows", log: true },
      y: { field: "y", title: "time, ms" },
      series: { field: "name", title: "network" },
      interval: ["low", "high"],
      panels: { field: "side", title: "device" },
      reference: {
        data: [
          { x: 1, y: 1 },
          { x: 4, y: 4 },
        ],
        label: "theory",
      },
    });
    assert.match(svg, /^<svg/);
    for (const text of ["rows", "time, ms", "network", "first", "second", "device", "left", "theory"]) {
      assert.ok(svg.includes(`>${text}<`), text);
    }
  });
});
