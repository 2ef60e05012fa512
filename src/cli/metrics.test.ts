import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { encode } from "fast-png";
import { zipSync } from "fflate";
import { npy } from "../node/npy.js";
import { runProgram } from "./process.test.util.js";

const network = fileURLToPath(new URL("../../test/fixtures/onnx/features.onnx", import.meta.url));
let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-metrics-"));
});
after(() => rm(scratch, { recursive: true }));

const specdiff = (...args: string[]) => runProgram(scratch, ["metrics", ...args]);

async function file(name: string, values: readonly number[], shape: readonly number[]): Promise<string> {
  await writeFile(join(scratch, name), npy(Float64Array.from(values), shape));
  return name;
}

/** PNGs of one colour each, 4 x 4 or another size. */
async function folder(name: string, colours: readonly (readonly number[])[], size = 4): Promise<string> {
  await mkdir(join(scratch, name));
  for (const [n, colour] of colours.entries()) {
    const data = Uint8Array.from({ length: size * size * colour.length }, (_, i) => colour[i % colour.length]!);
    const png = encode({ width: size, height: size, data, channels: colour.length as 1 | 3 | 4 });
    await writeFile(join(scratch, name, `${n}.png`), png);
  }
  return name;
}

describe("specdiff metrics", () => {
  it("w2 of .npy files", async () => {
    const a = await file("a.npy", [0, 0, 1, 0, 5, 5], [3, 2]);
    const b = await file("b.npy", [5, 8, 0, 0, 1, 0], [3, 2]);
    const { stdout, code } = await specdiff("w2", a, b);
    assert.equal(code, 0);
    assert.match(stdout, /^1\.7320508 {2}/); // one point moved by 3: (9 / 3)^(1/2)
    const odd = await file("odd.npy", [1, 2], [1, 2]);
    assert.match((await specdiff("w2", a, odd)).stderr, /3 and 1 points/);
  });

  it("fid of features in .npy files, and of a .npz of pytorch-fid", async () => {
    const a = await file("fa.npy", [1, 0, -1, 0, 0, 1, 0, -1], [4, 2]);
    const b = await file("fb.npy", [4, 0, 2, 0, 3, 1, 3, -1], [4, 2]);
    assert.match((await specdiff("fid", a, b)).stdout, /^9\.0000 .*2 features/);
    const mean = npy(Float64Array.of(0, 0), [2]);
    const covariance = npy(Float64Array.of(6, 0, 0, 6), [2, 2]);
    await writeFile(join(scratch, "stats.npz"), zipSync({ "mu.npy": mean, "sigma.npy": covariance }));
    // covariance of a is 2/3 I: 2 (6^(1/2) - (2/3)^(1/2))^2
    const expected = 2 * (Math.sqrt(6) - Math.sqrt(2 / 3)) ** 2;
    assert.ok((await specdiff("fid", a, "stats.npz")).stdout.startsWith(expected.toFixed(4)));
    await writeFile(join(scratch, "half.npz"), zipSync({ "mu.npy": mean }));
    assert.match((await specdiff("fid", a, "half.npz")).stderr, /must hold mu .* and sigma/);
  });

  it("fid and is of folders of PNGs: colour, grey and transparent, any size", async () => {
    const colours = [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [255, 255, 255],
    ];
    const a = await folder("pngs", colours);
    const b = await folder("large", colours, 9);
    const c = await folder(
      "clear",
      colours.map((one) => [...one, 128]),
    );
    const inColours = ["--features", network];
    for (const other of [b, c])
      assert.match((await specdiff("fid", a, other, ...inColours)).stdout, /^0\.0000 .*3 features/);
    const grey = await folder("grey", [[0], [255], [102], [51]]);
    // means of each colour: a (0, 0, 0), grey -0.2 each
    const { stdout, code, stderr } = await specdiff("fid", a, grey, ...inColours);
    assert.equal(code, 0, stderr);
    assert.ok(Number(stdout.split(" ")[0]) > 0.11, stdout);
    // red, green and blue under the softmax of 10 x (1, -1, -1) ..: three sure classes, and white in between
    const score = Number((await specdiff("is", a, "--splits", "1", ...inColours)).stdout.split(" ")[0]);
    const white = Math.log(1 / 3) - Math.log(1 / 3);
    assert.ok(Math.abs(score - Math.exp((3 * Math.log(3) + white) / 4)) < 1e-3, `${score}`);
    assert.match((await specdiff("fid", a, ...inColours)).stderr, /without reference statistics/);
    assert.match((await specdiff("fid", "nowhere", a, ...inColours)).stderr, /nowhere/);
    assert.equal((await specdiff("fid", "nowhere", a, ...inColours)).code, 5);
  });

  it("images as numbers or bytes in .npy files are the same images", async () => {
    const plane = (value: number) => new Array<number>(16).fill(value);
    const bytes = [255, 0, 51, 0, 102, 153].flatMap(plane);
    const a = await file("bytes.npy", bytes, [2, 3, 4, 4]);
    const b = await file(
      "numbers.npy",
      bytes.map((value) => (2 * value) / 255 - 1),
      [2, 3, 4, 4],
    );
    assert.match((await specdiff("fid", a, b, "--features", network)).stdout, /^0\.0000 /);
  });
});
