// @ts-check
// What a tree of drafts could bring at equal rows per call, over a chain of drafts: steps that one verified call commits.
//   node bench/trees.mjs [--rows 8,16,24] [--json FILE]
// No network: guesses are delta standard deviations off at every level ("flat", as beside refused states), or delta sqrt(j) at j
// steps from the anchor ("growing"). The tree is the best of all shapes with so many rows, found by dynamic programming, under
// the best of all couplings with several independent drafts: the chance that one of m draws from N(0, 1) can be accepted as a draw
// from N(delta, 1) is at most min_t Phi(t - delta) + 1 - Phi(t)^m (Khisti et al. 2024: sets {x > t} suffice, the ratio of the
// densities being monotone). Greedy rejection and rank-selected list couplings stay below it: an upper bound for all of them. The
// chain is counted with reflection and with block verification (Spitzer's identity; flat only).
import { parseArgs } from "node:util";
import { erfc } from "../dist/verifiers/normal.js";
import { report } from "./table.mjs";

const { values } = parseArgs({ options: { rows: { type: "string", default: "8,16,24" }, json: { type: "string" } } });
const budgets = values.rows.split(",").map(Number);
const most = Math.max(...budgets);
const WIDEST = 6;

const below = (/** @type {number} */ x) => erfc(-x / Math.SQRT2) / 2;

/** Acceptance with m drafts, m from 0. @param {number} delta */
function acceptances(delta) {
  return Array.from({ length: WIDEST + 1 }, (_, m) => {
    if (m === 0) return 0;
    let least = 1;
    for (let t = -6; t < 8 + delta; t += 0.01) least = Math.min(least, below(t - delta) + 1 - below(t) ** m);
    return least;
  });
}

/**
 * Steps committed by the best tree of each row count, all levels beyond `depth` included, and by a chain.
 * @param {(depth: number) => number} deltaAt
 */
function best(deltaAt) {
  const levels = Array.from({ length: most }, (_, depth) => acceptances(deltaAt(depth)));
  // tree[depth][rows]: a node is evaluated with one row and always commits a step; the rest of the rows go below its children.
  /** @type {number[][]} */
  const tree = Array.from({ length: most + 1 }, () => new Array(most + 1).fill(0));
  /** @type {number[][]} */
  const chain = Array.from({ length: most + 1 }, () => new Array(most + 1).fill(0));
  for (let depth = most - 1; depth >= 0; depth--) {
    const chance = levels[depth] ?? [];
    const gain = chance.map((all, m) => (m === 0 ? 0 : all - (chance[m - 1] ?? 0)));
    /** below[rows]: the most from children m .. WIDEST together */
    let children = new Array(most + 1).fill(0);
    for (let m = WIDEST; m >= 1; m--) {
      const next = new Array(most + 1).fill(0);
      for (let rows = 0; rows <= most; rows++)
        for (let own = 0; own <= rows; own++)
          next[rows] = Math.max(next[rows], (gain[m] ?? 0) * (tree[depth + 1]?.[own] ?? 0) + children[rows - own]);
      children = next;
    }
    for (let rows = 1; rows <= most; rows++) {
      /** @type {number[]} */ (tree[depth])[rows] = 1 + children[rows - 1];
      /** @type {number[]} */ (chain[depth])[rows] = 1 + (chance[1] ?? 0) * (chain[depth + 1]?.[rows - 1] ?? 0);
    }
  }
  return { tree: tree[0] ?? [], chain: chain[0] ?? [] };
}

/** Steps of a window of `rows` levels of equal delta under block verification, the corrected one included. @param {number} delta @param {number} rows */
function block(delta, rows) {
  const kept = [1];
  for (let i = 1; i <= rows; i++) {
    let sum = 0;
    for (let k = 1; k <= i; k++) sum += erfc((delta * Math.sqrt(k)) / Math.sqrt(8)) * (kept[i - k] ?? 0);
    kept.push(sum / i);
  }
  // of `rows` drafts the last commits no corrected step
  return kept.slice(1).reduce((sum, p) => sum + p, 0) + 1 - (kept.at(-1) ?? 0);
}

const table = [];
for (const growth of ["flat", "growing"]) {
  for (const delta of [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3]) {
    const { tree, chain } = best((depth) => (growth === "flat" ? delta : delta * Math.sqrt(depth + 1)));
    for (const rows of budgets) {
      const [ofTree, ofChain] = [tree[rows] ?? Number.NaN, chain[rows] ?? Number.NaN];
      table.push({
        errors: growth,
        delta,
        rows,
        "chain, reflection": ofChain,
        "chain, block": growth === "flat" ? block(delta, rows) : "",
        "best tree": ofTree,
        "tree / chain": ofTree / ofChain,
      });
    }
  }
}
report("Steps that one call commits, by rows: chains of drafts, and the bound for trees", { widest: WIDEST }, table);
