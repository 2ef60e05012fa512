import { createHash } from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { cpus, homedir } from "node:os";
import { join } from "node:path";
import { type CostCurve, measureCost } from "../pipeline/cost.js";
import type { Pipeline, RunOptions } from "../pipeline/pipeline.js";

/** Changes when the measurement does, so that no older one is taken for it. */
const METHOD = 2;

/** A cost curve, and whether it was measured just now. */
export interface KnownCost {
  readonly curve: CostCurve;
  /** Milliseconds the measurement took; 0 if it was read from the cache. */
  readonly measuredMs: number;
}

/**
 * The time of a call against its rows, measured once per model file, provider, threads and machine and then read from
 * `$XDG_CACHE_HOME/specdiff`. A cache that cannot be read or written only costs a new measurement.
 */
export async function knownCost(
  pipeline: Pipeline,
  machine: { providers: readonly string[]; threads?: number | undefined },
  options: Pick<RunOptions, "classes" | "conditions" | "guidance" | "steps" | "signal"> = {},
): Promise<KnownCost> {
  const { size, mtimeMs } = await stat(pipeline.folder.target);
  const cpu = cpus();
  const key = [
    METHOD,
    pipeline.folder.target,
    size,
    mtimeMs,
    machine,
    options.guidance !== undefined,
    cpu[0]?.model,
    cpu.length,
  ];
  const name = createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 24);
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "specdiff");
  const file = join(folder, `cost-${name}.json`);
  try {
    return { curve: JSON.parse(await readFile(file, "utf8")) as CostCurve, measuredMs: 0 };
  } catch {
    const started = performance.now();
    const { chain } = pipeline.schedule(options);
    const curve = await measureCost(pipeline.networkModel(options), chain, {
      repetitions: 5,
      ...(options.signal && { signal: options.signal }),
    });
    await mkdir(folder, { recursive: true })
      .then(() => writeFile(file, JSON.stringify(curve)))
      .catch(() => {});
    return { curve, measuredMs: performance.now() - started };
  }
}
