import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { RowBuffer } from "../core/model.js";
import type { RunRecord } from "../core/record.js";
import { fromPretrained } from "../node/index.js";
import { rgba } from "./index.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const root = fileURLToPath(new URL("../../", import.meta.url));
const quiet =
  "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};
const SHIPPED = "models/cifar10";
const options = { count: 2, steps: 12, seed: 4, window: 4 };

/** Largest difference as a share of the first array's root mean square. */
function gap(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let [most, squares] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= most)) most = difference;
    squares += a[i]! ** 2;
  }
  return most / Math.sqrt(squares / a.length);
}

interface Answer {
  outputs: number[];
  plain: number[];
  record: RunRecord;
}

describe("in a page of Chromium", {
  skip: !existsSync(CHROMIUM) && `there is no ${CHROMIUM}: install chromium, or name another in CHROMIUM`,
}, () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  before(async () => {
    server = createServer(async (request, response) => {
      const path = decodeURIComponent(new URL(request.url!, "http://page").pathname);
      try {
        const content = await readFile(join(root, path));
        response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
        response.end(request.method === "HEAD" ? undefined : content);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  after(() => server.close());

  /** A page with the library in it; errors of the page are errors here. */
  async function open(...args: string[]): Promise<void> {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: [...quiet.split(" "), ...args] });
    page = await browser.newPage();
    page.on("pageerror", (error) => {
      throw error;
    });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/test/web/index.html`);
    await page.waitForFunction("globalThis.ready");
  }

  async function agrees(model: string, providers: string[], outputTolerance: number, sampleTolerance: number) {
    const pipeline = await fromPretrained(join(root, model), { worker: false });
    const { chain } = pipeline.schedule(options);
    const network = pipeline.networkModel();
    const rows = new RowBuffer(network.dim);
    for (const [row, step] of [0, 5, 11].entries()) {
      const state = Float64Array.from({ length: network.dim }, (_, i) => Math.sin(1 + i * (row + 1)));
      rows.push(row, step, chain, state, 0);
    }
    const here = Float64Array.from((await network.evaluate(rows)).subarray(0, rows.count * rows.dim));
    const plain = await pipeline.run({ ...options, draft: "none" });
    await pipeline.close();
    const plainRows = {
      count: rows.count,
      dim: rows.dim,
      ...Object.fromEntries(
        (["trajectory", "step", "time"] as const).map((key) => [key, [...rows[key].subarray(0, rows.count)]]),
      ),
      states: [...rows.states.subarray(0, rows.count * rows.dim)],
    };
    const argument = JSON.stringify({ model, providers, rows: plainRows, options });
    const there = (await page.evaluate(`generate(${argument})`)) as Answer;
    const outputs = gap(here, there.outputs);
    const samples = gap(plain.samples, there.plain);
    assert.ok(outputs <= outputTolerance, `outputs differ by ${outputs}`);
    assert.ok(samples <= sampleTolerance, `plain samples differ by ${samples}`);
    assert.ok(there.record.finished === options.count && there.record.speedup! >= 1);
    return `differences to Node: outputs ${outputs.toExponential(1)}, plain samples ${samples.toExponential(1)}`;
  }

  describe("with WebAssembly", () => {
    before(() => open("--disable-gpu"));
    after(() => browser.close());
    // Outputs to 1e-5, plain samples of 12 steps to 1e-4 of their size; half precision has 11 bits.
    for (const [model, outputs, samples] of [
      ["test/fixtures/models/images-epsilon", 1e-5, 1e-4],
      ["test/fixtures/models/images-v-classes", 1e-5, 1e-4],
      ["test/fixtures/models/vectors-flow", 1e-5, 1e-4],
      ["test/fixtures/models/images-flow-half", 2e-2, 5e-2],
      // the model that ships, once it is there
      ...(existsSync(join(root, SHIPPED, "unet/model.onnx")) ? ([[SHIPPED, 1e-4, 1e-3]] as const) : []),
    ] as const) {
      it(`${model} agrees with Node`, async (t) => {
        t.diagnostic(await agrees(model, ["wasm"], outputs, samples));
      });
    }
    it("embeds prompts as Node does", async () => {
      const model = "test/fixtures/models/text-to-image";
      const prompts = ["a cat", "café 猫 ".repeat(9)];
      const there = (await page.evaluate(`embed(${JSON.stringify({ model, prompts })})`)) as number[][];
      const pipeline = await fromPretrained(join(root, model), { worker: false });
      const { conditions } = await pipeline.embed({ prompts });
      await pipeline.close();
      there.forEach((values, n) => {
        const difference = gap(conditions!.encoder_hidden_states!(n), values);
        assert.ok(difference < 1e-5, `prompt ${n} differs by ${difference}`);
      });
    });
    it("draws the images", async () => {
      const shades = await page.evaluate(
        "Array.from(document.querySelectorAll('canvas.image'), (c) => new Set(c.getContext('2d').getImageData(0, 0, 8, 8).data).size)",
      );
      const images = shades as number[];
      assert.ok(images.length >= 6);
      for (const count of images) assert.ok(count > 10, `an image of ${count} shades`);
    });
    it("says what is missing", async () => {
      const argument = JSON.stringify({ model: "models/nowhere", providers: ["wasm"] });
      await assert.rejects(
        page.evaluate(`generate(${argument})`),
        /nowhere\/ has no network: .*unet\/model.onnx does not exist/,
      );
    });
  });

  it("with WebGPU, where there is an adapter", async (t) => {
    await open("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan");
    try {
      if (!(await page.evaluate("hasAdapter()"))) return t.skip("this Chromium has no WebGPU adapter here");
      t.diagnostic(await agrees("test/fixtures/models/images-epsilon", ["webgpu"], 1e-3, 1e-2));
    } finally {
      await browser.close();
    }
  });
});

it("turns images into pixels", () => {
  assert.deepEqual([...rgba([-1, 1], [1, 1, 2])], [0, 0, 0, 255, 255, 255, 255, 255]);
  assert.deepEqual([...rgba([0, 2, -3], [3, 1, 1])], [128, 255, 0, 255]);
  assert.throws(() => rgba([0, 0], [2, 1, 1]), /no image; it needs \[1 or 3, height, width\]/);
});
