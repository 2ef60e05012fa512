import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SpecdiffError } from "../core/errors.js";
import { type Report, reportHtml } from "./report.js";

/** A finished cell: what was run and what came out, both plain JSON. */
export interface Result<Config, Row> {
  readonly config: Config;
  readonly row: Row;
}

/**
 * An experiment as a list of independent, seeded cells. A cell is its configuration: everything that decides what it
 * computes, seeds included, as plain JSON. The same configuration twice is one cell.
 */
export interface Study<Config extends object, Row extends object> {
  readonly name: string;
  readonly title: string;
  /** What was asked for: recorded, and a folder of results is only gone on with for the same. */
  readonly settings: object;
  readonly cells: readonly Config[];
  /** One line for people who watch. */
  label(config: Config): string;
  run(config: Config, signal: AbortSignal): Promise<Row>;
  /** What is said about the rows, once all cells are finished. */
  report(results: readonly Result<Config, Row>[]): Promise<Report>;
  close?(): Promise<void>;
}

export interface StudyOptions {
  /** Folder of the results; made if missing. */
  readonly out: string;
  /** Versions that the results depend on. */
  readonly versions: object;
  /** The command that makes the same again, for the report. */
  readonly command: string;
  readonly signal?: AbortSignal;
  /** Before each cell and once at the end. `known` cells had been finished by an earlier run. */
  readonly onProgress?: (progress: { done: number; total: number; known: number; label: string }) => void;
}

const ROWS = "rows.jsonl";
const SETTINGS = "settings.json";

/**
 * Runs the cells that have no row yet and writes the report: `rows.jsonl` (one cell a line, written as it finishes),
 * `rows.csv`, `settings.json`, `summary.json`, `plots/*.svg` and `report.html`, which is self-contained.
 *
 * @throws SpecdiffError("bad-argument") if the folder holds rows of another study or other settings
 * @throws SpecdiffError("aborted") when the signal aborts; finished cells stay and are not run again
 */
export async function runStudy<Config extends object, Row extends object>(
  study: Study<Config, Row>,
  options: StudyOptions,
): Promise<Report> {
  const { out, signal = new AbortController().signal } = options;
  await mkdir(join(out, "plots"), { recursive: true });
  const settings = JSON.stringify({ study: study.name, settings: study.settings });
  const finished = await finishedRows<Row>(out, settings);
  await writeFile(
    join(out, SETTINGS),
    `${JSON.stringify({ study: study.name, settings: study.settings, versions: options.versions, command: options.command }, null, 2)}\n`,
  );
  const cells = new Map(study.cells.map((config) => [JSON.stringify(config), config]));
  const known = [...cells.keys()].filter((key) => finished.has(key)).length;
  let done = known;
  for (const [key, config] of cells) {
    if (finished.has(key)) continue;
    options.onProgress?.({ done, total: cells.size, known, label: study.label(config) });
    let row: Row;
    try {
      signal.throwIfAborted();
      row = await study.run(config, signal);
    } catch (cause) {
      if (!signal.aborted) throw cause;
      throw new SpecdiffError(
        "aborted",
        `stopped after ${done} of ${cells.size} cells; the same command goes on from there`,
        { cause },
      );
    }
    await appendFile(join(out, ROWS), `${JSON.stringify({ config, row })}\n`);
    finished.set(key, row);
    done++;
  }
  options.onProgress?.({ done, total: cells.size, known, label: "" });
  const results = [...cells].map(([key, config]) => ({ config, row: finished.get(key)! }));
  const report = await study.report(results);
  await writeFile(join(out, "rows.csv"), csv(results));
  await writeFile(join(out, "summary.json"), `${JSON.stringify(report.summary, null, 2)}\n`);
  for (const { figures = [] } of report.sections) {
    for (const figure of figures) {
      if ("svg" in figure) await writeFile(join(out, "plots", `${figure.name}.svg`), figure.svg);
      else await writeFile(join(out, "plots", `${figure.name}.${figure.type}`), figure.bytes);
    }
  }
  await writeFile(join(out, "report.html"), reportHtml(study.title, report, options));
  return report;
}

/** Rows of an earlier run of the same study by cell; a line that was cut off in the middle is dropped. */
async function finishedRows<Row>(out: string, settings: string): Promise<Map<string, Row>> {
  const rows = new Map<string, Row>();
  const lines = await readFile(join(out, ROWS), "utf8").catch(() => "");
  if (lines === "") return rows;
  const { study, settings: earlier } = JSON.parse(await readFile(join(out, SETTINGS), "utf8").catch(() => "{}"));
  if (JSON.stringify({ study, settings: earlier }) !== settings) {
    throw new SpecdiffError(
      "bad-argument",
      `${out} holds the rows of another study or of other settings (see its ${SETTINGS}); choose another --out, or remove it`,
    );
  }
  const whole = lines.slice(0, lines.lastIndexOf("\n") + 1);
  for (const line of whole.split("\n").filter((line) => line !== "")) {
    const { config, row } = JSON.parse(line) as Result<object, Row>;
    rows.set(JSON.stringify(config), row);
  }
  if (whole !== lines) await writeFile(join(out, ROWS), whole);
  return rows;
}

/** One line a cell; lists are joined by spaces. */
function csv(results: readonly Result<object, object>[]): string {
  const flat = results.map(({ config, row }) => ({ ...config, ...row }) as Record<string, unknown>);
  const names = [...new Set(flat.flatMap((line) => Object.keys(line)))];
  const cell = (value: unknown): string => {
    if (value === undefined || value === null) return "";
    const text = Array.isArray(value)
      ? value.join(" ")
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${[names.map(cell).join(","), ...flat.map((line) => names.map((name) => cell(line[name])).join(","))].join("\n")}\n`;
}

/** Lets a signal and timers have their turn: for work that would otherwise hold the thread from start to end. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
