import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Aimock, launchAimock } from "./aimock.ts";
import { launch, REPOSITORY, TEST_MS_MAX, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const FOLDER = join(REPOSITORY, "node_modules/@copilotkit/aimock/fixtures");

/** Files that aimock publishes, of what weir speaks. */
const FILES = [
  "example-greeting",
  "example-multi-turn",
  "example-tool-call",
  "examples/adk/gemini-agent",
  "examples/crewai/multi-agent-crew",
  "examples/langchain/agent-loop",
  "examples/llamaindex/rag-pipeline",
  "examples/llm/blocks-tool-first",
  "examples/llm/embeddings",
  "examples/llm/error-injection",
  "examples/llm/sequential-responses",
  "examples/llm/streaming-physics",
  "examples/mastra/agent-workflow",
  "examples/pydanticai/structured-output",
];

interface Fixture {
  readonly match: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly response: { readonly error?: unknown; readonly embedding?: readonly number[] };
}

/** A request that `match` describes, in each dialect: its path and its body. */
function requestsOf({ match, response }: Fixture): readonly (readonly [string, object])[] {
  const model = match["model"] ?? "gpt-4o";
  const { userMessage = "anything", inputText, toolName, responseFormat, systemMessage } = match;
  if (inputText !== undefined || response.embedding !== undefined) {
    const floats = { encoding_format: "float" };
    return [["/v1/embeddings", { model, input: inputText, ...floats }]];
  }
  const id = match["toolCallId"] ?? "call_1";
  const hasResult = match["hasToolResult"] === true || match["toolCallId"] !== undefined ||
    match["toolResultContains"] !== undefined;
  const result = match["toolResultContains"] ?? "done";
  const name = toolName ?? "tool";
  const system = systemMessage === undefined ? [] : [{ role: "system", content: systemMessage }];
  const user = { role: "user", content: userMessage };
  const parameters = { type: "object", properties: {} };
  const chat = {
    model,
    messages: [
      ...system,
      user,
      ...(hasResult
        ? [
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id, type: "function", function: { name, arguments: "{}" } }],
          },
          { role: "tool", tool_call_id: id, content: result },
        ]
        : []),
    ],
    ...(toolName === undefined
      ? {}
      : { tools: [{ type: "function", function: { name, parameters } }] }),
    ...(responseFormat === undefined ? {} : { response_format: { type: responseFormat } }),
  };
  const bodies: (readonly [string, object])[] = [
    ["/v1/chat/completions", chat],
    ["/v1/chat/completions", { ...chat, stream: true }],
  ];
  if (responseFormat !== undefined) return bodies;
  bodies.push(["/v1/responses", {
    model,
    input: [
      ...system,
      user,
      ...(hasResult
        ? [
          { type: "function_call", call_id: id, name, arguments: "{}" },
          { type: "function_call_output", call_id: id, output: result },
        ]
        : []),
    ],
    ...(toolName === undefined ? {} : { tools: [{ type: "function", name, parameters }] }),
  }], ["/v1/messages", {
    model,
    max_tokens: 1000,
    ...(systemMessage === undefined ? {} : { system: systemMessage }),
    messages: [
      user,
      ...(hasResult
        ? [
          { role: "assistant", content: [{ type: "tool_use", id, name, input: {} }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: result }] },
        ]
        : []),
    ],
    ...(toolName === undefined ? {} : { tools: [{ name, input_schema: parameters }] }),
  }]);
  return bodies;
}

interface Called {
  readonly name: string;
  readonly arguments: string;
}
interface Part {
  readonly type: string;
  readonly text?: string;
  readonly name?: string;
  readonly input?: unknown;
}

/** An answer in one of the dialects. */
interface Told {
  readonly choices?: readonly {
    readonly message: {
      readonly content: string | null;
      readonly tool_calls?: readonly { readonly function: Called }[];
    };
  }[];
  readonly output?: readonly (Partial<Called> & {
    readonly type: string;
    readonly content?: readonly Part[];
  })[];
  readonly content?: readonly Part[];
  readonly data?: readonly { readonly embedding: unknown }[];
  readonly error?: { readonly message: string };
}

/** What an answer says, whichever dialect it is in. */
interface Said {
  readonly status: number;
  readonly text: string;
  /** Names, and arguments as values. */
  readonly calls: readonly (readonly [name: string, input: unknown])[];
  readonly error: string;
  readonly embedding: unknown;
}

function saidIn(status: number, body: Told): Said {
  const message = body.choices?.[0]?.message;
  const { output = [] } = body;
  const { content = [] } = body;
  const texts = [
    message?.content ?? "",
    ...output.flatMap((item) => item.content ?? []).map(({ text }) => text ?? ""),
    ...content.map(({ text }) => text ?? ""),
  ];
  const calls = [
    ...(message?.tool_calls ?? []).map(({ function: called }) => called),
    ...output.filter(({ type }) => type === "function_call"),
  ].map(({ name = "", arguments: text = "" }) => [name, JSON.parse(text)] as const);
  return {
    status,
    text: texts.join(""),
    calls: [
      ...calls,
      ...content.filter(({ type }) => type === "tool_use").map(({ name, input }) =>
        [name ?? "", input] as const
      ),
    ],
    // Each says in its own words that no fixture fits.
    error: status === 404 ? "" : body.error?.message ?? "",
    embedding: body.data?.[0]?.embedding,
  };
}

/** The message that a stream of chunks gives. */
function gathered(events: string): Told {
  let content = "";
  const calls: { readonly function: { name: string; arguments: string } }[] = [];
  for (const [, json] of events.matchAll(/^data: (\{.*)$/gm)) {
    const { choices } = JSON.parse(json!);
    const { content: text, tool_calls = [] } = choices[0]?.delta ?? {};
    content += text ?? "";
    for (const { index, function: { name = "", arguments: piece = "" } } of tool_calls) {
      const call = calls[index] ??= { function: { name: "", arguments: "" } };
      call.function.name += name;
      call.function.arguments += piece;
    }
  }
  return { choices: [{ message: { content, tool_calls: calls } }] };
}

async function ask(url: string, path: string, body: object): Promise<Said> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "authorization": "Bearer any",
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  return saidIn(response.status, isStream ? gathered(text) : JSON.parse(text));
}

for (const file of FILES) {
  describe(`aimock's ${file}.json`, () => {
    const text = readFileSync(join(FOLDER, `${file}.json`), "utf8");
    const { fixtures } = JSON.parse(text) as { readonly fixtures: readonly Fixture[] };
    let aimock: Aimock;
    let weir: Weir;
    beforeAll(async () => {
      [aimock, weir] = await Promise.all([
        launchAimock(fixtures),
        launch({
          files: { "fixtures.json": text },
          set: { "mock.fixtures": "[fixtures.json]", "mock.strict": true },
        }),
      ]);
    });
    afterAll(() => Promise.all([aimock.stop(), weir.stop()]));

    test("is answered by weir as by aimock", async () => {
      let count = 0;
      for (const fixture of fixtures) {
        for (const [path, body] of requestsOf(fixture)) {
          const [own, other] = [
            await ask(weir.url, path, body),
            await ask(aimock.url, path, body),
          ];
          expect([path, body, own]).toEqual([path, body, other]);
          count++;
        }
      }
      expect(count).toBeGreaterThan(0);
    });
  });
}
