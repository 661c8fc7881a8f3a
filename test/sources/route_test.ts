import { describe, expect, test } from "bun:test";
import { askOf, type Source } from "../../src/core/answer.ts";
import { EMPTY_TURN } from "../../src/core/turn.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { type Route, route } from "../../src/sources/route.ts";
import { makeEngine } from "./upstream/rig.ts";

/** A source that answers with its own name as the model. */
function named(name: string): Source {
  const script = { name, steps: [] };
  return { name, answer: () => ({ kind: "script", script, model: name }) };
}

const OTHERWISE = named("otherwise");

/** Who answers for `model`. */
async function chosen(routes: readonly Route[], model: string) {
  const call = new Exchange(makeEngine(), "test", { method: "POST" });
  const turn = { ...EMPTY_TURN, model };
  const answer = await route(routes, OTHERWISE, "usual").answer(askOf(turn), call);
  return { who: answer.kind === "script" ? answer.model : answer.kind, source: call.source };
}

/** Pattern → names that it matches, and names that it does not. */
const GLOBS: readonly (readonly [string | undefined, readonly string[], readonly string[]])[] = [
  [undefined, ["", "gpt-4o", "水"], []],
  ["*", ["", "gpt-4o", "a/b:c", "two\nlines"], []],
  ["gpt-4o", ["gpt-4o"], ["gpt-4o-mini", "GPT-4o", " gpt-4o", "gpt-4", ""]],
  ["gpt-4o*", ["gpt-4o", "gpt-4o-mini"], ["xgpt-4o", "gpt-4"]],
  ["*-mini", ["gpt-4o-mini", "-mini"], ["gpt-4o-mini-x"]],
  ["gpt-*-mini", ["gpt-4o-mini", "gpt--mini"], ["gpt-mini", "gpt-4o"]],
  ["*4*", ["4", "gpt-4o"], ["gpt-3"]],
  ["a.b", ["a.b"], ["axb"]],
  ["a+(b)[c]^$|\\d?", ["a+(b)[c]^$|\\d?"], ["aab", "a+(b)[c]^$|\\d"]],
  ["通义-*", ["通义-千问", "通义-🌊"], ["通-义"]],
  ["🌊?", ["🌊?"], ["🌊x", "🌊"]],
  ["usual", ["usual", ""], ["gpt-4o"]],
];

describe("route()", () => {
  for (const [model, yes, no] of GLOBS) {
    test(`${JSON.stringify(model)} matches ${JSON.stringify(yes)}, not ${JSON.stringify(no)}`, async () => {
      const routes = [{ model, to: named("row") }];
      for (const name of yes) {
        expect([name, (await chosen(routes, name)).who]).toEqual([name, "row"]);
      }
      for (const name of no) {
        expect([name, (await chosen(routes, name)).who]).toEqual([name, "otherwise"]);
      }
    });
  }

  test("the first row that matches counts, and is noted", async () => {
    const routes: readonly Route[] = [
      { model: "gpt-4o-mini", to: named("one") },
      { model: "gpt-4o*", to: named("two") },
      { model: undefined, to: named("three") },
      { model: "gpt-3*", to: named("never") },
    ];
    const rows = [["gpt-4o-mini", "one"], ["gpt-4o", "two"], ["gpt-3.5", "three"]] as const;
    for (const [model, who] of rows) {
      expect(await chosen(routes, model)).toEqual({ who, source: who });
    }
    expect(await chosen(routes.slice(0, 2), "x")).toEqual({
      who: "otherwise",
      source: "otherwise",
    });
  });

  test("without a row it is the source itself", () => {
    expect(route([], OTHERWISE, "usual")).toBe(OTHERWISE);
  });

  test("a name over 512 characters is matched by no pattern, and takes no time", async () => {
    const pattern = `${"*a".repeat(50)}*b`;
    const long = "a".repeat(1_000_000);
    expect((await chosen([{ model: pattern, to: named("row") }], long)).who).toBe("otherwise");
    const fits = "a".repeat(512);
    const routes = [{ model: "a*", to: named("row") }, { model: undefined, to: named("all") }];
    expect((await chosen(routes, fits)).who).toBe("row");
    expect((await chosen(routes, `${fits}a`)).who).toBe("all");
  });

  test("does not parse what it passes on", async () => {
    const call = new Exchange(makeEngine(), "test", { method: "POST" });
    const turn = () => {
      throw new TypeError("It was parsed");
    };
    const answer = await route([{ model: "a", to: named("row") }], OTHERWISE, "usual")
      .answer({ model: () => "a", turn }, call);
    expect(answer).toMatchObject({ model: "row" });
  });
});
