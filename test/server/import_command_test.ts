import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { answer, cassette, question } from "../sources/recordings/cassettes.ts";
import { makeFolder, run } from "./launch.ts";

test("weir import writes fixtures, and says what it could not take", async () => {
  const folder = makeFolder({
    "calls.json": cassette(
      { asked: question("Hi"), answered: answer("Hello") },
      { path: "/v1/models", asked: {}, answered: {} },
    ),
    "other.yaml": "a: 1\n",
  });
  const files = [join(folder, "calls.json"), join(folder, "other.yaml")];
  const out = join(folder, "fixtures.yaml");
  const fixtures = [
    { match: { userMessage: { equals: "Hi" }, model: "gpt-4o" }, response: { content: "Hello" } },
  ];
  const told = [
    "weir: other.yaml: not taken: it is no VCR cassette (interactions) and no .llmcap.jsonl capture",
    "weir: calls.json, interaction 2: not taken: weir reads no answers of POST /v1/models",
    "weir: 1 fixture of 3 recordings, 2 not taken",
  ].join("\n");
  const printed = await run(["import", ...files]);
  expect(printed).toMatchObject({ code: 0, errors: `${told}\n` });
  expect(parse(printed.output)).toEqual({ fixtures });
  const written = await run(["import", ...files, "--out", out]);
  expect(written).toEqual({ code: 0, output: "", errors: `${told}: ${out}\n` });
  expect(parse(readFileSync(out, "utf8"))).toEqual({ fixtures });

  writeFileSync(out, "mine");
  expect(await run(["import", ...files, "--out", out])).toEqual({
    code: 1,
    output: "",
    errors: `weir: ${out} is there already, and is not overwritten\n`,
  });
  expect(readFileSync(out, "utf8")).toBe("mine");
  expect(await run(["import", files[1]!])).toMatchObject({
    code: 1,
    errors: expect.stringContaining("Nothing was written: 0 fixtures of 1 recording"),
  });
});
