import type { Chain } from "../core/chain.js";
import type { Drafter, Evaluation } from "../core/drafter.js";
import { sample } from "../core/loop.js";
import { type Model, RowBuffer, type Rows } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import type { Carry } from "../core/slot.js";
import type { Verdict, Verifier, Window } from "../core/verifier.js";
import { fixedWindow } from "../core/window-policy.js";
import { block } from "../verifiers/block.js";
import { compare } from "../verifiers/compare.js";
import { reflection } from "../verifiers/reflection.js";
import { assertLaw, pathLaw, terminalLaw } from "./law.js";
import { overlap } from "./statistics.js";
import { testChain, testModel, tiltedDrafter } from "./targets.js";

/** One case of a conformance suite: `run` rejects if the member does not conform. For any test runner. */
export interface ConformanceCase {
  readonly name: string;
  run(): Promise<void>;
}

/** What every verifier must satisfy. @param seed chooses the draws; a correct member fails any case with probability about 1e-4 */
export function verifierConformance(verifier: Verifier, seed = 1): ConformanceCase[] {
  const dim = 5;
  const chain = testChain();
  const model = testModel(dim);
  const cases: ConformanceCase[] = [
    {
      name: "accepts one draft with probability 2 Phi(-delta/2)",
      run: async () => {
        for (const size of [1, 2, 16, 512])
          for (const delta of [0, 0.02, 0.3, 1, 2, 4]) checkAcceptance(verifier, size, delta, seed);
      },
    },
  ];
  for (const window of [1, 3, 10]) {
    for (const tilt of [0.15, 1]) {
      const speculation = { drafter: tiltedDrafter(dim, tilt), verifier, window: fixedWindow(window), inFlight: 64 };
      cases.push(
        {
          name: `path law, window ${window}, draft error ${tilt}`,
          run: async () => assertLaw(await pathLaw(chain, model, testModel(dim, tilt), speculation, 3000, seed)),
        },
        {
          name: `terminal law, window ${window}, draft error ${tilt}`,
          run: async () => assertLaw(await terminalLaw(chain, model, speculation, 4000, seed)),
        },
      );
    }
  }
  return cases;
}

/** What every drafter must satisfy: whatever it guesses, the samples keep the law, under every carry rule. */
export function drafterConformance(create: (chain: Chain, dim: number) => Drafter, seed = 1): ConformanceCase[] {
  const dim = 5;
  const chain = testChain();
  const model = testModel(dim);
  const cases: ConformanceCase[] = [];
  for (const carry of ["none", "parent", "nearest", "window"] satisfies Carry[]) {
    for (const leaves of [true, false]) {
      const speculation = () => ({
        drafter: create(chain, dim),
        verifier: reflection,
        window: fixedWindow(6),
        carry,
        leaves,
        inFlight: 64,
      });
      cases.push({
        name: `law, carry ${carry}, ${leaves ? "with" : "without"} leaves`,
        run: async () => {
          assertLaw(await pathLaw(chain, model, testModel(dim, 0.5), speculation(), 2000, seed));
          assertLaw(await terminalLaw(chain, model, speculation(), 3000, seed));
        },
      });
    }
  }
  cases.push({
    name: "knows nothing after a round of what lay behind the first refused draft",
    run: async () => {
      const guess = await guessAfterRefusal(create, 1);
      const other = await guessAfterRefusal(create, 2);
      if (guess.some((value, i) => value !== other[i]))
        throw new Error("a guess depends on refused states whose noise is used again");
    },
  });
  cases.push({
    name: "the same trajectories in any batch",
    run: async () => {
      const run = (inFlight: number) =>
        sample({
          chain,
          model,
          drafter: create(chain, dim),
          verifier: reflection,
          window: fixedWindow(6),
          count: 7,
          seed,
          inFlight,
        });
      const alone = await run(1);
      for (const inFlight of [3, 16]) {
        const { samples } = await run(inFlight);
        const at = samples.findIndex((value, i) => !Object.is(value, alone.samples[i]));
        if (at >= 0) throw new Error(`trajectory ${Math.floor(at / dim)} differs with ${inFlight} in flight`);
      }
    },
  });
  return cases;
}

/**
 * Three windows of a drafter under carry "window", by hand: the first guess of the third, where the second was refused at its second
 * level and `world` chooses what lay behind.
 */
async function guessAfterRefusal(create: (chain: Chain, dim: number) => Drafter, world: number): Promise<Float64Array> {
  const dim = 5;
  const chain = testChain();
  const model = testModel(dim);
  const drafter = create(chain, dim);
  const memory = drafter.open(0);
  const rowsAt = (step: number, window: number, version = 0) => {
    const state = new Float64Array(dim);
    new RandomStream(7).key(step, window, version, 0).normals(state);
    const rows = new RowBuffer(dim);
    rows.push(0, step, chain, state, 0);
    return rows;
  };
  const pointAt = async (step: number, window: number, version = 0): Promise<Evaluation> => {
    const rows = rowsAt(step, window, version);
    return { step, state: rows.states.slice(0, dim), output: Float64Array.from(await model.evaluate(rows)) };
  };
  const guessAt = async (step: number, window: number, version = 0) =>
    Float64Array.from((await drafter.guess(rowsAt(step, window, version), [memory])).subarray(0, dim));

  // In the second window the draft at step 5 is refused; what is at 6 and later hangs on noise that is to be used again.
  const versionAt = (step: number) => (step > 5 ? world : 0);
  const first: Evaluation[] = [];
  for (let step = 0; step <= 8; step++) {
    first.push(await pointAt(step, 0, versionAt(step)));
    if (step === 0) drafter.anchor?.(memory, first[0]!);
    else if (step < 8) await guessAt(step, 0, versionAt(step));
  }
  drafter.observe?.(memory, first.slice(0, 4)); // the draft at step 3 was refused

  const second: Evaluation[] = [];
  for (let step = 3; step <= 8; step++) {
    drafter.anchor?.(memory, first[step]!);
    await guessAt(step, 1, versionAt(step));
    second.push(await pointAt(step, 1, versionAt(step)));
  }
  drafter.observe?.(memory, second.slice(0, 3)); // steps 3 to 5: two committed and the refused one

  drafter.anchor?.(memory, second[2]!);
  return guessAt(5, 2);
}

/**
 * What every model must satisfy. Rows in a batch equal rows alone to `tolerance` x (1 + |value|): 0 for bit-identical
 * trajectories in any batch; 1e-5 is customary for a network.
 */
export function modelConformance(model: Model, chain: Chain, tolerance: number, seed = 1): ConformanceCase[] {
  const { dim } = model;
  const steps = chain.sigma.length;
  const rows = () => {
    const buffer = new RowBuffer(dim);
    const state = new Float64Array(dim);
    const random = new RandomStream(seed);
    [0, steps - 1, steps >> 1, 0, steps >> 2].forEach((step, i) => {
      random.key(i, 0, 0, 0).normals(state);
      for (let j = 0; j < dim; j++) state[j]! *= chain.initialSigma;
      buffer.push(i, step, chain, state, 0);
    });
    return buffer;
  };
  return [
    {
      name: "finite output of the right size at both ends of the chain",
      run: async () => {
        const batch = rows();
        const outputs = await model.evaluate(batch);
        if (outputs.length < batch.count * dim)
          throw new Error(`${outputs.length} numbers for ${batch.count} x ${dim}`);
        const bad = outputs.subarray(0, batch.count * dim).findIndex((value) => !Number.isFinite(value));
        if (bad >= 0) throw new Error(`row ${Math.floor(bad / dim)} has ${outputs[bad]}`);
      },
    },
    {
      name: "does not write to its input",
      run: async () => {
        const batch = rows();
        const before = batch.states.slice();
        await model.evaluate(batch);
        if (batch.states.some((value, i) => !Object.is(value, before[i]))) throw new Error("the states were changed");
      },
    },
    {
      name: "rows in a batch equal rows alone",
      run: async () => {
        const batch = rows();
        const together = Float64Array.from(await model.evaluate(batch));
        for (let row = 0; row < batch.count; row++) {
          const alone = await model.evaluate(oneRow(batch, row));
          for (let i = 0; i < dim; i++) {
            const value = together[row * dim + i]!;
            const gap = Math.abs(alone[i]! - value);
            if (!(gap <= tolerance * (1 + Math.abs(value))))
              throw new Error(`row ${row} differs by ${gap} from itself alone`);
          }
        }
      },
    },
  ];
}

/** Deliberately wrong verifiers. Each must fail a case of `verifierConformance`: a suite that passes one sees nothing. */
export const brokenVerifiers: readonly Verifier[] = [
  broken("keeps every draft", (window, verdict) => {
    verdict.tip = window.drafted;
    verdict.corrected = false;
    verdict.replaced = -1;
  }),
  // The classic mistake: rejected, so "sample from the target", which counts the overlap twice.
  broken("draws a fresh target sample on rejection", (window, verdict, random) => {
    if (!verdict.corrected || window.sigma[verdict.tip] === 0) return;
    const noise = new Float64Array(window.dim);
    random.normals(verdict.tip, noise);
    for (let i = 0; i < window.dim; i++) {
      verdict.residual[i] = window.targetMeans[verdict.tip * window.dim + i]! + window.sigma[verdict.tip]! * noise[i]!;
    }
  }),
  // Right along the difference of the means, wrong across it: seen by the orthogonal and random directions only.
  broken("reflects without moving to the target mean across", (window, verdict) => {
    if (!verdict.corrected || window.sigma[verdict.tip] === 0) return;
    const at = verdict.tip * window.dim;
    const child = (verdict.tip + 1) * window.dim;
    let squares = 0;
    let product = 0;
    for (let i = 0; i < window.dim; i++) {
      const difference = window.targetMeans[at + i]! - window.draftMeans[at + i]!;
      squares += difference ** 2;
      product += difference * (window.states[child + i]! - window.draftMeans[at + i]!);
    }
    for (let i = 0; i < window.dim; i++) {
      const difference = window.targetMeans[at + i]! - window.draftMeans[at + i]!;
      const across = window.states[child + i]! - window.draftMeans[at + i]! - (product / squares) * difference;
      verdict.residual[i]! += 0.5 * across;
    }
  }),
  // Right level by level, wrong for a block: what is left of the target there is not the mirror image of what was refused.
  {
    name: "verifies blocks but reflects what it refuses",
    verify(window, random, verdict) {
      block.verify(window, random, verdict);
      const { tip, corrected, residual } = verdict;
      if (!corrected || window.sigma[tip] === 0) return;
      const found = { delta: 0, along: 0 };
      compare(window, tip, tip + 1, found);
      const shift = (found.delta - 2 * found.along) / found.delta;
      for (let i = 0; i < window.dim; i++) {
        const at = tip * window.dim + i;
        residual[i] = window.states[at + window.dim]! + shift * (window.targetMeans[at]! - window.draftMeans[at]!);
      }
    },
  },
  // Small differences waved through: biased by about delta / sqrt(2 pi) a step in total variation.
  {
    name: "skips the test where delta is below 0.5",
    verify(window, random, verdict) {
      const found = { delta: 0, along: 0 };
      const lenient = (node: number) => {
        compare(window, node - 1, node, found);
        return found.delta < 0.5 ? 1 - 2 ** -53 : random.uniform(node);
      };
      reflection.verify(window, { ...random, uniform: lenient }, verdict);
    },
  },
  // Block verification looks at the noise of later steps before it refuses an earlier one: it may not be used again.
  { ...block, name: "verifies blocks and lets their noise be used again", sequential: true },
];

/** A drafter that looks at the noise of the step it guesses. Must fail `drafterConformance`. */
export function peekingDrafter(
  chain: Chain,
  dim: number,
  seed = 1,
): Drafter<{ trajectory: number; round: number; step: number }> {
  const model = testModel(dim);
  const random = new RandomStream(seed);
  const noise = new Float64Array(dim);
  return {
    name: "peeks at its own noise",
    needsAnchor: false,
    open: (trajectory) => ({ trajectory, round: 0, step: 0 }),
    guess(rows, memories) {
      const out = Float64Array.from(model.evaluate(rows) as Float64Array);
      for (let row = 0; row < rows.count; row++) {
        const { trajectory, round } = memories[row]!;
        const step = rows.step[row]!;
        random.key(trajectory, round, step, 1).normals(noise);
        const size = (0.8 * chain.sigma[step]!) / chain.b[step]!;
        for (let i = 0; i < dim; i++) out[row * dim + i]! += size * Math.sign(noise[i]!);
      }
      return out;
    },
    observe(memory) {
      memory.round++;
    },
  };
}

/**
 * A drafter that keeps views past their round: under carry "window" they show it the refused state one step ahead, and with it
 * the noise of the step it guesses. Must fail `drafterConformance`.
 */
export function foreseeingDrafter(chain: Chain, dim: number): Drafter<Set<Evaluation>> {
  const model = testModel(dim);
  return {
    name: "foresees refused states",
    needsAnchor: true,
    open: () => new Set(),
    anchor: (views, point) => views.add(point),
    guess(rows, memories) {
      const out = Float64Array.from(model.evaluate(rows) as Float64Array);
      for (let row = 0; row < rows.count; row++) {
        const step = rows.step[row]!;
        const ahead = [...memories[row]!].find((view) => view.step === step + 1);
        const size = (0.8 * chain.sigma[step]!) / chain.b[step]!;
        for (let i = row * dim; i < (row + 1) * dim; i++) {
          const mean = chain.a[step]! * rows.states[i]! + chain.b[step]! * out[i]!;
          // wrong where it foresees nothing, so that windows are refused
          out[i]! += size * (ahead ? Math.sign(ahead.state[i - row * dim]! - mean) : 1);
        }
      }
      return out;
    },
  };
}

/** The reflection verifier with a fault put on top of its verdict. */
function broken(
  name: string,
  spoil: (window: Window, verdict: Verdict, random: { normals(node: number, out: Float64Array): void }) => void,
): Verifier {
  return {
    name,
    sequential: true,
    verify(window, random, verdict) {
      reflection.verify(window, random, verdict);
      spoil(window, verdict, random);
    },
  };
}

function checkAcceptance(verifier: Verifier, dim: number, delta: number, seed: number): void {
  const trials = 4000;
  const stream = new RandomStream(seed);
  const sigma = 0.37;
  const window: Window = {
    dim,
    drafted: 1,
    parent: Int32Array.of(-1, 0),
    states: new Float64Array(2 * dim),
    draftMeans: new Float64Array(dim),
    targetMeans: new Float64Array(dim),
    sigma: Float64Array.of(sigma),
  };
  const verdict: Verdict = {
    tip: 0,
    corrected: false,
    replaced: -1,
    residual: new Float64Array(dim),
    delta: new Float64Array(1),
  };
  let kept = 0;
  for (let trial = 0; trial < trials; trial++) {
    const { states, draftMeans, targetMeans } = window;
    stream.key(trial, 0, 0, 0).normals(targetMeans as Float64Array);
    let norm = 0;
    for (let i = 0; i < dim; i++) norm += targetMeans[i]! ** 2;
    for (let i = 0; i < dim; i++) (targetMeans as Float64Array)[i]! *= (delta * sigma) / Math.sqrt(norm);
    stream.normals(states as Float64Array, dim, dim);
    for (let i = 0; i < dim; i++) {
      (draftMeans as Float64Array)[i] = 0.2;
      (targetMeans as Float64Array)[i]! += 0.2;
      (states as Float64Array)[dim + i] = 0.2 + sigma * states[dim + i]!;
    }
    const own = new RandomStream(seed + 1);
    verifier.verify(
      window,
      {
        uniform: (node) => own.key(trial, 0, node, 2).uniform(),
        normals: (node, out) => own.key(trial, 0, node, 3).normals(out),
      },
      verdict,
    );
    if (verdict.tip === 1) kept++;
  }
  const expected = overlap(delta);
  const error = Math.sqrt((expected * (1 - expected)) / trials);
  if (Math.abs(kept / trials - expected) > 4 * error + 1e-12) {
    throw new Error(`delta ${delta} in ${dim} dimensions: accepted ${kept / trials}, expected ${expected} +- ${error}`);
  }
}

function oneRow(rows: Rows, row: number): Rows {
  return {
    count: 1,
    dim: rows.dim,
    trajectory: rows.trajectory.slice(row, row + 1),
    step: rows.step.slice(row, row + 1),
    time: rows.time.slice(row, row + 1),
    states: rows.states.slice(row * rows.dim, (row + 1) * rows.dim),
  };
}
