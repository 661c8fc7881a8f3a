/**
 * A stream that an upstream breaks off, behind each of its events and in the middle of each: whatever
 * client reads it in whatever dialect, it sees an error, never a whole answer.
 *
 * @module
 */

import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { launchAimock } from "./aimock.ts";
import { TEST_MS_MAX } from "./launch.ts";
import { type Proxied, proxied, whole } from "./proxied.ts";
import { type Act, act, chunk, response, sseHead } from "./scripted_upstream.ts";
// @deno-types="./sdk_clients.d.ts"
import { CLIENTS, type Dialect, PROMPTS } from "./sdk_clients.js";

setDefaultTimeout(TEST_MS_MAX);

const SAID = "晴 🌊 21°, nice";
const CALLED = { city: "杭州" };
const JSON_CALLED = JSON.stringify(CALLED);

/** The answers: a text, and a text with a call behind it. */
type Kind = "text" | "call";
const FIXTURES = [
  { match: { userMessage: PROMPTS.text }, response: { content: SAID }, chunkSize: 5 },
  {
    match: { userMessage: PROMPTS.call },
    response: { content: SAID, toolCalls: [{ id: "call_1", name: "weather", arguments: CALLED }] },
    chunkSize: 5,
  },
];

/** How each dialect is asked. */
const ASKED: Readonly<Record<Dialect, (prompt: string) => readonly [path: string, body: object]>> =
  {
    openai_chat: (content) => ["/v1/chat/completions", { messages: [{ role: "user", content }] }],
    openai_responses: (input) => ["/v1/responses", { input }],
    anthropic_messages: (content) => [
      "/v1/messages",
      { max_tokens: 99, messages: [{ role: "user", content }] },
    ],
  };
const DIALECTS = Object.keys(ASKED) as Dialect[];

/** The old completions, of which aimock knows nothing. */
const COMPLETION = [["晴 🌊", null], [" 21°", null], [", nice", "stop"]].map(
  ([text, finish_reason]) =>
    `data: ${JSON.stringify({ id: "cmpl-1", choices: [{ index: 0, text, finish_reason }] })}\n\n`,
).concat("data: [DONE]\n\n");

/** One client, and what it makes of a streamed answer. It throws when it takes it for broken. */
interface Reader {
  readonly name: string;
  readonly asks: Dialect | "openai_completions";
  readonly kind: Kind;
  read(url: string): Promise<unknown>;
  readonly wanted: unknown;
}

const openaiAt = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
const ASKED_FOR_CALL = [{ role: "user" as const, content: PROMPTS.call }];

const READERS: readonly Reader[] = [
  ...CLIENTS.map(({ name, dialect: asks, streamed: read }): Reader => ({
    name,
    asks,
    kind: "text",
    read,
    wanted: SAID,
  })),
  {
    name: "openai, completions",
    asks: "openai_completions",
    kind: "text",
    async read(url) {
      const stream = await openaiAt(url).completions.create({
        model: "gpt-3.5-turbo-instruct",
        prompt: PROMPTS.text,
        stream: true,
      });
      let [said, reason]: [string, string | null] = ["", null];
      for await (const { choices: [choice] } of stream) {
        said += choice?.text ?? "";
        reason = choice?.finish_reason ?? reason;
      }
      if (reason === null) throw new Error("It has no end");
      return said;
    },
    wanted: SAID,
  },
  {
    name: "openai, chat",
    asks: "openai_chat",
    kind: "call",
    async read(url) {
      const { choices: [choice] } = await openaiAt(url).chat.completions.stream({
        model: "gpt-4o",
        messages: ASKED_FOR_CALL,
      }).finalChatCompletion();
      const { message: { content, tool_calls }, finish_reason } = choice!;
      const calls = tool_calls!.map((call) => "function" in call && call.function.arguments);
      return [content, calls, finish_reason];
    },
    wanted: [SAID, [JSON_CALLED], "tool_calls"],
  },
  {
    name: "openai, responses",
    asks: "openai_responses",
    kind: "call",
    async read(url) {
      const { output_text, output, status } = await openaiAt(url).responses.stream({
        model: "gpt-4o",
        input: PROMPTS.call,
      }).finalResponse();
      return [output_text, output.map((item) => "arguments" in item && item.arguments), status];
    },
    wanted: [SAID, [false, JSON_CALLED], "completed"],
  },
  {
    name: "@anthropic-ai/sdk",
    asks: "anthropic_messages",
    kind: "call",
    async read(url) {
      const client = new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 });
      const { content, stop_reason } = await client.messages.stream({
        model: "claude-sonnet-4-6",
        max_tokens: 99,
        messages: ASKED_FOR_CALL,
      }).finalMessage();
      return [
        ...content.map((block) => "text" in block ? block.text : "input" in block && block.input),
        stop_reason,
      ];
    },
    wanted: [SAID, CALLED, "tool_use"],
  },
];

/** The events of each answer in each dialect, as aimock streams them. */
const events = {} as Record<Dialect, Record<Kind, readonly string[]>>;
beforeAll(async () => {
  const aimock = await launchAimock(FIXTURES);
  const streamOf = async (dialect: Dialect, prompt: string) => {
    const [path, body] = ASKED[dialect](prompt);
    const answer = await fetch(aimock.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "m", stream: true, ...body }),
    });
    return (await answer.text()).split(/(?<=\n\n)/);
  };
  for (const dialect of DIALECTS) {
    events[dialect] = {
      text: await streamOf(dialect, PROMPTS.text),
      call: await streamOf(dialect, PROMPTS.call),
    };
  }
  await aimock.stop();
});

/** A way in which an upstream can leave off behind `count` of `events`. */
interface Cut {
  readonly how: string;
  readonly cut: (events: readonly string[], count: number) => readonly Act[];
  /** False where what is relayed is whole all the same: some servers never say `[DONE]`. */
  readonly isCutOf: (dialect: Dialect) => boolean;
}

const CUTS: readonly Cut[] = [
  {
    how: "closes",
    cut: (events, count) => [...sent(events.slice(0, count)), act.end],
    isCutOf: () => true,
  },
  {
    how: "resets",
    cut: (events, count) => [...sent(events.slice(0, count)), act.reset],
    isCutOf: () => true,
  },
  {
    how: "ends its body in the middle of the next event",
    cut: (events, count) => whole(...events.slice(0, count), events[count]!.slice(0, -9)),
    isCutOf: () => true,
  },
  {
    how: "ends its body",
    cut: (events, count) => whole(...events.slice(0, count)),
    isCutOf: (dialect) => dialect !== "openai_chat",
  },
];

/** An upstream of Anthropic's or of responses alone has no old completions. */
function hasCompletions(dialect: Dialect): boolean {
  return dialect === "openai_chat";
}

function sent(events: readonly string[]): Act[] {
  return [act.send(sseHead()), ...events.map((event) => act.send(chunk(event)))];
}

/** How many of `events` an answer needs: what is behind the reason why it ended, it may lack. */
function neededOf(events: readonly string[]): number {
  const end = events.findLastIndex((event) =>
    /"finish_reason":"|"message_stop"|"response\.completed"/.test(event)
  );
  return end + 1;
}

/** How an upstream tells of an error of its own. */
const TOLD = { type: "overloaded_error", code: "overloaded_error", message: "Overloaded 忙" };
const FAILED = { id: "resp_1", object: "response", status: "failed", error: TOLD, output: [] };
const ERRORS: Readonly<Record<Dialect, readonly object[]>> = {
  openai_chat: [{ error: TOLD }],
  openai_responses: [
    { type: "error", error: { ...TOLD, param: null }, sequence_number: 4 },
    { type: "response.failed", response: FAILED, sequence_number: 5 },
  ],
  anthropic_messages: [{ type: "error", error: TOLD }],
};

for (const dialect of DIALECTS) {
  describe(`before an upstream that speaks ${dialect}`, () => {
    let proxy: Proxied;
    beforeAll(async () => {
      proxy = await proxied({ set: { "llm.speaks": `[${dialect}]` } });
    });
    afterAll(() => proxy.stop());

    for (const { name, asks, kind, read, wanted } of READERS) {
      const isRelayed = asks === dialect ||
        (asks === "openai_completions" && hasCompletions(dialect));
      const all = () =>
        asks === "openai_completions" && isRelayed ? COMPLETION : events[dialect][kind];
      const play = (acts: readonly Act[]) =>
        proxy.play(({ path }) =>
          path === "/v1/completions" && !isRelayed
            ? [act.send(response("{}", {}, "404 Not Found"))]
            : acts
        );

      test(`${name}: a ${kind} is whole, however it is cut into pieces`, async () => {
        const bytes = Buffer.from(all().join(""));
        for (const size of [1, 7, 1000]) {
          const pieces = Array.from(
            { length: Math.ceil(bytes.length / size) },
            (_, i) => bytes.subarray(i * size, (i + 1) * size),
          );
          play(whole(...pieces));
          expect(await read(proxy.weir.url)).toEqual(wanted);
        }
      });

      test(`${name}: a ${kind} that breaks off is an error`, async () => {
        const needed = neededOf(all());
        expect(needed).toBeGreaterThan(2);
        for (const { how, cut, isCutOf } of CUTS) {
          if (isRelayed && !isCutOf(dialect)) continue;
          for (let count = 0; count < needed; count++) {
            play(cut(all(), count));
            const outcome = await read(proxy.weir.url).catch((error: unknown) => error);
            expect([how, count, outcome]).toEqual([how, count, expect.any(Error)]);
          }
        }
      });

      test(`${name}: an upstream's own error behind a part of a ${kind}`, async () => {
        const told = ERRORS[dialect].map((event) =>
          ("type" in event ? `event: ${event.type}\n` : "") + `data: ${JSON.stringify(event)}\n\n`
        );
        play(whole(...all().slice(0, 2), ...told));
        await expect(read(proxy.weir.url)).rejects.toThrow("Overloaded 忙");
      });
    }
  });
}
