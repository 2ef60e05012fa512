import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { readNpy } from "../node/npy.js";
import { EPISODE_STEPS, PushT, type Start, startOf } from "./environment.js";
import { coverageOf } from "./shape.js";

const fixture = (name: string) =>
  readNpy(readFileSync(new URL(`../../test/fixtures/pusht/${name}.npy`, import.meta.url)), name).values;

/** Distance of two states, angles around the circle. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < 5; i++) {
    const gap = Math.abs(a[i]! - b[i]!);
    worst = Math.max(worst, i === 4 ? Math.min(gap, 2 * Math.PI - gap) : gap);
  }
  return worst;
}

it("replays the 206 recorded episodes from their seeds to 1e-3 px", () => {
  const [actions, states, ends] = [fixture("action"), fixture("state"), fixture("episode_ends")];
  const env = new PushT();
  const observed = new Float64Array(5);
  const errors = Array.from(ends, (end, episode) => {
    env.reset(episode);
    let worst = 0;
    for (let row = episode === 0 ? 0 : ends[episode - 1]!; row < end; row++) {
      worst = Math.max(worst, distance(env.observe("state", observed), states.subarray(5 * row, 5 * row + 5)));
      env.step(actions[2 * row]!, actions[2 * row + 1]!);
    }
    return worst;
  });
  assert.equal(errors.length, 206);
  assert.deepEqual(
    errors.flatMap((error, episode) => (error > 1e-3 ? [episode] : [])),
    [],
  );
  // float32 rounding of the record: the rest agree as well as they can be told apart
  assert.ok(errors.filter((error) => error < 2e-5).length >= 204);
});

it("draws the starts of numpy's RandomState, to the bit", () => {
  // numpy 2.4: randint(50, 450) twice, randint(100, 400) twice, randn() * 2 * pi - pi
  const golden: [number, Start][] = [
    [0, [222, 97, 217, 292, 3.007999468]],
    [1, [87, 285, 172, 355, -6.595749753]],
    [100000, [235, 124, 335, 128, -0.904927428]],
    [100001, [365, 182, 275, 280, -1.09811314]],
    [100002, [159, 417, 295, 339, -6.114616738]],
    [100049, [143, 388, 104, 324, -13.412987964]],
  ];
  for (const [seed, start] of golden) {
    const drawn = startOf(seed);
    assert.deepEqual(drawn.slice(0, 4), start.slice(0, 4));
    assert.ok(Math.abs(drawn[4] - start[4]) < 1e-9);
  }
  // Angles whose last bit depends on a correctly rounded logarithm.
  for (const [seed, angle] of ANGLES) assert.equal(startOf(seed)[4], angle);
});

it("resets as the reference does, in both orders of position and angle", () => {
  const golden: [number, number[], number][] = [
    [0, [222, 97, 222.993827, 381.599036, 3.007999], 0.180783],
    [1, [87, 285, 158.162507, 357.180334, 5.970621], 0.000642],
    [100000, [235, 124, 299.612885, 145.201581, 5.378258], 0],
    [100001, [365, 182, 234.934254, 304.51254, 5.185072], 0.168961],
    [100002, [159, 417, 302.549712, 339.637833, 0.168569], 0],
    [100049, [143, 388, 70.293037, 339.186569, 5.436568], 0],
  ];
  const env = new PushT();
  for (const [seed, state, coverage] of golden) {
    env.reset(seed);
    assert.ok(distance(env.observe("state"), state) < 1e-6);
    assert.ok(Math.abs(env.coverage - coverage) < 1e-6);
    assert.equal(env.steps, 0);
  }
  const exact = new PushT({ legacy: false });
  exact.resetTo([400, 400, 200, 300, 1]);
  assert.ok(distance(exact.observe("state"), [400, 400, 200, 300, 1]) < 1e-9);
  env.resetTo([400, 400, 200, 300, 1]);
  assert.ok(distance(env.observe("state"), [400, 400, 237.866, 320.686, 1]) < 1e-3);
});

it("measures coverage as the area of polygons", () => {
  const golden: [number, number, number, number][] = [
    [256, 256, Math.PI / 4, 1],
    [266, 256, Math.PI / 4, 0.746499004],
    [256, 266, Math.PI / 4, 0.746499004],
    [256, 256, Math.PI / 4 + 0.1, 0.834166023],
    [250, 260, Math.PI / 4 - 0.2, 0.681982467],
    [300, 300, 0, 0.061224491],
    [256, 256, Math.PI / 4 + Math.PI, 0],
    [100, 100, 0, 0],
  ];
  for (const [x, y, angle, coverage] of golden) assert.ok(Math.abs(coverageOf(x, y, angle) - coverage) < 1e-9);
});

it("rewards coverage up to 0.95, which is success", () => {
  const env = new PushT({ legacy: false });
  env.resetTo([400, 100, 256, 256, Math.PI / 4]);
  assert.equal(env.reward, 1);
  assert.ok(env.success);
  env.resetTo([400, 100, 266, 256, Math.PI / 4]);
  assert.ok(Math.abs(env.reward - 0.746499004 / 0.95) < 1e-9);
  assert.ok(!env.success);
});

it("walls stop the block, not the pusher", () => {
  const env = new PushT({ legacy: false });
  env.resetTo([250, 250, 250, 350, 0]);
  for (let i = 0; i < 60; i++) env.step(250, 250 + 5 * i);
  const corners = env.observe("corners");
  assert.ok(env.pusherY > 480, "the pusher went on");
  for (let i = 1; i < 16; i += 2) assert.ok(corners[i]! < 512, `a corner at y = ${corners[i]}`);
  env.resetTo([250, 250, 250, 350, 0]);
  env.step(-1000, 250);
  assert.ok(env.pusherX < 0);
});

it("a pusher that does not touch the block leaves it where it is", () => {
  const env = new PushT({ legacy: false });
  env.resetTo([60, 60, 350, 350, 0.3]);
  for (let i = 0; i < EPISODE_STEPS; i++) env.step(60 + (i % 7) * 10, 80);
  assert.ok(distance(env.observe("state"), [env.pusherX, env.pusherY, 350, 350, 0.3]) < 1e-12);
  assert.equal(env.contacts, 0);
});

it("keypoints and corners move with the block; the pusher comes last", () => {
  const env = new PushT({ legacy: false });
  env.resetTo([60, 70, 256, 256, Math.PI / 2]);
  const corners = env.observe("corners");
  assert.equal(corners.length, 18);
  // (u, v) = (-60, 0) turned by a quarter: x = -v, y = u
  assert.ok(Math.hypot(corners[0]! - 256, corners[1]! - 196) < 1e-9);
  const keypoints = env.observe("keypoints");
  assert.equal(keypoints.length, 20);
  assert.ok(Math.hypot(keypoints[0]! - (256 - 90.04097), keypoints[1]! - (256 + 9.26979)) < 1e-9);
  assert.deepEqual(Array.from(keypoints.subarray(18)), [60, 70]);
});

it("is deterministic, and refuses what is not a number", () => {
  const run = () => {
    const env = new PushT();
    env.reset(7);
    for (let i = 0; i < 100; i++) env.step(256 + 100 * Math.sin(i / 5), 256 + 100 * Math.cos(i / 5));
    return env.observe("state");
  };
  assert.deepEqual(run(), run());
  const env = new PushT();
  assert.throws(() => env.step(Number.NaN, 0), /the action is \(NaN, 0\)/);
  assert.throws(() => env.resetTo([1, 2, 3, 4, Number.POSITIVE_INFINITY]), /five finite numbers/);
  for (const seed of [-1, 0.5, 2 ** 32]) assert.throws(() => env.reset(seed), /seed is/);
});

const ANGLES: readonly (readonly [number, number])[] = [
  [15, -8.809773753579739],
  [90, -6.857461727305811],
  [139, -1.2565007043814014],
  [205, -3.892590331126092],
  [100000, -0.9049274284249247],
  [100001, -1.0981131397099535],
  [100013, -4.5318277974454135],
  [100049, -13.41298796393892],
];
