import { describe, expect, test } from "bun:test";
import {
  LATENCY_NUMBERS,
  LATENCY_PROFILES,
  type LatencyKey,
  latencyOf,
  latencyProblems,
  type LatencyProfile,
} from "../../src/config/latency.ts";
import { readLatencyFile } from "../../src/config/latency_file.ts";
import { configOf, load, problemsOf } from "./loaded.ts";

/** Settings as `--set` gives them. */
function flags(set: Readonly<Record<string, string>>) {
  return Object.entries(set).map(([key, value]) => ({ key, value }));
}

function problems(text: string, set: Readonly<Record<string, string>> = {}): readonly string[] {
  return problemsOf({ text, flags: flags(set) });
}

describe("mock.latency", () => {
  test("is plain unless somebody says otherwise, and then there is no profile", () => {
    const { latency } = configOf({}).mock;
    expect(latency.profile).toBe("plain");
    expect(latencyOf(latency)).toBeUndefined();
  });

  test("takes each number from a file, a flag or the environment", () => {
    const text = "mock: {latency: {profile: 8b-h100, gap_cv: 0.5}}\n";
    const loaded = load({
      text,
      flags: flags({ "mock.latency.batch_max": "7" }),
      env: { WEIR_MOCK_LATENCY_LOAD: "steps" },
    });
    if (loaded.kind === "bad") throw new Error(loaded.problems.join());
    expect(latencyOf(loaded.config.mock.latency)).toEqual({
      ...LATENCY_PROFILES["8b-h100"],
      ...{ gap_cv: 0.5, batch_max: 7, load: "steps" },
    });
    expect(loaded.origins.get("mock.latency.gap_cv")).toBe("config.yaml:1:44");
    expect(loaded.origins.get("mock.latency.load")).toBe("WEIR_MOCK_LATENCY_LOAD");
  });

  test("first_token_ms and delay_ms of the even pace go with no other profile", () => {
    const profile = { "mock.latency.profile": "realistic" };
    expect(problems("mock: {delay_ms: 0}\n", profile)).toEqual([
      "config.yaml:1:18 mock.delay_ms: must be 50 while mock.latency.profile is realistic, which says " +
      "when tokens leave: it is 0",
    ]);
    expect(problems("mock: {first_token_ms: 5}\n", profile)).toEqual([
      "config.yaml:1:24 mock.first_token_ms: must be 0 while mock.latency.profile is realistic, which " +
      "says when tokens leave: it is 5",
    ]);
    expect(problems("mock: {delay_ms: 50, first_token_ms: 0}\n", profile)).toEqual([]);
  });

  test("a number beside plain would be of no effect", () => {
    expect(problems("mock:\n  latency:\n    tokens_per_s: 30\n")).toEqual([
      "config.yaml:3:19 mock.latency.tokens_per_s: must be auto while mock.latency.profile is plain: " +
      "it is 30",
    ]);
  });

  const WRONG = [
    [
      "{profile: realstic}",
      /^config\.yaml:1:27 mock\.latency\.profile: must be one of plain, real/,
    ],
    [
      "{profile: realistic, slow_share: 2}",
      /slow_share: must be a number from 0 to 1, or auto: it is 2/,
    ],
    ["{profile: realistic, batch_max: 1.5}", /batch_max: must be a whole number from 1 to 1000000/],
    ["{profile: realistic, tokens_per_sec: 1}", /did you mean mock\.latency\.tokens_per_s\?/],
    [
      "{profile: realistic, slow_factor_min: 12}",
      /slow_factor_min: does not fit the profile: slow_factor_max must not be less than .* 12: it is 10/,
    ],
    ["realistic", /mock\.latency: must be a mapping of keys: it is a single value/],
  ] as const;
  for (const [latency, problem] of WRONG) {
    test(`refuses ${latency}`, () => {
      const found = problems(`mock: {latency: ${latency}}\n`);
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(problem);
    });
  }
});

describe("the profiles that weir brings", () => {
  for (const [name, profile] of Object.entries(LATENCY_PROFILES)) {
    test(`${name} keeps the ranges of its numbers`, () => {
      for (const [key, { min, max, isWhole }] of Object.entries(LATENCY_NUMBERS)) {
        const value = profile[key as LatencyKey];
        expect(value).toBeWithin(min, max + Number.EPSILON);
        if (isWhole) expect(Number.isInteger(value)).toBe(true);
      }
      expect(latencyProblems(profile)).toEqual([]);
    });
  }
});

describe("readLatencyFile()", () => {
  const read = (text: string, name = "mine.yaml") => readLatencyFile({ name, text });
  const profileIn = (text: string): LatencyProfile => {
    const file = read(text);
    if (file.kind === "bad") throw new Error(file.problems.join());
    return latencyOf({ profile: "mine.yaml", gap_cv: 0.1 }, file.values)!;
  };

  test("goes on from the profile that it names, else from realistic; the config has the last word", () => {
    expect(profileIn("profile: 8b-h100\ntokens_per_s: 31\ngap_cv: 0.9\n")).toEqual({
      ...LATENCY_PROFILES["8b-h100"],
      ...{ tokens_per_s: 31, gap_cv: 0.1 },
    });
    expect(profileIn("tokens_per_s: 31\n").first_token_ms).toBe(650);
  });

  test("may be JSON", () => {
    const file = read('{"profile": "70b-8xh100", "slow_share": 0.5}', "mine.json");
    expect(file).toEqual({ kind: "ok", values: { profile: "70b-8xh100", slow_share: 0.5 } });
  });

  const WRONG = [
    ["tokens_per_s: fast\n", [
      "mine.yaml:1:15 mock.latency.tokens_per_s: must be a number from 0.01",
    ]],
    ["speed: 3\n", ["mine.yaml:1:1 mock.latency.speed: is not a known key"]],
    ["profile: other.yaml\n", ["mine.yaml:1:10 mock.latency.profile: must be one of realistic, "]],
    ["pause_min_ms: 500\n", ["mine.yaml pause_max_ms must not be less than pause_min_ms, 500"]],
    ["a: [\n", ["mine.yaml:"]],
    ["- 1\n", ["mine.yaml:1:1 mock.latency: must be a mapping of keys: it is a list"]],
  ] as const;
  for (const [text, wanted] of WRONG) {
    test(`refuses ${JSON.stringify(text)} with its place`, () => {
      const file = read(text);
      if (file.kind === "ok") throw new Error("Not refused");
      expect(file.problems).toHaveLength(wanted.length);
      for (const [i, begin] of wanted.entries()) expect(file.problems[i]).toStartWith(begin);
    });
  }
});
