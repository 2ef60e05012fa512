/**
 * Functions of the standard normal distribution, relative error about 1e-15.
 *
 * erfcx(x) = exp(x^2) erfc(x) for x >= 0 is t exp(P(2t - 1)) with t = 2 / (2 + x); the Chebyshev coefficients of P were
 * computed with 40 digits at 60 nodes.
 */
const CHEBYSHEV = [
  -1.3026537197817094, 0.6419697923564902, 0.019476473204185836, -0.009561514786808632, -0.0009465953444820369,
  0.00036683949785276145, 4.252332480690777e-5, -2.0278578112534242e-5, -1.6242900046470256e-6, 1.3036558355805232e-6,
  1.5626441722066142e-8, -8.523809591492654e-8, 6.5290544390988515e-9, 5.059343495551469e-9, -9.91364156493033e-10,
  -2.273651222931836e-10, 9.646791102015527e-11, 2.3940380830391146e-12, -6.886027526497553e-12, 8.944879273090724e-13,
  3.1309213993429596e-13, -1.1270822361367266e-13, 3.810905255190324e-16, 7.106097613609153e-15,
  -1.5230282014570507e-15, -9.457494571293504e-17, 1.2102371892241888e-16, -2.8166630877431323e-17,
];

/** exp(x^2) erfc(x); Infinity below about -26. */
export function erfcx(x: number): number {
  if (x < 0) return 2 * Math.exp(x * x) - erfcx(-x);
  const t = 2 / (2 + x);
  const u = 4 * t - 2;
  let later = 0;
  let current = 0;
  for (let j = CHEBYSHEV.length - 1; j > 0; j--) [later, current] = [current, u * current - later + CHEBYSHEV[j]!];
  return t * Math.exp(0.5 * (CHEBYSHEV[0]! + u * current) - later);
}

export function erfc(x: number): number {
  return x < 0 ? 2 - erfc(-x) : Math.exp(-x * x) * erfcx(x);
}

/** P(N(0,1) > x) */
export function upperTail(x: number): number {
  return erfc(x / Math.SQRT2) / 2;
}

/** P(N(0,1) > x) over the density at x: the Mills ratio. */
export function mills(x: number): number {
  return Math.sqrt(Math.PI / 2) * erfcx(x / Math.SQRT2);
}

/**
 * Overlap of N(0, 1) and N(delta, 1): the best acceptance probability of a single draft.
 * @param delta |m_target - m_draft| / sigma, dimensionless, at least 0
 * @returns probability in [0, 1], 2 Phi(-delta / 2)
 * @see De Bortoli et al. 2025, Algorithm 4
 */
export function overlap(delta: number): number {
  return erfc(delta / Math.sqrt(8));
}
