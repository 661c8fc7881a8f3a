import { describe, expect, test } from "bun:test";
import { runBody } from "../../../src/ops/ui/run_body.ts";
import type { Variable } from "../../../src/ops/ui/schema.ts";

function fields(values: Readonly<Record<string, unknown>>) {
  return Object.entries(values).map(([name, value]) => ({
    variable: { name } as Variable,
    read: () => value,
  }));
}

/** What the fields hold → the input of the run. */
const CASES = [
  [{ prompt: "水", temperature: 0.7, none: null }, { prompt: "水", temperature: 0.7, none: null }],
  [{ "user.name": "小明", "user.age": 3 }, { user: { name: "小明", age: 3 } }],
  [{ "messages[0].text": "a", "messages[1].text": "b" }, {
    messages: [{ text: "a" }, { text: "b" }],
  }],
  [{ "": ["the", "whole"] }, ["the", "whole"]],
  [{}, {}],
] as const;

describe("runBody()", () => {
  for (const [values, input] of CASES) {
    test(`makes ${JSON.stringify(input)}`, () => {
      expect(JSON.parse(runBody("w", fields(values)) as string)).toEqual({
        workflow_id: "w",
        input,
        wait_for_completion: true,
        output_only: true,
      });
    });
  }

  test("a name that is a trap lands in the input and nowhere else", () => {
    const body = runBody("w", fields({ "__proto__.polluted": "yes" })) as string;
    expect(body).toContain(`"input":{"__proto__":{"polluted":"yes"}}`);
    expect(({} as { readonly polluted?: string }).polluted).toBeUndefined();
  });

  test("a file makes it a form with bracket keys, where nothing is nothing", () => {
    const file = new File(["x"], "水.txt");
    const form = runBody("w", fields({ file, tags: ["a", "b"], "user.name": "小明", none: null }));
    const entries: [string, unknown][] = [...(form as FormData).entries()];
    expect(entries).toEqual([
      ["workflow_id", "w"],
      ["input[file]", file],
      ["input[tags][]", "a"],
      ["input[tags][]", "b"],
      ["input[user][name]", "小明"],
      ["wait_for_completion", "true"],
      ["output_only", "true"],
    ]);
  });
});
