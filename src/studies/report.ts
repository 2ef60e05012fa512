/** What a study says about its rows: a text a person would rather read than the tables. */
export interface Report {
  /** The findings in a few sentences, first thing on the page. `code` between backticks. */
  readonly lead: readonly string[];
  /** The figures behind the lead, for programs. */
  readonly summary: object;
  readonly sections: readonly Section[];
}

export interface Section {
  readonly title: string;
  /** Paragraphs. */
  readonly text?: readonly string[];
  readonly figures?: readonly Figure[];
  readonly tables?: readonly Table[];
}

/** A figure, stored under plots/ by its name and shown in the page. */
export type Figure = { readonly name: string; readonly caption: string } & (
  | { readonly svg: string }
  | { readonly bytes: Uint8Array; readonly type: "png" | "gif" }
);

export interface Table {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  /** Shown only on a click. */
  readonly folded?: boolean;
}

/** One self-contained page: no script, nothing fetched. */
export function reportHtml(title: string, report: Report, made: { command: string; versions: object }): string {
  const sections = report.sections.map(
    ({ title, text = [], figures = [], tables = [] }) => `<section>
<h2>${escaped(title)}</h2>
${text.map(paragraph).join("\n")}
${figures.map(figureHtml).join("\n")}
${tables.map(tableHtml).join("\n")}
</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<div class="lead">${report.lead.map(paragraph).join("\n")}</div>
${sections.join("\n")}
<footer>
<p>Made by <code>${escaped(made.command)}</code></p>
<p>${Object.entries(made.versions)
    .map(([name, version]) => `${escaped(name)} ${escaped(String(version))}`)
    .join(", ")}</p>
</footer>
</body>
</html>
`;
}

const STYLE = `
body { font: 16px/1.55 system-ui, Helvetica, Arial, sans-serif; color: #1a1a1a; background: white; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.4rem; border-top: 1px solid #ddd; padding-top: 1.2rem; }
p { max-width: 46rem; } .lead { background: #f4f7fa; padding: .4rem 1.2rem; border-left: 4px solid #0072B2; }
figure { margin: 1.4rem 0; overflow-x: auto; } figure svg, figure img { max-width: 100%; height: auto; } figcaption { color: #444; font-size: .92rem; max-width: 46rem; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .6rem 0 1.4rem; }
.wide { overflow-x: auto; } caption { text-align: left; color: #444; padding-bottom: .4rem; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; } code { background: #f0f0f0; padding: .05rem .3rem; border-radius: 3px; font-size: .9em; } footer { margin-top: 3rem; color: #555; font-size: .85rem; }
`;

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function paragraph(text: string): string {
  return `<p>${escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>")}</p>`;
}

function figureHtml(figure: Figure): string {
  const content =
    "svg" in figure
      ? figure.svg
      : `<img alt="${escaped(figure.caption)}" src="data:image/${figure.type};base64,${Buffer.from(figure.bytes).toString("base64")}">`;
  return `<figure id="${escaped(figure.name)}">${content}<figcaption>${escaped(figure.caption)}</figcaption></figure>`;
}

function tableHtml({ caption, columns, rows, folded }: Table): string {
  const cell = (value: string | number | null) =>
    value === null ? "" : typeof value === "number" ? number(value) : escaped(value);
  const table = `<div class="wide"><table><caption>${escaped(caption)}</caption>
<thead><tr>${columns.map((name) => `<th>${escaped(name)}</th>`).join("")}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map((value) => `<td>${cell(value)}</td>`).join("")}</tr>`).join("\n")}</tbody></table></div>`;
  return folded ? `<details><summary>${escaped(caption)}</summary>${table}</details>` : table;
}

/** Four digits that matter. */
function number(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "-";
}
