import { describe, expect, test } from "bun:test";
import { askOf } from "../../src/core/answer.ts";
import type { Call } from "../../src/core/exchange.ts";
import { EMPTY_TURN } from "../../src/core/turn.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { Ordinals, ordinalsBytes } from "../../src/lib/ordinals.ts";
import { type Draws, draws } from "../../src/sources/draws.ts";

const ASK = askOf(EMPTY_TURN);

function drawsOf(seed = 0, bytes = new Uint8Array(ordinalsBytes(4096))): Draws {
  return draws({ seed, ordinals: new Ordinals(bytes) });
}

function callOf(text: string, headers: Record<string, string> = {}, target = "/v1/x"): Call {
  const head = { method: "POST", target, fields: Fields.of(Object.entries(headers)) };
  return { request: { head, text } } as unknown as Call;
}

/** The first number of each of `texts`, one after the other. */
function firsts(made: Draws, texts: readonly string[], headers = {}): readonly number[] {
  return texts.map((text) => made.of(ASK, callOf(text, headers)).at("first token"));
}

describe("draws", () => {
  test("the n-th equal request draws the same, whatever comes between", () => {
    const plain = firsts(drawsOf(), ["a", "a", "a"]);
    expect(new Set(plain).size).toBe(3);
    const mixed = firsts(drawsOf(), ["b", "a", "b", "c", "a", "d", "a"]);
    expect([mixed[1]!, mixed[4]!, mixed[6]!]).toEqual([...plain]);
  });

  test("workers that share their ordinals draw as one", () => {
    const bytes = new Uint8Array(ordinalsBytes(4096));
    const [one, other] = [drawsOf(0, bytes), drawsOf(0, bytes)];
    const drawn = [one, other, other, one].map((made) => firsts(made, ["a"])[0]!);
    expect(drawn).toEqual([...firsts(drawsOf(), ["a", "a", "a", "a"])]);
  });

  test("another seed, body, path or method draws something else", () => {
    const [drawn] = firsts(drawsOf(), ["a"]);
    const others = [
      firsts(drawsOf(1), ["a"])[0]!,
      firsts(drawsOf(), ["b"])[0]!,
      drawsOf().of(ASK, callOf("a", {}, "/v1/y")).at("first token"),
    ];
    for (const other of others) expect(other).not.toBe(drawn!);
  });

  test("a request is counted once, however many parts draw for it", () => {
    const made = drawsOf();
    const call = callOf("a");
    expect(made.of(ASK, call)).toBe(made.of(ASK, call));
    expect(made.of(ASK, callOf("a")).at("x")).not.toBe(made.of(ASK, call).at("x"));
  });

  test("x-weir-seed decides alone", () => {
    const made = drawsOf(5);
    const headers = { "x-weir-seed": "42" };
    const [one, two] = firsts(made, ["a", "b"], headers);
    expect(one).toBe(two!);
    expect(firsts(drawsOf(6), ["c"], headers)[0]).toBe(one!);
    expect(firsts(made, ["a"], { "x-weir-seed": "43" })[0]).not.toBe(one!);
  });

  test("sessions count for themselves, and draw alike", () => {
    const made = drawsOf();
    const one = firsts(made, ["a", "a"], { "x-weir-session": "one" });
    expect(firsts(made, ["a", "a"], { "x-weir-session": "two" })).toEqual(one);
    expect(firsts(made, ["a", "a"])).toEqual(one);
  });

  test("a job draws by what it asks", () => {
    const job = (): Call => ({ request: undefined }) as unknown as Call;
    const made = drawsOf();
    const drawn = (model: string) => made.of(askOf({ ...EMPTY_TURN, model }), job()).at("x");
    const first = drawn("m");
    expect([drawn("m") === first, drawn("n") === first]).toEqual([false, false]);
    expect(drawsOf().of(askOf({ ...EMPTY_TURN, model: "m" }), job()).at("x")).toBe(first);
  });

  test("numbers are spread evenly, over requests, ordinals, indexes and purposes", () => {
    const made = drawsOf();
    const draw = made.of(ASK, callOf("a"));
    const samples: Record<string, (i: number) => number> = {
      requests: (i) => made.of(ASK, callOf(`request ${i}`)).at("x"),
      ordinals: () => made.of(ASK, callOf("again")).at("x"),
      indexes: (i) => draw.at("gap", i),
      pairs: (i) => (draw.at("gap", i) + draw.at("gap", i + 1)) % 1,
      purposes: (i) => (draw.at("gap", i) + draw.at("pause", i)) % 1,
    };
    for (const [name, sample] of Object.entries(samples)) {
      const count = 10_000;
      const values = Array.from({ length: count }, (_, i) => sample(i)).toSorted((a, b) => a - b);
      const distance = Math.max(
        ...values.map((value, i) => Math.max(value - i / count, (i + 1) / count - value)),
      );
      // Kolmogorov-Smirnov at 1 %: 1.628 / √n.
      expect([name, distance < 1.628 / Math.sqrt(count)]).toEqual([name, true]);
      expect(values[0]! > 0 && values.at(-1)! < 1).toBe(true);
    }
  });
});
