// @ts-check
import { writeFileSync } from "node:fs";

/** @param {readonly number[]} values */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (/** @type {number} */ share) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

/** Mean and standard error over independent trajectories. @param {readonly number[]} values */
export function meanError(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, error: Math.sqrt(variance / values.length) };
}

/**
 * Prints rows as an aligned table, and all of it as JSON to the file named after --json.
 * @param {string} title @param {object} setting what was run @param {readonly Record<string, string | number>[]} rows
 */
export function report(title, setting, rows) {
  const names = Object.keys(rows[0] ?? {});
  const text = (/** @type {string | number} */ value) =>
    typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
  const widths = names.map((name) => Math.max(name.length, ...rows.map((row) => text(row[name] ?? "").length)));
  const line = (/** @type {string[]} */ cells) => cells.map((cell, i) => cell.padStart(widths[i] ?? 0)).join("  ");
  console.log(`${title}\n${JSON.stringify(setting)}\n\n${line(names)}`);
  for (const row of rows) console.log(line(names.map((name) => text(row[name] ?? ""))));
  const at = process.argv.indexOf("--json");
  const file = at > 0 ? process.argv[at + 1] : undefined;
  if (file) writeFileSync(file, `${JSON.stringify({ title, setting, rows }, null, 2)}\n`);
  else console.log(`\n${JSON.stringify({ title, setting, rows })}`);
}
