import { createHash } from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { cpus, homedir } from "node:os";
import { join } from "node:path";
import type { CostCurve, KnownCost } from "../pipeline/cost.js";

/** Changes when the way of measuring does, so that no older curve is taken for a new one. */
const METHOD = 2;

/**
 * The time of a call against its rows, measured once per model file, provider, threads and machine and then read from
 * `$XDG_CACHE_HOME/specdiff`. A cache that cannot be read or written only costs a new measurement.
 */
export async function knownCost(
  target: string,
  machine: { providers: readonly string[]; threads?: number | undefined; guided: boolean },
  measure: () => Promise<KnownCost>,
): Promise<KnownCost> {
  const { size, mtimeMs } = await stat(target);
  const cpu = cpus();
  const key = [METHOD, target, size, mtimeMs, machine, cpu[0]?.model, cpu.length];
  const name = createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 24);
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "specdiff");
  const file = join(folder, `cost-${name}.json`);
  try {
    return { curve: JSON.parse(await readFile(file, "utf8")) as CostCurve, measuredMs: 0 };
  } catch {
    const known = await measure();
    await mkdir(folder, { recursive: true })
      .then(() => writeFile(file, JSON.stringify(known.curve)))
      .catch(() => {});
    return known;
  }
}
