/** A cheapest one-to-one assignment with the dual solution that proves it. */
export interface Assignment {
  /** Column of each row. */
  readonly columnOf: Int32Array;
  /** Sum of the assigned entries. */
  readonly cost: number;
  /** Prices with rows[i] + columns[j] <= cost[i][j] everywhere and equality where assigned: no assignment is cheaper. */
  readonly prices: { readonly rows: Float64Array; readonly columns: Float64Array };
}

/**
 * Linear assignment by shortest augmenting paths (Jonker and Volgenant 1987): column reduction, two sweeps of augmenting
 * row reduction, then one Dijkstra search for each row still free. Written here because the library at hand
 * (linear-sum-assignment) takes five times as long, and a study solves hundreds; the prices prove every result.
 *
 * @param cost size x size, row by row; finite
 * @see R. Jonker, A. Volgenant, A shortest augmenting path algorithm for dense and sparse linear assignment problems,
 *   Computing 38 (1987) 325-340
 */
export function assign(cost: Float64Array, size: number): Assignment {
  const n = size;
  const columnOf = new Int32Array(n).fill(-1);
  const rowOf = new Int32Array(n).fill(-1);
  const v = new Float64Array(n);

  // Column reduction: the price of a column is its least entry; the row that has it takes the column if it is free.
  const least = new Int32Array(n);
  v.set(cost.subarray(0, n));
  for (let i = 1; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const c = cost[i * n + j]!;
      if (c < v[j]!) {
        v[j] = c;
        least[j] = i;
      }
    }
  }
  for (let j = n - 1; j >= 0; j--) {
    if (columnOf[least[j]!]! >= 0) continue;
    columnOf[least[j]!] = j;
    rowOf[j] = least[j]!;
  }

  let free: number[] = [];
  for (let i = 0; i < n; i++) if (columnOf[i]! < 0) free.push(i);
  for (let sweep = 0; sweep < 2 && free.length > 0; sweep++) free = reduceRows(cost, n, v, columnOf, rowOf, free);
  augment(cost, n, v, columnOf, rowOf, free);

  const rows = new Float64Array(n);
  let total = 0;
  for (let i = 0; i < n; i++) {
    const c = cost[i * n + columnOf[i]!]!;
    total += c;
    rows[i] = c - v[columnOf[i]!]!;
  }
  return { columnOf, cost: total, prices: { rows, columns: v } };
}

/** Augmenting row reduction: each free row takes its best column, at a price lowered by the lead over the second best. */
function reduceRows(
  cost: Float64Array,
  n: number,
  v: Float64Array,
  columnOf: Int32Array,
  rowOf: Int32Array,
  free: readonly number[],
): number[] {
  const left: number[] = [];
  // Ties may push rows round in circles; what they leave is for the searches.
  let budget = 4 * n;
  for (const start of free) {
    let i = start;
    for (;;) {
      const from = i * n;
      let best = Number.POSITIVE_INFINITY;
      let second = Number.POSITIVE_INFINITY;
      let column = -1;
      for (let j = 0; j < n; j++) {
        const reduced = cost[from + j]! - v[j]!;
        if (reduced < second) {
          if (reduced < best) {
            second = best;
            best = reduced;
            column = j;
          } else second = reduced;
        }
      }
      const lead = second - best;
      const other = rowOf[column]!;
      const moves = lead > 0 && Number.isFinite(lead);
      if (other >= 0 && (!moves || budget-- <= 0)) {
        left.push(i);
        break;
      }
      if (moves) v[column]! -= lead;
      columnOf[i] = column;
      rowOf[column] = i;
      if (other < 0) break;
      columnOf[other] = -1;
      i = other;
    }
  }
  return left;
}

/** A shortest path to a free column for each row that has none. */
function augment(
  cost: Float64Array,
  n: number,
  v: Float64Array,
  columnOf: Int32Array,
  rowOf: Int32Array,
  free: readonly number[],
): void {
  const distance = new Float64Array(n);
  const from = new Int32Array(n);
  /** Columns: [0, done) are settled, the rest are open. */
  const columns = new Int32Array(n);
  for (const start of free) {
    for (let j = 0; j < n; j++) {
      columns[j] = j;
      from[j] = start;
      distance[j] = cost[start * n + j]! - v[j]!;
    }
    let done = 0;
    let at = 0; // the open column nearest to the start
    for (let k = 1; k < n; k++) if (distance[k]! < distance[at]!) at = k;
    let end = -1;
    let shortest = 0;
    while (end < 0) {
      const column = columns[at]!;
      columns[at] = columns[done]!;
      columns[done++] = column;
      shortest = distance[column]!;
      const row = rowOf[column]!;
      if (row < 0) {
        end = column;
        break;
      }
      const offset = row * n;
      const base = shortest - (cost[offset + column]! - v[column]!);
      let nearest = Number.POSITIVE_INFINITY;
      for (let k = done; k < n; k++) {
        const j = columns[k]!;
        const through = base + cost[offset + j]! - v[j]!;
        let reach = distance[j]!;
        if (through < reach) {
          reach = distance[j] = through;
          from[j] = row;
        }
        if (reach < nearest) {
          nearest = reach;
          at = k;
        }
      }
    }
    for (let k = 0; k < done - 1; k++) v[columns[k]!]! += distance[columns[k]!]! - shortest;
    for (let column = end; ; ) {
      const row = from[column]!;
      const next = columnOf[row]!;
      columnOf[row] = column;
      rowOf[column] = row;
      if (row === start) break;
      column = next;
    }
  }
}
