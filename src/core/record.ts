/** Honest cost of a run. Counts cover everything that ran, also for trajectories that did not finish. */
export interface RunRecord {
  /** K, transitions per trajectory. */
  readonly steps: number;
  /** Trajectories asked for. */
  readonly count: number;
  readonly finished: number;
  /** Batched calls of the target network. */
  readonly calls: number;
  /** Rows of those calls: states evaluated, two for each under classifier-free guidance. */
  readonly rows: number;
  /** Batched calls and rows of the draft network, if there is one. */
  readonly draftCalls: number;
  readonly draftRows: number;
  /** Rows that the drafter guessed, by whatever means: draftMs / guesses is what a guess costs. */
  readonly guesses: number;
  /** Sum over trajectories of the target calls each took part in. */
  readonly trajectoryCalls: number;
  /** Windows verified, summed over trajectories. */
  readonly rounds: number;
  /** Transitions committed, summed over trajectories. */
  readonly committed: number;
  /** Stochastic steps drafted from a guess; steps from a known output and deterministic steps are not counted. */
  readonly proposed: number;
  /** Proposed steps that were kept. */
  readonly accepted: number;
  /** accepted / (accepted + rejected): drafts never reached by the verifier are in neither. Null if nothing was decided. */
  readonly acceptance: number | null;
  /** Transitions committed / trajectoryCalls: steps x count / calls when all finished. Plain sampling has 1. */
  readonly speedup: number | null;
  /** Quantiles of delta = |m_target - m_draft| / sigma over the guessed steps the verifier looked at, within 2 %. */
  readonly delta: { readonly p10: number; readonly median: number; readonly p90: number } | null;
  readonly wallMs: number;
  /** Time in target calls, in the drafter, and everything else. */
  readonly modelMs: number;
  readonly draftMs: number;
  readonly engineMs: number;
}

/** One verified window. */
export interface RoundRecord {
  readonly trajectory: number;
  readonly round: number;
  /** Step index of the window's root. */
  readonly step: number;
  /** Drafted steps. */
  readonly window: number;
  /** Drafted steps that were kept. */
  readonly accepted: number;
  /** Whether a corrected state was committed after them. */
  readonly corrected: boolean;
  /** Target calls the trajectory has taken part in so far. */
  readonly calls: number;
  /** delta per position in the window; NaN where the verifier did not look. */
  readonly delta: readonly number[];
  /**
   * Per position, how many steps before it the evaluated point lies that its guess started from: 0 beside a refused state of the
   * same step; NaN where there was no guess, or it started from none.
   */
  readonly reach: readonly number[];
}

/** Quantiles in constant memory: bins of equal width in the logarithm, 32 per factor 2, for values from 1e-9 to 1e9. */
export class LogHistogram {
  readonly #bins = new Float64Array(1920);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    const bin = Math.floor(32 * (Math.log2(value) + 30));
    this.#bins[Math.max(0, Math.min(this.#bins.length - 1, bin))]!++;
    this.#count++;
  }

  /** @param share from 0 to 1 */
  quantile(share: number): number {
    let left = share * this.#count;
    for (let bin = 0; bin < this.#bins.length; bin++) {
      const inBin = this.#bins[bin]!;
      if (inBin > 0 && left <= inBin) return bin === 0 ? 0 : 2 ** ((bin + left / inBin) / 32 - 30);
      left -= inBin;
    }
    return Number.NaN;
  }
}
