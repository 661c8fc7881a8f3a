import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { TEST_MS_MAX } from "./launch.ts";
import { type Proxied, proxied } from "./proxied.ts";
import { act, chunk, LAST_CHUNK, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

function named(value: { readonly type: string }): string {
  return `event: ${value.type}\ndata: ${JSON.stringify(value)}  \n\n`;
}

const delta = (index: number, delta: unknown) =>
  named({ type: "content_block_delta", index, delta } as never);
const begin = (index: number, content_block: unknown) =>
  named({ type: "content_block_start", index, content_block } as never);
const stop = (index: number) => named({ type: "content_block_stop", index } as never);

/** A text and a call, as Anthropic streams them. */
const MESSAGES = [
  named({
    type: "message_start",
    message: {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "claude-x",
      content: [],
      stop_reason: null,
      usage: { input_tokens: 9, output_tokens: 1 },
    },
  } as never),
  begin(0, { type: "text", text: "" }),
  'event: ping\ndata: {"type": "ping"}\n\n',
  delta(0, { type: "text_delta", text: "水 🌊" }),
  stop(0),
  begin(1, { type: "tool_use", id: "toolu_1", name: "wetter", input: {} }),
  delta(1, { type: "input_json_delta", partial_json: "" }),
  delta(1, { type: "input_json_delta", partial_json: '{"ort":"杭州"}' }),
  stop(1),
  named({
    type: "message_delta",
    delta: { stop_reason: "tool_use", stop_sequence: null },
    usage: { output_tokens: 7 },
  } as never),
  named({ type: "message_stop" }),
];

const choice = (delta: unknown, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const tool = (call: unknown) => choice({ tool_calls: [call] });

/** The same, as the chat API streams it. The end mark alone may be missing. */
const CHUNKS = [
  choice({ role: "assistant", content: "" }),
  choice({ content: "水 🌊" }),
  tool({ index: 0, id: "call_1", type: "function", function: { name: "wetter", arguments: "" } }),
  tool({ index: 0, function: { arguments: '{"ort":' } }),
  tool({ index: 0, function: { arguments: '"杭州"}' } }),
  choice({}, "tool_calls"),
];

const MESSAGE_ASKED = {
  model: "claude-x",
  max_tokens: 100,
  messages: [{ role: "user" as const, content: "hi" }],
};
const CHAT_ASKED = { model: "claude-x", messages: MESSAGE_ASKED.messages };

/** What a client makes of an answer; it throws when it takes it for broken. */
const CLIENTS: Readonly<Record<"anthropic" | "openai", (url: string) => Promise<unknown>>> = {
  async anthropic(url) {
    const client = new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 });
    const { content, stop_reason } = await client.messages.stream(MESSAGE_ASKED).finalMessage();
    return [content, stop_reason];
  },
  async openai(url) {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
    const { choices } = await client.chat.completions.stream(CHAT_ASKED).finalChatCompletion();
    return [choices[0]!.message.content, choices[0]!.message.tool_calls, choices[0]!.finish_reason];
  },
};

const USE = { type: "tool_use", name: "wetter", input: { ort: "杭州" } };
const CASES = [
  [
    "anthropic",
    "anthropic_messages",
    MESSAGES,
    [[{ type: "text", text: "水 🌊" }, USE], "tool_use"],
  ],
  ["anthropic", "openai_chat", CHUNKS, [[{ type: "text", text: "水 🌊" }, USE], "tool_use"]],
  ["openai", "anthropic_messages", MESSAGES, [
    "水 🌊",
    [{ function: { name: "wetter", arguments: '{"ort":"杭州"}' } }],
    "tool_calls",
  ]],
] as const;

for (const [client, speaks, events, wanted] of CASES) {
  describe(`the ${client} client before an upstream that speaks ${speaks}`, () => {
    let proxy: Proxied;
    beforeAll(async () => {
      proxy = await proxied({ set: { "llm.speaks": `[${speaks}]` } });
    });
    afterAll(() => proxy.stop());

    test("gets a whole answer, however it is cut into pieces", async () => {
      for (const size of [1, 7, 1000]) {
        const bytes = Buffer.from(events.join(""));
        const pieces = Array.from(
          { length: Math.ceil(bytes.length / size) },
          (_, i) => bytes.subarray(i * size, (i + 1) * size),
        );
        proxy.play(() => [
          act.send(sseHead()),
          ...pieces.map((piece) => act.send(chunk(piece))),
          act.send(LAST_CHUNK),
        ]);
        expect(await CLIENTS[client](proxy.weir.url)).toMatchObject(wanted as object);
      }
    });

    for (let count = 0; count < events.length; count++) {
      for (const how of ["end", "reset"] as const) {
        test(`gets an error behind ${count} events (${how})`, async () => {
          proxy.play(() => [
            act.send(sseHead()),
            ...events.slice(0, count).map((event) => act.send(chunk(event))),
            act[how],
          ]);
          let said: unknown;
          try {
            said = await CLIENTS[client](proxy.weir.url);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
          expect(said).toBeUndefined();
        });
      }
    }

    test("gets the upstream's own error out of the middle of a stream", async () => {
      const error =
        '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded 忙"}}';
      const told = speaks === "openai_chat"
        ? `data: ${error}\n\n`
        : `event: error\ndata: ${error}\n\n`;
      proxy.play(() => [
        act.send(sseHead()),
        act.send(chunk(events.slice(0, 4).join("") + told)),
        act.send(LAST_CHUNK),
      ]);
      const failed = CLIENTS[client](proxy.weir.url);
      expect(failed).rejects.toThrow("Overloaded 忙");
      await failed.catch(() => undefined);
    });
  });
}
