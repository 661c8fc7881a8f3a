import { describe, expect, test } from "bun:test";
import {
  erf,
  erfc,
  lognormalCdf,
  lognormalPdf,
  lognormalQuantile,
  normalCdf,
  normalPdf,
  normalQuantile,
} from "../../src/lib/normal.ts";

/** `value` is `wanted` but for a share of it. */
function near(value: number, wanted: number, share = 1e-14): void {
  expect(Math.abs(value - wanted)).toBeLessThanOrEqual(Math.abs(wanted) * share);
}

describe("erf() and erfc() have the values of scipy 1.17", () => {
  const CASES = [
    [0.5, 0.5204998778130465, 0.4795001221869535],
    [1, 0.8427007929497149, 0.15729920705028513],
    [1.9, 0.9927904292352575, 0.0072095707647425325],
    [2, 0.9953222650189527, 0.004677734981047265],
    [2.5, 0.999593047982555, 0.0004069520174449589],
    [3, 0.9999779095030014, 2.2090496998585438e-05],
    [5, 0.9999999999984626, 1.5374597944280351e-12],
  ] as const;
  for (const [x, value, rest] of CASES) {
    test(String(x), () => {
      near(erf(x), value);
      near(erf(-x), -value);
      near(erfc(x), rest, 1e-12);
      near(erfc(-x), 1 + value);
    });
  }

  test("0 and the ends", () => {
    expect([erf(0), erfc(0), erf(Infinity), erfc(Infinity), erfc(-Infinity)]).toEqual([
      0,
      1,
      1,
      0,
      2,
    ]);
    expect([erf(NaN), erfc(NaN)]).toEqual([NaN, NaN]);
  });
});

describe("normalCdf()", () => {
  const CASES = [
    [-8, 6.22096057427178e-16],
    [-3, 0.0013498980316300933],
    [-1, 0.15865525393145707],
    [0, 0.5],
    [1.96, 0.9750021048517795],
  ] as const;
  for (const [z, share] of CASES) test(String(z), () => near(normalCdf(z), share, 1e-12));

  test("is what normalPdf() adds up to", () => {
    const step = 1e-4;
    let sum = 0;
    for (let z = -1 + step / 2; z < 1; z += step) sum += normalPdf(z) * step;
    near(sum, normalCdf(1) - normalCdf(-1), 1e-8);
  });
});

describe("normalQuantile()", () => {
  const CASES = [
    [1e-10, -6.361340902404056],
    [0.001, -3.090232306167813],
    [0.01, -2.3263478740408408],
    [0.025, -1.9599639845400538],
    [0.3, -0.5244005127080407],
    [0.9, 1.2815515655446008],
    [0.9999, 3.7190164854557084],
  ] as const;
  for (const [share, z] of CASES) test(String(share), () => near(normalQuantile(share), z, 1.2e-9));

  test("undoes normalCdf() from one end to the other", () => {
    for (let share = 0.0005; share < 1; share += 0.0005) {
      near(normalCdf(normalQuantile(share)), share, 2e-8);
    }
  });

  test("has ends, and nothing beyond them", () => {
    expect([0, 0.5, 1, -0.1, 1.1, NaN].map(normalQuantile)).toEqual([
      -Infinity,
      0,
      Infinity,
      NaN,
      NaN,
      NaN,
    ]);
  });
});

describe("a lognormal distribution has the values of scipy 1.17", () => {
  const body = { median: 650, sigma: 0.33 };
  const CASES = [
    [300, 0.0002589483104337567, 0.009564700230558908],
    [650, 0.0018598707711022502, 0.5],
    [1000, 0.0005156566651769177, 0.9041221331947058],
    [2000, 1.8302073040536878e-06, 0.9996702064841205],
  ] as const;
  for (const [x, density, share] of CASES) {
    test(`at ${x}`, () => {
      near(lognormalPdf(body, x), density, 1e-12);
      near(lognormalCdf(body, x), share, 1e-12);
    });
  }

  test("quantiles", () => {
    near(lognormalQuantile(body, 0.01), 301.6530646496877, 1e-8);
    near(lognormalQuantile(body, 0.95), 1118.5338674103527, 1e-8);
    near(lognormalQuantile(body, 0.99), 1400.6156393294161, 1e-8);
    expect(lognormalQuantile(body, 0.5)).toBe(650);
  });

  test("nothing is at or below 0", () => {
    expect([lognormalPdf(body, 0), lognormalPdf(body, -1), lognormalCdf(body, -1)]).toEqual([
      0,
      0,
      0,
    ]);
  });
});
