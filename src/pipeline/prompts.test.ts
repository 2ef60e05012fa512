import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SpecdiffError } from "../core/errors.js";
import { fromPretrained, type Pipeline, readModelFolder } from "../node/index.js";
import type { Session } from "../onnx/session.js";
import { embedPrompts, openTokenizer } from "./prompts.js";

const model = (name: string) => fileURLToPath(new URL(`../../test/fixtures/models/${name}`, import.meta.url));
const LONG = "the dog and ".repeat(12);

describe("prompts of a text-to-image stand-in", () => {
  let golden: { prompt: string; ids: number[]; embedding: number[] }[];
  let pipeline: Pipeline;
  before(async () => {
    golden = JSON.parse(await readFile(`${model("text-to-image")}/prompts.json`, "utf8"));
    pipeline = await fromPretrained(model("text-to-image"), { worker: false });
  });
  after(() => pipeline.close());

  it("become the tokens of the Python tokenizer: cut, padded, of any script", async () => {
    const tokensOf = await openTokenizer(pipeline.folder);
    assert.equal(golden.length, 8);
    for (const { prompt, ids } of golden) assert.deepEqual(tokensOf(prompt).ids, ids, prompt);
  });

  it("become the embeddings of onnxruntime in Python, to 1e-5, in turn", async () => {
    const { conditions, unconditional } = await pipeline.embed({
      prompts: golden.map(({ prompt }) => prompt),
      guidance: 2,
    });
    const rows = golden.length;
    for (let trajectory = 0; trajectory < 2 * rows; trajectory++) {
      const { prompt, embedding } = golden[trajectory % rows]!;
      const values = conditions!.encoder_hidden_states!(trajectory);
      assert.equal(values.length, 32 * 16);
      const gap = embedding.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
      assert.ok(gap < 1e-5, `"${prompt}" differs by ${gap}`);
    }
    assert.equal(golden[0]!.prompt, "");
    assert.deepEqual(unconditional!.encoder_hidden_states!(3), conditions!.encoder_hidden_states!(0));
  });

  it("decide the samples: other words, other samples; the same words, the same ones", async () => {
    const { dim } = pipeline.networkModel(await pipeline.embed({ prompts: ["a cat"] }));
    const run = async (options: { prompts: string[]; negativePrompt?: string; guidance?: number }) => {
      const { samples } = await pipeline.run({ ...options, count: 2, steps: 6, seed: 3, window: 4 });
      return [samples.slice(0, dim), samples.slice(dim)];
    };
    const [cat, dog] = await run({ prompts: ["a cat", "the dog"] });
    assert.deepEqual(await run({ prompts: ["a cat", "the dog"] }), [cat, dog]);
    const cats = await run({ prompts: ["a cat"] });
    assert.notDeepEqual(cats[1], dog);
    const guided = await run({ prompts: ["a cat"], guidance: 5 });
    assert.notDeepEqual(guided, cats);
    assert.deepEqual(await run({ prompts: ["a cat"], guidance: 5, negativePrompt: "" }), guided);
    assert.notDeepEqual(await run({ prompts: ["a cat"], guidance: 5, negativePrompt: "blurry" }), guided);
    const { images, shape } = await pipeline.decode!(new Float64Array([...cat!, ...dog!]));
    assert.deepEqual([shape, images.length], [[3, 16, 16], 2 * 3 * 16 * 16]);
  });

  it("that are too long are cut, and what is left out is said", async () => {
    const warnings: string[] = [];
    await pipeline.embed({ prompts: ["a cat", LONG], onWarning: (message) => warnings.push(message) });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /is longer than 32 tokens; its end is left out: "the dog and the dog and"$/);
  });

  it("are refused with the remedy where they cannot be used", async () => {
    const images = await fromPretrained(model("images-epsilon"), { worker: false });
    const bare = { ...pipeline.folder, text: { encoder: "text_encoder/model.onnx" } };
    const endless = {
      ...pipeline.folder,
      text: { ...bare.text, tokenizer: { ...pipeline.folder.text!.tokenizer!, config: { model_max_length: 1e30 } } },
    };
    const array = { encoder_hidden_states: () => new Float32Array(512) };
    const cases: [work: () => Promise<unknown> | unknown, code: string, message: RegExp][] = [
      [() => images.run({ count: 1, prompts: ["a cat"] }), "bad-argument", /images-epsilon takes no text: .*leave/],
      [() => pipeline.networkModel(), "bad-argument", /give a prompt \(--prompt/],
      [() => pipeline.embed({ negativePrompt: "blurry" }), "bad-argument", /needs a prompt beside it/],
      [() => pipeline.embed({ prompts: ["a"], conditions: array }), "bad-argument", /either prompts or arrays/],
      [
        () => pipeline.run({ count: 1, prompts: ["a"], negativePrompt: "b" }),
        "bad-argument",
        /without a guidance scale; give one/,
      ],
      [() => openTokenizer(bare), "file", /no tokenizer\/tokenizer.json, .*save_pretrained/],
      [() => openTokenizer(endless), "file", /model_max_length 1e\+30; it must name a token/],
    ];
    for (const [work, code, message] of cases) {
      await assert.rejects(
        async () => work(),
        (error) => error instanceof SpecdiffError && error.code === code && message.test(error.message),
        String(message),
      );
    }
    await images.close();
  });

  it("need a folder with a text encoder of that form", async () => {
    assert.equal((await readModelFolder(model("images-epsilon"))).text, undefined);
    const session: Session = {
      inputs: [
        { name: "input_ids", type: "int64", shape: ["batch", 77] },
        { name: "attention_mask", type: "int64", shape: ["batch", 77] },
      ],
      outputs: [{ name: "last_hidden_state", type: "float32", shape: ["batch", 77, 8] }],
      run: () => assert.fail("it must not be asked"),
      close: async () => {},
    };
    await assert.rejects(
      embedPrompts(session, "text_encoder/model.onnx", () => ({ ids: [1, 2] }), ["a cat"]),
      /takes one input, token ids of shape \[batch, 2\] .* it has inputs input_ids .*, attention_mask .*--condition/,
    );
  });
});
