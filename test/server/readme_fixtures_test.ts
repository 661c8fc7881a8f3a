import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import type { ChatCompletionMessageParam, ChatCompletionTool } from "openai/resources";
import { launch, run, TEST_MS_MAX, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const ROOT = join(import.meta.dir, "..", "..");

/** The first fixtures that a page shows. */
function fixturesOf(page: string): string {
  const text = readFileSync(join(ROOT, page), "utf8");
  return /```yaml\n((?:# .*\n)?fixtures:\n[^`]*)```/.exec(text)![1]!;
}

const TOOL: ChatCompletionTool = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: {} } },
};

describe("the README's fixtures", () => {
  let weir: Weir;
  let client: OpenAI;
  beforeAll(async () => {
    weir = await launch({
      files: { "fixtures.yaml": fixturesOf("README.md") },
      args: ["--fixtures", "fixtures.yaml"],
    });
    client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "any", maxRetries: 0 });
  });
  afterAll(() => weir.stop());

  const ask = async (content: string) => {
    const messages = [{ role: "user" as const, content }];
    const { choices } = await client.chat.completions.create({ model: "gpt-4o", messages });
    return choices[0]!.message.content;
  };

  test("say two texts", async () => {
    expect(await ask("hello")).toBe("Hello! How can I help?");
    expect(await ask("good bye")).toBe("See you.");
  });

  test("call a tool, and say what came of it: an agent ends", async () => {
    const messages: ChatCompletionMessageParam[] = [{ role: "user", content: "the weather?" }];
    const said: (string | null)[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const { choices } = await client.chat.completions.create({
        model: "gpt-4o",
        messages,
        tools: [TOOL],
      });
      const { message } = choices[0]!;
      messages.push(message);
      said.push(message.content);
      if (message.tool_calls === undefined) break;
      for (const { id } of message.tool_calls) {
        messages.push({ role: "tool", tool_call_id: id, content: '{"degrees":21}' });
      }
    }
    expect(said).toEqual([null, "It is 21 degrees."]);
  });

  test("give JSON that keeps a schema", async () => {
    const answer = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "where?" }],
      response_format: {
        type: "json_schema",
        json_schema: {
          name: "place",
          strict: true,
          schema: {
            type: "object",
            properties: { city: { type: "string" }, degrees: { type: "number" } },
            required: ["city", "degrees"],
            additionalProperties: false,
          },
        },
      },
    });
    expect(JSON.parse(answer.choices[0]!.message.content!)).toEqual({
      city: "Boston",
      degrees: 21,
    });
  });

  test("refuse once, and answer then", async () => {
    const refused = await ask("limit").catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 429 });
    expect((refused as InstanceType<typeof OpenAI.APIError>).headers!.get("retry-after")).toBe("1");
    expect(await ask("limit")).toBe("Here you are.");
  });

  test("are slow where they should be", async () => {
    const beganMs = performance.now();
    expect(await ask("slow")).toBe("This takes a while.");
    expect(performance.now() - beganMs).toBeGreaterThan(800);
  });
});

test("the fixtures of docs/fixtures.md are right, and none hides another", async () => {
  const files = { "fixtures.yaml": fixturesOf("docs/fixtures.md") };
  expect(await run(["fixtures", "check", "fixtures.yaml"], { files })).toEqual({
    code: 0,
    output: "ok: 3 fixtures in 1 file\n",
    errors: "",
  });
});
