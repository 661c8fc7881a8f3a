import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { answer, cassette, question } from "../sources/recordings/cassettes.ts";
import { launch, makeFolder, run } from "./launch.ts";

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
    "weir: other.yaml: not taken: it is no tape, no VCR cassette (interactions) and no .llmcap.jsonl capture",
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

test("an agent's cassette that declares no tools does not loop, whatever the last words of the user", async () => {
  const call = {
    id: "call_1",
    type: "function",
    function: { name: "look", arguments: "{}" },
  };
  const old = { name: "look", arguments: "{}" };
  const steps = (said: object, result: object) => [
    { role: "user", content: "Hi" },
    { role: "assistant", content: null, ...said },
    { ...result, content: "20" },
  ];
  const conversations = [
    steps({ tool_calls: [call] }, { role: "tool", tool_call_id: "call_1" }),
    steps({ function_call: old }, { role: "function", name: "look" }),
  ];
  for (const messages of conversations) {
    const folder = makeFolder({
      "calls.json": cassette(
        {
          asked: question("Hi"),
          answered: {
            object: "chat.completion",
            model: "gpt-4o",
            choices: [{
              index: 0,
              message: { role: "assistant", content: null, tool_calls: [call] },
              finish_reason: "tool_calls",
            }],
          },
        },
        { asked: question("", { messages }), answered: answer("20 degrees") },
      ),
    });
    const out = join(folder, "fixtures.yaml");
    expect(await run(["import", join(folder, "calls.json"), "--out", out])).toMatchObject({
      code: 0,
    });
    const weir = await launch({ args: ["--fixtures", out] });
    try {
      const ask = async (body: object) => {
        const response = await fetch(`${weir.url}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
        return (await response.json() as { readonly choices: readonly unknown[] }).choices[0];
      };
      expect(await ask(question("Hi"))).toMatchObject({ finish_reason: "tool_calls" });
      expect(await ask(question("", { messages }))).toMatchObject({
        message: { content: "20 degrees" },
      });
    } finally {
      await weir.stop();
    }
  }
});
