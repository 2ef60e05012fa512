import assert from "node:assert/strict";
import { it } from "node:test";
import { LogHistogram } from "./record.js";

it("finds quantiles within 2 % over eighteen decades", () => {
  const histogram = new LogHistogram();
  for (let i = 1; i <= 10_000; i++) histogram.add(1e-3 * i);
  for (const share of [0.1, 0.5, 0.9]) assert.ok(Math.abs(histogram.quantile(share) / (10 * share) - 1) < 0.02);
  for (const value of [1e-8, 1, 1e8]) {
    const one = new LogHistogram();
    one.add(value);
    assert.ok(Math.abs(one.quantile(0.5) / value - 1) < 0.03, `${value}: ${one.quantile(0.5)}`);
  }
});

it("counts zero and infinity at the ends", () => {
  const histogram = new LogHistogram();
  histogram.add(0);
  assert.equal(histogram.quantile(0.5), 0);
  histogram.add(Number.POSITIVE_INFINITY);
  assert.ok(histogram.quantile(1) > 1e8);
});
