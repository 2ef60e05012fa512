import type { CostCurve } from "../node/index.js";

/** Time against rows, a line for each row count. */
export function costLines({ points }: CostCurve): string[] {
  const first = points[0]!.ms;
  return [
    "  rows   median ms    10-90 %           ms per row   times one row",
    ...points.map(
      ({ rows, ms, low, high }) =>
        `${String(rows).padStart(6)}${ms.toFixed(2).padStart(12)}    ${`${low.toFixed(2)}-${high.toFixed(2)}`.padEnd(16)}${(ms / rows).toFixed(2).padStart(12)}${(ms / first).toFixed(2).padStart(16)}`,
    ),
  ];
}
