/**
 * Every call and helper of the `openai` client for what the mock speaks, each tried once: that it is
 * answered, and gives what it is for. What more there is to each stands in other files.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import * as zods from "openai/helpers/zod";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { z } from "zod";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY = "一 two 🌊 three";
const model = "gpt-4o";
const user = { role: "user" as const, content: "你好 🌊" };
const chat = { model, messages: [user] };
const asked = { model, input: "你好 🌊" };
const old = { model: "gpt-3.5-turbo-instruct", prompt: "水" };
const vectors = { model: "text-embedding-3-small", input: ["水", "fire"] };
const picture = { type: "image_url" as const, image_url: { url: "https://example.com/a.png" } };
const item = { type: "message" as const, ...user };

/** A schema, what the mock makes of it, and how clients hand it over. */
const Visit = z.object({ city: z.string(), days: z.number().int() });
const VISIT = { city: "city", days: 1 };
const response_format = zods.zodResponseFormat(Visit, "visit");
const text = { format: zods.zodTextFormat(Visit, "visit") };
const visit = { name: "visit", description: "d", parameters: Visit };
const tools = [zods.zodFunction({ ...visit, function: () => "x" })];
const now = { name: "now", description: "d", parameters: {}, function: () => "x" };

let weir: Weir;
let openai: OpenAI;
beforeAll(async () => {
  weir = await launch({ set: { "mock.reply": REPLY, "mock.delay_ms": 1, "mock.tools": "auto" } });
  openai = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-test", maxRetries: 0 });
});
afterAll(() => weir.stop());

/** All that comes. */
async function all<Item>(items: AsyncIterable<Item> | PromiseLike<AsyncIterable<Item>>) {
  return await Array.fromAsync(await items);
}

/** What the chunks of an answer say. */
async function said(chunks: Parameters<typeof all<OpenAI.ChatCompletionChunk>>[0]) {
  return (await all(chunks)).map(({ choices }) => choices[0]?.delta.content ?? "").join("");
}

/** What the events of a response say. */
async function told(events: Parameters<typeof all<OpenAI.Responses.ResponseStreamEvent>>[0]) {
  return (await all(events)).map((event) =>
    event.type === "response.output_text.delta" ? event.delta : ""
  ).join("");
}

type Chat = OpenAI["chat"]["completions"];
type Responses = OpenAI["responses"];

/** The ids of kept things. */
const stored = async (c: Chat) => (await c.create({ ...chat, store: true })).id;
const kept = async (r: Responses) => (await r.create(asked)).id;
const queued = async (r: Responses) => (await r.create({ ...asked, background: true })).id;
const talk = async (o: OpenAI) => (await o.conversations.create({ items: [item] })).id;
const talkOf = async (o: OpenAI) => {
  const conversation_id = await talk(o);
  const { data } = await o.conversations.items.list(conversation_id);
  return [data[0]!.id!, { conversation_id }] as const;
};

/** A call, by name, and what is to be found in what it gives. */
type Row<Of> = readonly [name: string, call: (resource: Of) => unknown, wanted: unknown];

const OF_REPLY = { object: "chat.completion", choices: [{ message: { content: REPLY } }] };
const OF_VISIT = { choices: [{ message: { parsed: VISIT } }] };

const CHAT: readonly Row<Chat>[] = [
  ["create", (c) => c.create(chat), OF_REPLY],
  ["create, stream", (c) => said(c.create({ ...chat, stream: true })), REPLY],
  ["create, stream, tee()", async (c) => {
    const [one, other] = (await c.create({ ...chat, stream: true })).tee();
    return await Promise.all([said(one), said(other)]);
  }, [REPLY, REPLY]],
  ["create().withResponse()", (c) => c.create(chat).withResponse(), {
    request_id: expect.stringMatching(/^req_/),
    data: OF_REPLY,
  }],
  ["create().asResponse()", (c) => c.create(chat).asResponse(), { status: 200 }],
  ["stream", (c) => said(c.stream(chat)), REPLY],
  ["stream().on('content')", async (c) => {
    const texts: string[] = [];
    await c.stream(chat).on("content", (text) => texts.push(text)).done();
    return texts.join("");
  }, REPLY],
  ["stream().finalContent()", (c) => c.stream(chat).finalContent(), REPLY],
  ["stream().finalMessage()", (c) => c.stream(chat).finalMessage(), { content: REPLY }],
  ["stream().finalChatCompletion()", (c) => c.stream(chat).finalChatCompletion(), OF_REPLY],
  [
    "stream().totalUsage()",
    (c) => c.stream({ ...chat, stream_options: { include_usage: true } }).totalUsage(),
    { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  ],
  [
    "stream().finalFunctionToolCall()",
    (c) => c.stream({ ...chat, tools }).finalFunctionToolCall(),
    {
      arguments: JSON.stringify(VISIT),
    },
  ],
  [
    "stream().toReadableStream()",
    (c) =>
      ChatCompletionStream.fromReadableStream(c.stream(chat).toReadableStream()).finalContent(),
    REPLY,
  ],
  [
    "stream, with a schema",
    (c) => c.stream({ ...chat, response_format }).finalChatCompletion(),
    OF_VISIT,
  ],
  ["parse, with a schema", (c) => c.parse({ ...chat, response_format }), OF_VISIT],
  ["parse, with a tool", (c) => c.parse({ ...chat, tools }), {
    choices: [{ message: { tool_calls: [{ function: { parsed_arguments: VISIT } }] } }],
  }],
  ["runTools", (c) => c.runTools({ ...chat, tools }).finalContent(), REPLY],
  [
    "runTools, stream, a function without parameters",
    (c) =>
      c.runTools({ ...chat, stream: true, tools: [{ type: "function", function: now }] })
        .finalFunctionToolCallResult(),
    "x",
  ],
  ["list", async (c) => [await stored(c), await c.list({ limit: 1 })][1], { data: [OF_REPLY] }],
  ["list, page by page", async (c) => {
    const made = [await stored(c), await stored(c)];
    const ids = (await all(c.list({ limit: 1 }))).map(({ id }) => id);
    return made.map((id) => ids.includes(id));
  }, [true, true]],
  ["retrieve", async (c) => await c.retrieve(await stored(c)), OF_REPLY],
  ["update", async (c) => await c.update(await stored(c), { metadata: { a: "b" } }), {
    metadata: { a: "b" },
  }],
  ["messages.list", async (c) => await c.messages.list(await stored(c)), { data: [user] }],
  ["delete", async (c) => await c.delete(await stored(c)), { deleted: true }],
];

const OF_TEXT = { object: "response", output_text: REPLY };

const RESPONSES: readonly Row<Responses>[] = [
  ["create", (r) => r.create(asked), OF_TEXT],
  ["create, stream", (r) => told(r.create({ ...asked, stream: true })), REPLY],
  ["create, in the background", (r) => r.create({ ...asked, background: true }), {
    status: "queued",
  }],
  ["stream", (r) => told(r.stream(asked)), REPLY],
  ["stream().finalResponse()", (r) => r.stream(asked).finalResponse(), OF_TEXT],
  ["stream, with a schema", (r) => r.stream({ ...asked, text }).finalResponse(), {
    output_parsed: VISIT,
  }],
  [
    "stream, of a kept one",
    async (r) => await r.stream({ response_id: await queued(r) }).finalResponse(),
    OF_TEXT,
  ],
  ["parse, with a schema", (r) => r.parse({ ...asked, text }), { output_parsed: VISIT }],
  [
    "parse, with a tool",
    (r) => r.parse({ ...asked, tools: [zods.zodResponsesFunction(visit)] }),
    { output: [{ parsed_arguments: VISIT }] },
  ],
  ["retrieve", async (r) => await r.retrieve(await kept(r)), OF_TEXT],
  [
    "retrieve, stream",
    async (r) => await told(r.retrieve(await queued(r), { stream: true })),
    REPLY,
  ],
  ["retrieve, stream, behind an event", async (r) => {
    const rest = await all(r.retrieve(await queued(r), { stream: true, starting_after: 2 }));
    return [rest[0], rest.at(-1)];
  }, [{ sequence_number: 3 }, { type: "response.completed" }]],
  ["cancel", async (r) => await r.cancel(await queued(r)), {
    status: expect.stringMatching(/^(?:cancelled|completed)$/),
  }],
  ["delete", async (r) => await r.delete(await kept(r)), { deleted: true }],
  ["compact", (r) => r.compact(asked), { object: "response.compaction" }],
  ["inputItems.list", async (r) => await r.inputItems.list(await kept(r)), {
    data: [{ role: "user" }],
  }],
  ["inputTokens.count", (r) => r.inputTokens.count(asked), { input_tokens: 10 }],
];

const OTHERS: readonly Row<OpenAI>[] = [
  ["conversations.create", (o) => o.conversations.create(), { object: "conversation" }],
  ["conversations.retrieve", async (o) => await o.conversations.retrieve(await talk(o)), {
    object: "conversation",
  }],
  [
    "conversations.update",
    async (o) => await o.conversations.update(await talk(o), { metadata: { a: "b" } }),
    { metadata: { a: "b" } },
  ],
  ["conversations.delete", async (o) => await o.conversations.delete(await talk(o)), {
    deleted: true,
  }],
  [
    "conversations.items.create",
    async (o) => await o.conversations.items.create(await talk(o), { items: [item] }),
    { data: [{ role: "user" }] },
  ],
  [
    "conversations.items.list",
    async (o) => await all(o.conversations.items.list(await talk(o))),
    [{ role: "user" }],
  ],
  [
    "conversations.items.retrieve",
    async (o) => await o.conversations.items.retrieve(...await talkOf(o)),
    { role: "user" },
  ],
  [
    "conversations.items.delete",
    async (o) => await o.conversations.items.delete(...await talkOf(o)),
    { object: "conversation" },
  ],
  ["embeddings.create", (o) => o.embeddings.create(vectors), {
    data: [{ embedding: { length: 1536 } }, { embedding: { length: 1536 } }],
  }],
  [
    "embeddings.create, floats",
    (o) => o.embeddings.create({ ...vectors, encoding_format: "float" }),
    { data: [{ embedding: { length: 1536 } }, {}] },
  ],
  [
    "embeddings.create, base64",
    (o) => o.embeddings.create({ ...vectors, encoding_format: "base64" }),
    { data: [{ embedding: expect.stringMatching(/^[\w+/]{8192}$/) }, {}] },
  ],
  ["embeddings.create, dimensions", (o) => o.embeddings.create({ ...vectors, dimensions: 256 }), {
    data: [{ embedding: { length: 256 } }, {}],
  }],
  ["moderations.create", (o) => o.moderations.create({ input: ["a", "b"] }), {
    results: [{ flagged: false }, { flagged: false }],
  }],
  [
    "moderations.create, a picture",
    (o) => o.moderations.create({ model: "omni-moderation-latest", input: [picture] }),
    { results: [{ flagged: false }] },
  ],
  ["completions.create", (o) => o.completions.create(old), { choices: [{ text: REPLY }] }],
  ["completions.create, stream", async (o) => {
    const chunks = await all(o.completions.create({ ...old, stream: true }));
    return chunks.map(({ choices }) => choices[0]?.text ?? "").join("");
  }, REPLY],
  ["models.list", (o) => o.models.list(), {
    data: expect.arrayContaining([expect.objectContaining({ id: model })]),
  }],
  ["models.retrieve", (o) => o.models.retrieve(model), { id: model }],
  ["models.delete", (o) => o.models.delete("ft:gpt-4o-mini:a:b:c"), { deleted: true }],
];

function tryAll<Of>(name: string, rows: readonly Row<Of>[], resource: () => Of): void {
  describe(name, () => {
    for (const [name, call, wanted] of rows) {
      test(name, async () => {
        expect({ given: await call(resource()) }).toMatchObject({ given: wanted } as object);
      });
    }
  });
}

tryAll("chat.completions", CHAT, () => openai.chat.completions);
tryAll("responses", RESPONSES, () => openai.responses);
tryAll("others", OTHERS, () => openai);
