import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { runProgram } from "./process.test.util.js";

const STAND_IN = fileURLToPath(new URL("../../test/fixtures/models/pusher", import.meta.url));
let scratch: string;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "specdiff-test-"));
});
after(() => rm(scratch, { recursive: true }));

const run = (args: readonly string[], interruptAt?: RegExp) =>
  runProgram(scratch, ["policy", "run", "--model", STAND_IN, "--threads", "1", ...args], interruptAt);

it("runs an episode, says what each decision took, and draws a page that plays it", async () => {
  const { code, stdout, stderr } = await run(["--seed", "1", "--steps", "20", "--out", "a/rollout.html"]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /step {2}16: \d+ calls for 100 steps, [\d.]+ ms \(/);
  assert.match(stdout, /3 decisions: [\d.]+ calls each for 100 steps, [\d.]+ ms median/);
  const page = await readFile(join(scratch, "a/rollout.html"), "utf8");
  assert.match(page, /pusher, start 100001/);
  const frames = JSON.parse(/const frames = (.*);\n/.exec(page)![1]!) as { line: string }[];
  assert.equal(frames.length, 21);
  assert.match(frames[20]!.line, /^\d+ calls for 100 steps, [\d.]+ ms$/);
  assert.doesNotMatch(page, /https?:/);
});

it("draws an animated GIF, and takes the same actions for the same seed", async () => {
  const files = await Promise.all(
    ["b.gif", "c.html", "d.html"].map(async (file) => {
      const { code, stderr } = await run(["--steps", "9", "--out", file, "--draft", "frozen:x0", "--window", "20"]);
      assert.equal(code, 0, stderr);
      return readFile(join(scratch, file));
    }),
  );
  const [gif, ...pages] = files;
  assert.equal(gif!.subarray(0, 6).toString(), "GIF89a");
  assert.equal(gif!.readUInt16LE(6), 360);
  // graphic control extensions with a delay of 10, one per frame but the last
  assert.equal(gif!.toString("latin1").split("\x21\xf9\x04").length - 1, 10);
  const states = pages.map((page) => /const frames = (.*);\n/.exec(page.toString())![1]!.replace(/[\d.]+ ms/g, ""));
  assert.equal(states[0], states[1]);
});

it("says by how much a deadline is missed", async () => {
  const { code, stdout, stderr } = await run(["--steps", "9", "--deadline", "0.01", "--out", "e.html"]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /late by [\d.]+ ms/);
  assert.match(
    stdout,
    /The deadline of 0.01 ms was missed by 2 of 2 decisions, by up to [\d.]+ ms; no way of sampling/,
  );
});

it("refuses other pictures and stops on Ctrl-C", async () => {
  const other = await run(["--out", "rollout.mp4"]);
  assert.equal(other.code, 2);
  assert.match(other.stderr, /ends in \.html or \.gif/);
  const stopped = await run(["--out", "f.html"], /step {3}8:/);
  assert.equal(stopped.code, 130, stopped.stderr);
});

it("inspect, bench and calibrate look for observations themselves", async () => {
  const looked = await runProgram(scratch, ["inspect", STAND_IN, "--steps", "20", "--threads", "1"]);
  assert.match(looked.stdout, /ok +prediction.*posterior/s, looked.stderr);
  const timed = await runProgram(scratch, ["bench", "--model", STAND_IN, "--repetitions", "3", "--threads", "1"]);
  assert.equal(timed.code, 0, timed.stderr);
  const made = await runProgram(scratch, [
    "calibrate",
    "--model",
    STAND_IN,
    "--count",
    "3",
    "--out",
    "c.json",
    "--threads",
    "1",
  ]);
  assert.equal(made.code, 0, made.stderr);
  assert.equal(JSON.parse(await readFile(join(scratch, "c.json"), "utf8")).made.count, 3);
});
