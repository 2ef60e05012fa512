/** Copies `count` numbers between places that do not overlap, of one array or two; a loop, since views cost more than a short row. */
export function copy(from: ArrayLike<number>, start: number, into: Float64Array, at: number, count: number): void {
  for (let i = 0; i < count; i++) into[at + i] = from[start + i]!;
}
