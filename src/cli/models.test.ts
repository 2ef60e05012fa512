import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { npy } from "../node/index.js";
import { runProgram } from "./process.test.util.js";

// Whole commands on the stand-ins of training/stand_ins.py, in the forms in which people have models.

const fixtures = fileURLToPath(new URL("../../test/fixtures", import.meta.url));
const standIn = (name: string) => join(fixtures, "models", name);
const network = (name: string) => join(fixtures, "onnx", `${name}.onnx`);
let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-models-"));
});
after(() => rm(scratch, { recursive: true }));

const specdiff = (line: string, words: readonly string[] = []) => runProgram(scratch, [...line.split(" "), ...words]);

/** A copy of a stand-in to be spoilt. */
async function copy(of: string, as: string): Promise<string> {
  await cp(standIn(of), join(scratch, as), { recursive: true });
  return as;
}

const small = "--count 2 --steps 12";

describe("generate with every form of a model, self-check included", () => {
  for (const name of [
    "images-epsilon",
    "images-sample",
    "images-v-classes",
    "images-flow-half",
    "vectors-epsilon",
    "vectors-epsilon-scalar",
    "vectors-sample",
    "vectors-v",
    "vectors-flow",
  ]) {
    it(name, async () => {
      const { code, stderr } = await specdiff(`generate --model ${standIn(name)} ${small} --json ${name}.json`);
      assert.equal(code, 0, stderr);
      assert.equal(JSON.parse(await readFile(join(scratch, `${name}.json`), "utf8")).finished, 2);
    });
  }

  it("a graph with one time for all rows is sampled plainly, unless a drafter is asked for", async () => {
    const run = async (flags: string) => {
      const { code, stderr } = await specdiff(
        `generate --model ${standIn("vectors-epsilon-scalar")} ${small} --no-check --json p.json${flags}`,
      );
      assert.equal(code, 0, stderr);
      const { calls, rows, config } = JSON.parse(await readFile(join(scratch, "p.json"), "utf8"));
      return { calls, rows, draft: config.draft, said: /Export it again.*every step is sampled plainly/.test(stderr) };
    };
    assert.deepEqual(await run(""), { calls: 12, rows: 24, draft: "none", said: true });
    const drafted = await run(" --draft posterior --window 4");
    assert.deepEqual([drafted.draft, drafted.said], ["posterior", false]);
    assert.ok(drafted.rows > 24, "drafts were verified");
  });

  it("a bare ONNX file with its schedule as flags gives what the folder gives", async () => {
    const bare = `${standIn("vectors-v")}/unet/model.onnx --scheduler DDPMScheduler beta_schedule=squaredcos_cap_v2 prediction_type=v_prediction clip_sample=false`;
    for (const [file, model] of [
      ["a.npy", standIn("vectors-v")],
      ["b.npy", bare],
      ["c.npy", bare.replace("DDPMScheduler", `${standIn("vectors-v")}/scheduler/scheduler_config.json`)],
    ]) {
      const { code, stderr } = await specdiff(`generate --model ${model} ${small} --window 4 --samples ${file}`);
      assert.equal(code, 0, stderr);
    }
    const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => readFile(join(scratch, `${name}.npy`))));
    assert.deepEqual(a, b);
    assert.deepEqual(a, c);
  });

  it("classes, a condition from a file, and guidance by the null class, counted as two rows", async () => {
    const model = standIn("images-v-classes");
    await writeFile(join(scratch, "labels.npy"), npy(Float64Array.of(1, 0), [2]));
    const run = async (flags: string) => {
      const { code, stderr } = await specdiff(
        `generate --model ${model} ${small} --draft none --samples s.npy --json s.json ${flags}`,
      );
      assert.equal(code, 0, stderr);
      const record = JSON.parse(await readFile(join(scratch, "s.json"), "utf8"));
      return { samples: await readFile(join(scratch, "s.npy")), rows: record.rows };
    };
    const byName = await run("--class down across");
    assert.deepEqual((await run("--condition class_labels=labels.npy")).samples, byName.samples);
    const guided = await run("--class down across --guidance 2");
    assert.notDeepEqual(guided.samples, byName.samples);
    assert.deepEqual([byName.rows, guided.rows], [24, 48]);
  });

  it("prompts in turn, with guidance, decoded to images; one that is too long is cut and said", async () => {
    const words = ["--prompt", "a cat", "the dog and ".repeat(12), "--negative-prompt", "blurry", "--guidance", "5"];
    // the stand-in is untrained, which the self-check would say
    const { code, stderr } = await specdiff(
      `generate --model ${standIn("text-to-image")} ${small} --no-check --json t.json --out t.png`,
      words,
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /is longer than 32 tokens; its end is left out: "the dog/);
    const { finished, config } = JSON.parse(await readFile(join(scratch, "t.json"), "utf8"));
    assert.deepEqual([finished, config.negativePrompt], [2, "blurry"]);
    assert.ok((await readFile(join(scratch, "t.png"))).length > 500);
    const refused = await specdiff(`generate --model ${standIn("images-epsilon")} ${small} --prompt cat`);
    assert.deepEqual([refused.code, /takes no text/.test(refused.stderr)], [2, true], refused.stderr);
  });

  it("a deterministic scheduler as its stochastic counterpart, on request", async () => {
    const flags = `--model ${standIn("vectors-epsilon")} ${small} --scheduler PNDMScheduler beta_schedule=squaredcos_cap_v2`;
    const refused = await specdiff(`generate ${flags}`);
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /deterministic.*--sampler ancestral/);
    const { code, stderr } = await specdiff(`generate ${flags} --sampler ancestral`);
    assert.equal(code, 0, stderr);
  });
});

describe("specdiff inspect", () => {
  it("describes, checks and predicts, and writes the figures", async () => {
    const { code, stdout, stderr } = await specdiff(`inspect ${standIn("images-v-classes")} --steps 30 --json i.json`);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /class_labels \(int64\[batch\]\)/);
    assert.match(stdout, /classes {4}2, 2 means none/);
    assert.match(stdout, /ok {5}prediction/);
    assert.match(stdout, /frozen:x0 .*\d/);
    assert.match(stdout, /\d\.\d steps a call|but no seconds|next to no calls/);
    const { drafters, measured, verdict } = JSON.parse(await readFile(join(scratch, "i.json"), "utf8"));
    assert.ok(drafters.length >= 4 && measured.length === 3 && verdict.length > 0);
  });

  it("stops at a failed check with its exit code, and shows the finding", async () => {
    const wrong = `${standIn("images-epsilon")} --scheduler prediction_type=sample`;
    const { code, stdout, stderr } = await specdiff(`inspect ${wrong}`);
    assert.equal(code, 3);
    assert.match(stdout, /NOT OK prediction/);
    assert.match(stderr, /It fits prediction "epsilon"/);
  });
});

describe("broken exports: a clear message and an exit code, before anything is sampled", () => {
  const flow = "--scheduler FlowMatchEulerDiscreteScheduler";
  const cases: [name: string, args: () => Promise<string>, code: number, message: RegExp][] = [
    ["wrong names", async () => `${network("other-names")} ${flow}`, 3, /no input for the state; name it sample/],
    [
      "truncated file",
      async () => {
        const folder = await copy("images-epsilon", "cut");
        await truncate(join(scratch, folder, "unet", "model.onnx"), 20_000);
        return folder;
      },
      3,
      /ONNX Runtime cannot load .*model.onnx/,
    ],
    [
      "missing external data",
      async () => {
        const folder = await copy("images-v-classes", "no-data");
        await rm(join(scratch, folder, "unet", "model.onnx_data"));
        return folder;
      },
      3,
      /ONNX Runtime cannot load .*model.onnx_data/,
    ],
    [
      "wrong prediction type",
      async () => `${standIn("images-epsilon")} --scheduler prediction_type=v_prediction`,
      3,
      /does not fit prediction "v_prediction".*It fits prediction "epsilon".*--scheduler prediction_type=epsilon/,
    ],
    ["learned variance", async () => `${network("learned-variance")} ${flow}`, 3, /a learned variance/],
    ["missing scheduler", async () => network("plain"), 5, /has no scheduler.*--scheduler DDPMScheduler/],
    ["NaN weights", async () => `${network("nan")} ${flow}`, 4, /returns NaN at the noise end.*weights are damaged/],
    [
      "fixed batch of 1",
      async () => `${network("fixed-batch")} ${flow}`,
      3,
      /fixed batch of 1; export it with a dynamic/,
    ],
    ["wrong channel count", async () => `${network("inpainting")} ${flow}`, 3, /128 numbers a row, a state has 192/],
    [
      "channels that config.json counts otherwise",
      async () => {
        const folder = await copy("images-epsilon", "channels");
        await writeFile(join(scratch, folder, "unet", "config.json"), '{"in_channels": 3, "sample_size": 8}');
        return folder;
      },
      3,
      /state has shape \[3, 8, 8\], which does not fit input sample \(float32\[batch, 1, 8, 8\]\)/,
    ],
    [
      "a condition of the wrong size",
      async () => {
        await writeFile(join(scratch, "two.npy"), npy(Float64Array.of(1, 0, 1, 0), [2, 2]));
        return `${standIn("images-v-classes")} --condition class_labels=two.npy`;
      },
      2,
      /class_labels .* has 2 numbers per trajectory, which do not fill class_labels \(int64\[batch\]\)/,
    ],
    [
      "a condition that is no array",
      async () => `${standIn("images-v-classes")} --condition class_labels=${network("plain")}`,
      5,
      /plain.onnx is not a .npy file; save it with numpy.save/,
    ],
    [
      "a provider that is not there",
      async () => `${standIn("images-epsilon")} --provider nonsense`,
      3,
      /with nonsense: .*backend not found.*use cpu/,
    ],
    [
      "guidance without a null class",
      async () => `${standIn("images-epsilon")} --guidance 3`,
      2,
      /give the unconditional inputs \(--unconditional/,
    ],
  ];
  for (const [name, args, code, message] of cases) {
    it(name, async () => {
      const outcome = await specdiff(`generate ${small} --model ${await args()}`);
      assert.match(outcome.stderr, message);
      assert.equal(outcome.code, code);
      assert.doesNotMatch(outcome.stderr, /\n\s+at .*\.js:\d+/, "a stack trace is not a message");
    });
  }
});

it("calibrate writes a file beside the model that automatic windows begin with", async () => {
  const model = await copy("vectors-v", "calibrated");
  const made = await specdiff(`calibrate --model ${model} --count 2 --steps 30`);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /delta beside a refused state.*Wrote calibrated.calibration\.json/s);
  const file = join(scratch, model, "calibration.json");
  const { draft, logSnr, near, far, made: how } = JSON.parse(await readFile(file, "utf8"));
  assert.deepEqual([draft, near.length, far.length, how.steps], ["auto", logSnr.length, logSnr.length, 30]);

  const { code, stderr } = await specdiff(`generate --model ${model} ${small} --no-check --json c.json`);
  assert.equal(code, 0, stderr);
  const record = JSON.parse(await readFile(join(scratch, "c.json"), "utf8"));
  assert.equal(record.plan.length, 2);
  assert.ok(record.cost.points.length > 1);

  await writeFile(file, '{"draft": "auto", "logSnr": []}');
  const spoilt = await specdiff(`generate --model ${model} ${small}`);
  assert.equal(spoilt.code, 5);
  assert.match(
    spoilt.stderr,
    /calibration\.json: logSnr must be a list of ascending numbers; run specdiff calibrate again/,
  );
});
