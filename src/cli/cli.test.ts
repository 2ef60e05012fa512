import assert from "node:assert/strict";
import { access, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { decode } from "fast-png";
import { runProgram } from "./process.test.util.js";

const fixture = (name: string) => fileURLToPath(new URL(`../../test/fixtures/onnx/${name}.onnx`, import.meta.url));
const flow = { _class_name: "FlowMatchEulerDiscreteScheduler", num_train_timesteps: 1000, shift: 1 };
let scratch: string;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-test-"));
});
after(() => rm(scratch, { recursive: true }));

/** A model folder around one of the small networks. */
async function folder(name: string, network: string, scheduler: unknown = flow, card?: unknown): Promise<string> {
  const path = join(scratch, name);
  await mkdir(join(path, "unet"), { recursive: true });
  await mkdir(join(path, "scheduler"), { recursive: true });
  await copyFile(fixture(network), join(path, "unet", "model.onnx"));
  await writeFile(
    join(path, "scheduler", "scheduler_config.json"),
    typeof scheduler === "string" ? scheduler : JSON.stringify(scheduler),
  );
  if (card) await writeFile(join(path, "model.json"), JSON.stringify(card));
  return path;
}

const specdiff = (args: readonly string[], interruptAt?: RegExp) => runProgram(scratch, args, interruptAt);
const json = async (path: string) => JSON.parse(await readFile(path, "utf8"));
const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

describe("specdiff generate", () => {
  it("writes a grid, a record and the samples, and compares with plain sampling", async () => {
    const model = await folder("whole", "plain");
    const at = (file: string) => join(scratch, "results", file);
    const { code, stdout, stderr } = await specdiff([
      "generate",
      "--no-check",
      "--model",
      model,
      "--count",
      "5",
      "--steps",
      "20",
      "--seed",
      "3",
      "--window",
      "8",
      "--compare",
      "--rounds",
      "--out",
      at("g.png"),
      "--json",
      at("r.json"),
      "--samples",
      at("x.npy"),
    ]);
    assert.equal(code, 0, stderr);
    const record = await json(at("r.json"));
    for (const key of [
      "steps",
      "count",
      "calls",
      "rows",
      "draftCalls",
      "speedup",
      "acceptance",
      "deltaMedian",
      "wallMs",
      "modelMs",
      "engineMs",
      "seed",
      "versions",
    ]) {
      assert.ok(key in record, key);
    }
    assert.equal(record.plain.trajectoryCalls, 100);
    assert.equal(record.callRatio, 100 / record.trajectoryCalls);
    assert.equal(record.speedup, 100 / record.trajectoryCalls);
    assert.equal(record.roundList.length, record.rounds);
    assert.deepEqual(record.finishedTrajectories, [0, 1, 2, 3, 4]);
    assert.match(stdout, /5 of 5 samples, 20 steps each, seed 3/);
    assert.match(stdout, /times fewer calls/);
    assert.match(stderr, /speculative: .* of 100 steps/);
    const grid = decode(await readFile(at("g.png")));
    assert.deepEqual([grid.width, grid.height, grid.channels], [3 * 66 + 2, 2 * 66 + 2, 3]);
    const array = await readFile(at("x.npy"));
    assert.match(array.subarray(0, 128).toString("latin1"), /'descr': '<f4'.*'shape': \(5, 3, 8, 8\)/);
    assert.equal(array.length, 128 + 4 * 5 * 192);
  });

  it("gives the same samples for the same seed, whatever is in flight", async () => {
    const model = await folder("same", "plain");
    const arrays = [];
    for (const inFlight of ["1", "16"]) {
      const { code, stderr } = await specdiff([
        "generate",
        "--no-check",
        "--model",
        model,
        "--count",
        "4",
        "--steps",
        "12",
        "--window",
        "6",
        "--in-flight",
        inFlight,
        "--samples",
        "s.npy",
      ]);
      assert.equal(code, 0, stderr);
      arrays.push(await readFile(join(scratch, "s.npy")));
    }
    assert.deepEqual(arrays[0], arrays[1]);
  });

  it("chooses windows by what pays here, and replays what it chose", async () => {
    const model = await folder("auto", "plain");
    const run = (...args: string[]) => specdiff(["generate", "--no-check", "--model", model, ...args]);
    const first = await run(
      "--count",
      "3",
      "--steps",
      "25",
      "--window",
      "auto",
      "--json",
      "auto.json",
      "--samples",
      "a.npy",
    );
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /a call of one row takes .* \(measured in/);
    const { plan, window, config } = await json(join(scratch, "auto.json"));
    assert.equal(window, undefined);
    assert.equal(config.window, "auto");
    assert.equal(plan.length, 3);
    const again = await run("--replay", "auto.json", "--in-flight", "2", "--json", "b.json", "--samples", "b.npy");
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(await readFile(join(scratch, "b.npy")), await readFile(join(scratch, "a.npy")));
    const cached = await run("--count", "1", "--steps", "5", "--window", "auto");
    assert.match(cached.stderr, /\(measured before\)/);
    const other = await specdiff(["generate", "--model", await folder("other", "plain"), "--replay", "auto.json"]);
    assert.equal(other.code, 2);
    assert.match(other.stderr, /is of the model auto, not of other/);
    const none = await run("--replay", "a.npy");
    assert.equal(none.code, 5);
    assert.match(none.stderr, /cannot read the record a.npy/);
  });

  it("takes the classes in turn, by name or number", async () => {
    const model = await folder("classes", "classes", flow, { classes: ["cat", "dog"] });
    const run = async (...classes: string[]) => {
      const { code, stderr } = await specdiff([
        "generate",
        "--no-check",
        "--model",
        model,
        "--count",
        "2",
        "--steps",
        "5",
        "--samples",
        "c.npy",
        "--window",
        "3",
        "--class",
        ...classes,
      ]);
      assert.equal(code, 0, stderr);
      return readFile(join(scratch, "c.npy"));
    };
    assert.deepEqual(await run("dog"), await run("1"));
    assert.notDeepEqual(await run("dog"), await run("cat"));
    const { code, stderr } = await specdiff(["generate", "--no-check", "--model", model, "--class", "cow"]);
    assert.equal(code, 2);
    assert.match(stderr, /unknown class "cow" of classes; known are 0 cat, 1 dog/);
  });

  it("runs every drafter, carry and a draft network", async () => {
    const model = await folder("drafts", "plain", flow, { draft: "draft.onnx" });
    await copyFile(fixture("plain"), join(model, "draft.onnx"));
    for (const draft of [
      "frozen",
      "frozen:velocity",
      "frozen:drift",
      "frozen:increment",
      "frozen:epsilon",
      "frozen:score",
      "independent",
      "none",
    ]) {
      const { code, stdout, stderr } = await specdiff([
        "generate",
        "--no-check",
        "--model",
        model,
        "--count",
        "2",
        "--steps",
        "12",
        "--draft",
        draft,
        "--carry",
        "parent",
        "--leaves",
        "off",
      ]);
      assert.equal(code, 0, `${draft}: ${stderr}`);
      if (draft === "independent") assert.match(stdout, /The draft network made \d+ calls/);
    }
  });

  it("says what a network with one time for the whole batch costs, and how to export it", async () => {
    const model = await folder("scalar", "scalar-time");
    const { code, stderr } = await specdiff([
      ..."generate --no-check --steps 6 --count 2 --json s.json --model".split(" "),
      model,
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /one time for the whole batch.*timestep of shape \[batch\]: torch.onnx.export/);
    assert.ok((await json(join(scratch, "s.json"))).speedup <= 1);
  });

  it("stops at Ctrl-C, keeps what is finished, and says so", async () => {
    const model = await folder("interrupted", "plain");
    const { code, stderr } = await specdiff(
      [
        "generate",
        "--no-check",
        "--model",
        model,
        "--count",
        "4000",
        "--steps",
        "50",
        "--in-flight",
        "4",
        "--out",
        "i.png",
        "--json",
        "i.json",
        "--samples",
        "i.npy",
      ],
      /speculative: .* finished/,
    );
    assert.equal(code, 130);
    assert.match(stderr, /stopping after this round/);
    const record = await json(join(scratch, "i.json"));
    assert.ok(record.finished > 0 && record.finished < 4000);
    assert.equal(record.finishedTrajectories.length, record.finished);
    assert.match(stderr, new RegExp(`${record.finished} of 4000 trajectories had finished and are kept`));
    assert.equal((await readFile(join(scratch, "i.npy"))).length, 128 + 4 * 192 * record.finished);
    assert.ok(await exists(join(scratch, "i.png")));
  });

  it("saves the result elsewhere when the disk is full", {
    skip: process.platform !== "linux" && "needs /dev/full",
  }, async () => {
    const model = await folder("full", "plain");
    const { code, stderr } = await specdiff([
      "generate",
      "--no-check",
      "--model",
      model,
      "--count",
      "2",
      "--steps",
      "5",
      "--out",
      "/dev/full",
      "--json",
      "full.json",
    ]);
    assert.equal(code, 5);
    const refuge = /cannot write \/dev\/full: ENOSPC.*it was saved as (\S+) instead/.exec(stderr)?.[1];
    assert.ok(refuge, stderr);
    assert.equal(decode(await readFile(refuge)).width, 2 * 66 + 2);
    await rm(refuge);
    assert.equal((await json(join(scratch, "full.json"))).finished, 2);
  });
});

describe("bad input: a clear message and its exit code", () => {
  type Case = [name: string, args: () => Promise<string[]>, code: number, message: RegExp];
  const withModel =
    (name: string, network: string, scheduler: unknown, ...rest: string[]) =>
    async () => [
      "--model",
      await folder(name, network, scheduler),
      "--no-check",
      "--steps",
      "5",
      "--count",
      "2",
      ...rest,
    ];
  const ddpm = { _class_name: "DDPMScheduler" };
  const cases: Case[] = [
    ["missing folder", async () => ["--model", join(scratch, "nowhere")], 5, /there is no folder .*nowhere/],
    [
      "folder without a network",
      async () => ["--model", scratch],
      5,
      /has no network: .*unet.model.onnx does not exist/,
    ],
    [
      "folder without a scheduler",
      async () => {
        const f = await folder("no-scheduler", "plain");
        await rm(join(f, "scheduler"), { recursive: true });
        return ["--model", f];
      },
      5,
      /has no scheduler.scheduler_config.json.*--scheduler DDPMScheduler/,
    ],
    ["scheduler that is not JSON", withModel("not-json", "plain", "{"), 5, /scheduler_config.json is not JSON/],
    [
      "missing draft network",
      async () => ["--model", await folder("no-draft", "plain", flow, { draft: "gone.onnx" })],
      5,
      /draft network that does not exist/,
    ],
    [
      "unknown key in model.json",
      async () => ["--model", await folder("odd-card", "plain", flow, { clases: [] })],
      5,
      /unknown keys clases; known are name/,
    ],
    ["wrong input names", withModel("names", "other-names", flow), 3, /no input for the state/],
    [
      "output of another shape",
      withModel("shape", "undeclared-output", flow),
      4,
      /output and state must have the same shape/,
    ],
    ["NaN network", withModel("nan", "nan", flow), 4, /NaN or infinity for trajectory \d at step 0/],
    ["learned variance in the network", withModel("learned-net", "learned-variance", flow), 3, /learned variance/],
    [
      "learned variance in the schedule",
      withModel("learned", "plain", { ...ddpm, variance_type: "learned_range" }),
      3,
      /learned_range/,
    ],
    [
      "unsupported scheduler",
      withModel("unipc", "plain", { _class_name: "UniPCMultistepScheduler" }),
      3,
      /UniPCMultistepScheduler.*deterministic.*--sampler ancestral/,
    ],
    ["zero window", withModel("window", "plain", flow, "--window", "0"), 2, /whole number, at least 1/],
    ["negative churn", withModel("churn", "plain", flow, "--churn", "-1"), 2, /number, at least 0/],
    [
      "window above the row limit",
      withModel("rows", "plain", flow, "--window", "20", "--max-rows", "2"),
      2,
      /maxRows is 2/,
    ],
    [
      "unknown drafter",
      withModel("drafter", "plain", flow, "--draft", "magic"),
      2,
      /unknown drafter "magic"; known are auto, none, frozen, independent/,
    ],
    [
      "unknown frozen quantity",
      withModel("quantity", "plain", flow, "--draft", "frozen:colour"),
      2,
      /it can freeze: output, increment, x0/,
    ],
    [
      "independent without a draft network",
      withModel("alone", "plain", flow, "--draft", "independent"),
      2,
      /needs a draft network/,
    ],
    ["unknown option", async () => ["--speed", "9"], 2, /unknown option '--speed'/],
    ["class of a model without classes", withModel("no-class", "plain", flow, "--class", "cat"), 2, /has no classes/],
    [
      "output that is a folder",
      async () => [...(await withModel("out", "plain", flow)()), "--out", scratch],
      5,
      /cannot write .*it is a folder/,
    ],
  ];
  for (const [name, args, code, message] of cases) {
    it(name, async () => {
      const outcome = await specdiff(["generate", ...(await args())]);
      assert.match(outcome.stderr, message);
      assert.equal(outcome.code, code);
      assert.doesNotMatch(outcome.stderr, /\n\s+at .*\.js:\d+/, "a stack trace is not a message");
    });
  }
});

describe("specdiff bench", () => {
  it("prints time against rows and the bound, and writes both", async () => {
    const model = await folder("bench", "plain");
    const { code, stdout, stderr } = await specdiff([
      "bench",
      "--model",
      model,
      "--repetitions",
      "3",
      "--json",
      "b.json",
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /no window can be more than \d+\.\d+ times sooner/);
    const { points, bound, marginalMs } = await json(join(scratch, "b.json"));
    assert.equal(points[0].rows, 1);
    assert.ok(Math.abs(bound - points[0].ms / marginalMs) < 1e-9);
  });
});

describe("help", () => {
  for (const args of [["--help"], ["generate", "--help"], ["bench", "--help"]]) {
    it(args.join(" "), async () => {
      const { code, stdout } = await specdiff(args);
      assert.equal(code, 0);
      assert.match(stdout, /Usage: specdiff/);
      if (args.length > 1) assert.match(stdout, /Examples:/);
    });
  }
});
