import { chart } from "./plots.js";
import type { Section } from "./report.js";
import { type DeltaBin, keptByBlock, keptByReflection, mergeBins, secondsGained } from "./theory.js";

/** What the page needs of a cell. */
export interface TheoryCell {
  readonly name: string;
  readonly coupling: string;
  readonly draft: string;
  readonly window: number;
  readonly speedup: number;
  readonly rowsPerCall: number;
  readonly acceptedLength: number;
  readonly deltaMedian: number | null;
  readonly deltaBins: readonly DeltaBin[];
}

/** Time of one more row as a share of a call of one. */
const MARGINALS = [0, 0.02, 0.05, 0.1, 0.2, 0.5];

/**
 * Theory beside what was measured: acceptance, accepted length, and seconds.
 * @param cells of one study
 * @param window the one that most of them have
 * @param sweep cells that differ in their window, for several ways of drafting
 */
export async function theorySection(cells: readonly TheoryCell[], window: number, sweep: readonly TheoryCell[]) {
  const bins = mergeBins(cells.map(({ deltaBins }) => deltaBins)).filter(({ decided }) => decided >= 50);
  const decided = bins.reduce((sum, bin) => sum + bin.decided, 0);
  const deviation = ({ kept, decided, expected }: DeltaBin) =>
    (kept / decided - expected) / Math.sqrt(Math.max(1e-12, (expected * (1 - expected)) / decided));
  const testable = bins.filter(({ decided, expected }) => decided * expected * (1 - expected) > 10);
  const worst = Math.max(0, ...testable.map((bin) => Math.abs(deviation(bin))));
  const large = bins.filter(({ decided }) => decided >= 10_000);
  const gap = Math.max(0, ...large.map(({ kept, decided, expected }) => Math.abs(kept / decided - expected)));
  const deltas = Array.from({ length: 97 }, (_, i) => 10 ** (-2 + i / 32));

  const acceptance = await chart({
    data: bins
      .filter(({ delta }) => delta >= 0.01)
      .map(({ delta, kept, decided }) => ({ delta, share: kept / decided })),
    x: { field: "delta", title: "delta, standard deviations", log: true, domain: [0.01, 10] },
    y: { field: "share", title: "share of drafts kept", domain: [0, 1] },
    joined: false,
    reference: {
      data: deltas.map((delta) => ({ delta, share: keptByReflection(delta, 1) })),
      label: "2 Phi(-delta / 2)",
    },
  });

  const drafted = cells.filter(
    (cell) => cell.draft !== "none" && cell.window === window && cell.deltaMedian !== null && cell.deltaMedian > 0.003,
  );
  const couplings = ["reflection", "block"].filter((name) => drafted.some(({ coupling }) => coupling === name));
  const length = await chart({
    data: drafted.map((cell) => ({ delta: cell.deltaMedian, kept: cell.acceptedLength, coupling: cell.coupling })),
    x: { field: "delta", title: "median delta of the run, standard deviations", log: true },
    y: { field: "kept", title: `kept drafts per window of ${window}`, zero: true },
    series: { field: "coupling", title: "coupling", order: couplings },
    joined: false,
    curves: couplings.flatMap((coupling) =>
      deltas.map((delta) => ({
        delta,
        kept: (coupling === "block" ? keptByBlock : keptByReflection)(delta, window),
        coupling,
      })),
    ),
  });

  const names = [...new Set(sweep.map(({ name }) => name))];
  const best = names.at(-1);
  const chosen = sweep.filter(({ name }) => name === best).sort((a, b) => a.window - b.window);
  const seconds = await chart({
    data: chosen.flatMap((cell) =>
      MARGINALS.map((marginal) => ({
        window: cell.window,
        gain: secondsGained(cell.speedup, cell.rowsPerCall, marginal),
        marginal: String(marginal),
      })),
    ),
    x: { field: "window", title: "window L", log: true, ticks: chosen.map(({ window }) => window) },
    y: { field: "gain", title: "times sooner than plain sampling", zero: true },
    series: { field: "marginal", title: "one more row / one call", order: MARGINALS.map(String) },
    reference: {
      data: [
        { window: Math.min(...chosen.map(({ window }) => window)), gain: 1 },
        { window: Math.max(...chosen.map(({ window }) => window)), gain: 1 },
      ],
      label: "plain sampling",
    },
  });
  const table = MARGINALS.map((marginal) => {
    const gains = chosen.map((cell) => ({
      window: cell.window,
      gain: secondsGained(cell.speedup, cell.rowsPerCall, marginal),
    }));
    const top = gains.reduce((a, b) => (b.gain > a.gain ? b : a), { window: 0, gain: 0 });
    return [marginal, top.window, top.gain];
  });
  const breakEven = Math.max(
    0,
    ...chosen
      .filter(({ rowsPerCall }) => rowsPerCall > 1.01)
      .map((cell) => (cell.speedup - 1) / (cell.rowsPerCall - 1)),
  );

  const section: Section = {
    title: "Theory, measured",
    text: [
      "A draft whose mean is delta standard deviations from the target's is kept with probability 2 Phi(-delta / 2), whatever the dimension, the chain or the drafter: the most that any coupling can do. All that a better draft can do is make delta smaller. Cells of a study share seeds, hence some of their random numbers: deviations in standard errors are a little larger than those of independent drafts.",
      `From that follows how many drafts of a window are kept. A run has many deltas, not one, and its largest ones end its windows, so that its point lies below the curve of a constant delta.`,
      `Calls are not seconds. If a call of r rows takes 1 + m (r - 1) times as long as a call of one row, speculation is speed-up / (1 + m (rows per call - 1)) times as fast as plain sampling, drafter and engine left out. It stops paying where one more row costs more than m = (speed-up - 1) / (rows - 1): for ${best ?? "this draft"} here at m = ${breakEven.toFixed(2)} with the best window. \`specdiff bench\` measures m for a model on a machine.`,
    ],
    figures: [
      {
        name: "theory-acceptance",
        caption: `${decided.toLocaleString("en")} drafts decided one by one (reflection), of every drafter and chain of this study, in bins of delta.`,
        svg: acceptance,
      },
      {
        name: "theory-length",
        caption: "Kept drafts per window against the median delta of the run; lines: the same delta in every position.",
        svg: length,
      },
      {
        name: "theory-seconds",
        caption: `Measured calls and rows of ${best ?? "-"} turned into seconds for machines on which one more row costs from nothing to half a call.`,
        svg: seconds,
      },
    ],
    tables: [
      {
        caption: "The window that pays best, by the cost of one more row",
        columns: ["one more row / one call", "best window", "times sooner than plain"],
        rows: table,
      },
    ],
  };
  return {
    lead: `Acceptance follows 2 Phi(-delta / 2): over ${decided.toLocaleString("en")} decided drafts the share kept is within ${(100 * gap).toFixed(2)} % of it in every bin of at least 10,000 (${worst.toFixed(1)} standard errors at most, in ${testable.length} bins). Speculation of ${best ?? "-"} stops paying in seconds where one more row costs more than ${breakEven.toFixed(2)} of a call.`,
    summary: {
      decided,
      bins: testable.length,
      largestDeviation: worst,
      largestGap: gap,
      breakEvenMarginalRow: breakEven,
      bestWindows: table,
    },
    section,
  };
}
