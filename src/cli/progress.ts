import { Presets, SingleBar } from "cli-progress";
import type { Progress } from "../core/loop.js";

/** A bar on a terminal, a line for every tenth elsewhere; both on standard error. */
export function progressReporter(label: string): { update(progress: Progress): void; stop(): void } {
  const facts = ({ acceptance, calls, committed, trajectoryCalls }: Progress) =>
    `calls ${calls}, ${trajectoryCalls > 0 ? (committed / trajectoryCalls).toFixed(2) : "-"} steps a call, ` +
    `acceptance ${acceptance === null ? "-" : `${(100 * acceptance).toFixed(0)} %`}`;
  if (!process.stderr.isTTY) {
    let tenth = 0;
    return {
      update(progress) {
        const now = Math.floor((10 * progress.committed) / progress.totalSteps);
        if (now === tenth) return;
        tenth = now;
        process.stderr.write(
          `${label}: ${progress.committed} of ${progress.totalSteps} steps, ${progress.finished} finished, ${facts(progress)}\n`,
        );
      },
      stop() {},
    };
  }
  const bar = new SingleBar(
    {
      format: `${label} {bar} {value}/{total} steps | {finished} finished | {facts} | {eta_formatted} left`,
      hideCursor: true,
      etaBuffer: 50,
    },
    Presets.shades_classic,
  );
  let started = false;
  return {
    update(progress) {
      const payload = { finished: progress.finished, facts: facts(progress) };
      if (!started) bar.start(progress.totalSteps, progress.committed, payload);
      else bar.update(progress.committed, payload);
      started = true;
    },
    stop: () => bar.stop(),
  };
}
