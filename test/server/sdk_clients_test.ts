import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Aimock, launchAimock } from "./aimock.ts";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
// @deno-types="./sdk_clients.d.ts"
import { CLIENTS, PROMPTS } from "./sdk_clients.js";
import { passOn, tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const SAID = "晴 🌊 21°, nice and warm";
const CALLED = { city: "杭州" };
const STRUCTURED = { city: "杭州", degrees: 21 };

/** What aimock says, and weir's own fixtures, the same in each dialect. */
const FIXTURES = [
  // Anthropic's client hands up no more than the result where the upstream keeps its thread.
  { match: { hasToolResult: true }, response: { content: SAID } },
  {
    match: { userMessage: PROMPTS.call },
    response: { toolCalls: [{ name: "weather", arguments: CALLED }] },
  },
  { match: { userMessage: PROMPTS.form }, response: { content: JSON.stringify(STRUCTURED) } },
  { match: { userMessage: PROMPTS.text }, response: { content: SAID }, chunkSize: 4 },
];

/** What answers a weir's clients. */
interface Behind {
  readonly name: string;
  /** The one path of aimock's that there is, but for embeddings; absent: the mock answers. */
  readonly path?: string;
  readonly set: Readonly<Record<string, string>>;
  /** Files of the folder that weir runs in. */
  readonly files?: Readonly<Record<string, string>>;
  /** How many numbers stand for a text where nobody said how many; absent: refused. */
  readonly dimensions?: number;
  readonly called: unknown;
  readonly structured: unknown;
}

const OF_AIMOCK = { called: CALLED, structured: STRUCTURED };
const BEHINDS: readonly Behind[] = [
  {
    name: "the mock",
    set: { "mock.reply": SAID, "mock.tools": "auto" },
    dimensions: 1536,
    called: { city: "city" },
    structured: { city: expect.any(String), degrees: expect.any(Number) },
  },
  {
    name: "the mock with fixtures",
    set: { "mock.fixtures": "[fixtures.json]" },
    dimensions: 1536,
    files: { "fixtures.json": JSON.stringify({ fixtures: FIXTURES }) },
    ...OF_AIMOCK,
  },
  {
    name: "an upstream that speaks chat only",
    path: "/v1/chat/completions",
    set: { "llm.speaks": "[openai_chat]" },
    dimensions: 1536,
    ...OF_AIMOCK,
  },
  {
    name: "the same, found out",
    path: "/v1/chat/completions",
    set: {},
    dimensions: 1536,
    ...OF_AIMOCK,
  },
  {
    name: "an upstream that speaks Responses only",
    path: "/v1/responses",
    set: { "llm.speaks": "[openai_responses]" },
    dimensions: 1536,
    ...OF_AIMOCK,
  },
  {
    name: "an upstream that speaks Anthropic's messages only",
    path: "/v1/messages",
    set: { "llm.speaks": "[anthropic_messages]" },
    ...OF_AIMOCK,
  },
];

let aimock: Aimock;
beforeAll(async () => {
  aimock = await launchAimock(FIXTURES);
});
afterAll(() => aimock.stop());

/** Lets nothing through to aimock but what is asked at `path`, and embeddings where there are some. */
function gateTo(path: string, hasEmbeddings: boolean): ToldUpstream {
  return tellUpstream((request) =>
    request.path === path || (hasEmbeddings && request.path === "/v1/embeddings")
      ? passOn(aimock.url, request)
      : Response.json({ error: { message: "no such URL" } }, { status: 404 })
  );
}

for (const { name, path, set, files, dimensions, called, structured } of BEHINDS) {
  describe(`over ${name}`, () => {
    let gate: ToldUpstream | undefined;
    let weir: Weir;
    beforeAll(async () => {
      if (path !== undefined) gate = gateTo(path, dimensions !== undefined);
      const upstream = gate === undefined
        ? {}
        : { "llm.base_url": `${gate.url}/v1`, "llm.retries": 0 };
      weir = await launch({ set: { ...set, ...upstream }, ...(files && { files }) });
    });
    afterAll(async () => {
      await weir.stop();
      gate?.stop();
    });

    for (const client of CLIENTS) {
      test(`${client.name}: a text, whole and streamed`, async () => {
        expect(await client.text(weir.url)).toBe(SAID);
        expect(await client.streamed(weir.url)).toBe(SAID);
      });

      test(`${client.name}: a tool loop ends`, async () => {
        const inputs: unknown[] = [];
        expect(await client.toolLoop(weir.url, (input) => inputs.push(input))).toBe(SAID);
        expect(inputs).toEqual([called]);
      });

      test(`${client.name}: structured output parses`, async () => {
        expect(await client.structured(weir.url)).toEqual(structured);
      });

      if (client.embedded === undefined) continue;
      test(`${client.name}: a vector has its length`, async () => {
        const vectorOf = client.embedded!;
        if (dimensions === undefined) {
          await expect(vectorOf(weir.url)).rejects.toThrow("Invalid URL");
          return;
        }
        expect(await vectorOf(weir.url)).toHaveLength(dimensions);
        expect(await vectorOf(weir.url, 256)).toHaveLength(256);
      });
    }
  });
}
