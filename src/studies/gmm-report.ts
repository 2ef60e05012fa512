import type { GmmConfig, GmmRow, GmmSize } from "./gmm.js";
import type { Report } from "./report.js";
import type { Result } from "./study.js";

export async function gmmReport(results: readonly Result<GmmConfig, GmmRow>[], _size: GmmSize): Promise<Report> {
  const rows = results.map(({ config, row }) => [
    config.target === "reference" ? "reference" : `d ${config.dim}, ${config.components} components`,
    config.churn,
    config.steps,
    config.draft,
    config.coupling,
    config.window,
    config.carry,
    row.calls,
    row.speedup,
    row.acceptance,
  ]);
  return {
    lead: [`${results.length} cells.`],
    summary: { cells: results.length },
    sections: [
      {
        title: "All cells",
        tables: [
          {
            caption: "Speed-up = steps / calls",
            columns: "target,eps,K,draft,coupling,L,carry,calls,speed-up,acceptance".split(","),
            rows,
          },
        ],
      },
    ],
  };
}
