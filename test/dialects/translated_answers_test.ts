import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Step } from "../../src/core/answer.ts";
import type { AnswerReader, EventLimits } from "../../src/core/dialect.ts";
import type { Layout, StampTexts } from "../../src/core/frames.ts";
import { type Gathered, Gathering } from "../../src/core/gathering.ts";
import { readAnswer as readMessage } from "../../src/dialects/anthropic_messages/read_answer.ts";
import { MessageLayout } from "../../src/dialects/anthropic_messages/write_answer.ts";
import { readAnswer as readCompletion } from "../../src/dialects/openai_chat/read_answer.ts";
import { ChunkLayout } from "../../src/dialects/openai_chat/write_answer.ts";
import { readAnswer as readResponse } from "../../src/dialects/openai_responses/read_answer.ts";
import { parseResponsesRequest } from "../../src/dialects/openai_responses/request.ts";
import { ResponsesLayout } from "../../src/dialects/openai_responses/write_answer.ts";

const LIMITS: EventLimits = { section: "llm", event_max_bytes: 1 << 20 };
const STAMPS: StampTexts = ["1700000000", "a".repeat(29), "b".repeat(22), "c".repeat(32), "1"];

const DIALECTS = ["chat", "Responses", "Messages"] as const;
type Dialect = typeof DIALECTS[number];
type Json = Readonly<Record<string, unknown>>;

/** What an upstream says, in the keys of its whole answer that matter. */
interface AnswerRow {
  /** As docs/proxy.md names it. */
  readonly name: string;
  readonly answer: Json;
  /** What is to be found in the client's answer. */
  readonly says: readonly string[];
}

const row = (name: string, answer: Json, ...says: string[]): AnswerRow => ({ name, answer, says });

const completion = (message: Json, more: Json = {}, whole: Json = {}): Json => ({
  object: "chat.completion",
  choices: [{
    index: 0,
    message: { role: "assistant", ...message },
    finish_reason: "stop",
    ...more,
  }],
  ...whole,
});
const LOGPROB = { token: "zztoken", logprob: -0.5, bytes: null, top_logprobs: [] };
const CITATION = { url: "https://zz.test/", title: "zztitle", start_index: 0, end_index: 1 };
const SCORES = { violence: 0.777 };
const RESULT = {
  type: "moderation_result",
  model: "zzmoderator",
  flagged: true,
  categories: { violence: true },
  category_scores: SCORES,
};

/** Upstreams: what they may say, and how it is read. */
const UPSTREAMS: Readonly<
  Record<Dialect, {
    readonly rows: readonly AnswerRow[];
    read(fields: Pick<Headers, "get">, limits: EventLimits): AnswerReader;
  }>
> = {
  chat: {
    read: readCompletion,
    rows: [
      row("content", completion({ content: "zztext" }), "zztext"),
      row(
        "reasoning_content",
        completion({ content: "a", reasoning_content: "zzthought" }),
        "zzthought",
      ),
      row("refusal", completion({ content: null, refusal: "zzrefusal" }), "zzrefusal"),
      row(
        "tool_calls",
        completion({
          content: null,
          tool_calls: [{
            id: "zzcall",
            type: "function",
            function: { name: "zzname", arguments: '{"zzargument":1}' },
          }],
        }, { finish_reason: "tool_calls" }),
        "zzcall",
        "zzname",
        "zzargument",
      ),
      row(
        "annotations",
        completion({
          content: "a",
          annotations: [{ type: "url_citation", url_citation: CITATION }],
        }),
        "https://zz.test/",
        "zztitle",
      ),
      row(
        "logprobs",
        completion({ content: "zztoken" }, { logprobs: { content: [LOGPROB], refusal: null } }),
        "-0.5",
      ),
      row(
        "audio",
        completion({ content: null, audio: { data: "zzAA", transcript: "zzheard" } }),
        "zzheard",
      ),
      row(
        "moderation",
        completion({ content: "a" }, {}, {
          moderation: { input: { results: [RESULT] }, output: { results: [RESULT] } },
        }),
        "zzmoderator",
        "0.777",
      ),
      row(
        "cached tokens",
        completion({ content: "a" }, {}, {
          usage: {
            prompt_tokens: 900,
            completion_tokens: 5,
            prompt_tokens_details: { cached_tokens: 777 },
          },
        }),
        "777",
      ),
      row(
        "reasoning tokens",
        completion({ content: "a" }, {}, {
          usage: {
            prompt_tokens: 9,
            completion_tokens: 900,
            completion_tokens_details: { reasoning_tokens: 777 },
          },
        }),
        "777",
      ),
      row(
        "usage",
        completion({ content: "a" }, {}, { usage: { prompt_tokens: 777, completion_tokens: 888 } }),
        "777",
        "888",
      ),
    ],
  },
  Responses: {
    read: readResponse,
    rows: [
      ...([
        ["output_text", { type: "message", content: [{ type: "output_text", text: "zztext" }] }, [
          "zztext",
        ]],
        ["refusal", { type: "message", content: [{ type: "refusal", refusal: "zzrefusal" }] }, [
          "zzrefusal",
        ]],
        ["summary", { type: "reasoning", summary: [{ type: "summary_text", text: "zzthought" }] }, [
          "zzthought",
        ]],
        ["encrypted_content", { type: "reasoning", summary: [], encrypted_content: "zzproof" }, [
          "zzproof",
        ]],
        ["function_call", {
          type: "function_call",
          call_id: "zzcall",
          name: "zzname",
          arguments: '{"zzargument":1}',
        }, ["zzcall", "zzname", "zzargument"]],
        ["url_citation", {
          type: "message",
          content: [{
            type: "output_text",
            text: "a",
            annotations: [{ type: "url_citation", ...CITATION }],
          }],
        }, ["https://zz.test/", "zztitle"]],
        ["file_citation", {
          type: "message",
          content: [{
            type: "output_text",
            text: "a",
            annotations: [{ type: "file_citation", file_id: "zzfile" }],
          }],
        }, ["zzfile"]],
        ["logprobs", {
          type: "message",
          content: [{ type: "output_text", text: "zztoken", logprobs: [LOGPROB] }],
        }, ["-0.5"]],
        ["web_search_call", { type: "web_search_call", id: "zzsearch", status: "completed" }, [
          "zzsearch",
        ]],
      ] as const).map(([name, item, says]) =>
        row(name, { object: "response", status: "completed", output: [item] }, ...says)
      ),
      row(
        "moderation",
        {
          object: "response",
          status: "completed",
          output: [],
          moderation: { input: RESULT, output: RESULT },
        },
        "zzmoderator",
        "0.777",
      ),
      row("cached tokens", {
        object: "response",
        status: "completed",
        output: [],
        usage: {
          input_tokens: 900,
          output_tokens: 5,
          input_tokens_details: { cached_tokens: 777 },
        },
      }, "777"),
      row("reasoning tokens", {
        object: "response",
        status: "completed",
        output: [],
        usage: {
          input_tokens: 9,
          output_tokens: 900,
          output_tokens_details: { reasoning_tokens: 777 },
        },
      }, "777"),
      row(
        "usage",
        {
          object: "response",
          status: "completed",
          output: [],
          usage: { input_tokens: 777, output_tokens: 888 },
        },
        "777",
        "888",
      ),
    ],
  },
  Messages: {
    read: readMessage,
    rows: [
      ...([
        ["text", { type: "text", text: "zztext" }, ["zztext"]],
        ["thinking", { type: "thinking", thinking: "zzthought", signature: "" }, ["zzthought"]],
        ["signature", { type: "thinking", thinking: "a", signature: "zzproof" }, ["zzproof"]],
        ["redacted_thinking", { type: "redacted_thinking", data: "zzdata" }, ["zzdata"]],
        ["tool_use", { type: "tool_use", id: "zzcall", name: "zzname", input: { zzargument: 1 } }, [
          "zzcall",
          "zzname",
          "zzargument",
        ]],
        ["server_tool_use", {
          type: "server_tool_use",
          id: "zzsearch",
          name: "web_search",
          input: {},
        }, ["zzsearch"]],
        ["citations of pages", {
          type: "text",
          text: "a",
          citations: [{
            type: "web_search_result_location",
            url: "https://zz.test/",
            title: "zztitle",
          }],
        }, ["https://zz.test/", "zztitle"]],
        ["citations of documents", {
          type: "text",
          text: "a",
          citations: [{ type: "char_location", cited_text: "zzcited", document_index: 0 }],
        }, ["zzcited"]],
      ] as const).map(([name, block, says]) =>
        row(name, { type: "message", content: [block], stop_reason: "end_turn" }, ...says)
      ),
      row("cached tokens", {
        type: "message",
        content: [],
        stop_reason: "end_turn",
        usage: { input_tokens: 9, output_tokens: 5, cache_read_input_tokens: 777 },
      }, "777"),
      row("tokens of thought", {
        type: "message",
        content: [],
        stop_reason: "end_turn",
        usage: {
          input_tokens: 9,
          output_tokens: 900,
          output_tokens_details: { thinking_tokens: 777 },
        },
      }, "777"),
      row(
        "usage",
        {
          type: "message",
          content: [],
          stop_reason: "end_turn",
          usage: { input_tokens: 777, output_tokens: 888 },
        },
        "777",
        "888",
      ),
    ],
  },
};

/** Clients that want all that they may have. */
const CLIENTS: Readonly<
  Record<Dialect, Layout & { whole(said: Gathered, stamps: StampTexts): string }>
> = {
  chat: new ChunkLayout({
    persona: "live",
    model: "gpt-4o",
    wantsUsage: true,
    wantsObfuscation: false,
  }),
  Responses: new ResponsesLayout(parseResponsesRequest(
    {
      model: "gpt-4o",
      input: "hi",
      include: ["message.output_text.logprobs", "reasoning.encrypted_content"],
      reasoning: { summary: "auto" },
    },
    "live",
    "",
  )),
  Messages: new MessageLayout("claude-opus-4-6", "words"),
};

const WAYS = DIALECTS.flatMap((upstream) =>
  DIALECTS.filter((client) => client !== upstream).map((client) => [upstream, client] as const)
);

function stepsOf(upstream: Dialect, answer: Json): readonly Step[] {
  const reader = UPSTREAMS[upstream].read(new Headers(), LIMITS);
  const begun = reader.feed(new TextEncoder().encode(JSON.stringify(answer)));
  return [...begun, ...reader.end()];
}

function gathered(steps: readonly Step[]): Gathered {
  const said = new Gathering();
  for (const step of steps) said.add(step);
  return said;
}

/** The same answer, streamed. */
function streamed(steps: readonly Step[], client: Dialect): string {
  const writer = CLIENTS[client].writer(STAMPS);
  return (writer.open?.() ?? "") + steps.map((step) => writer.step(step)).join("") + writer.close();
}

/** What docs/proxy.md says is left out of answers on one way. */
function documented(upstream: Dialect, client: Dialect): readonly string[] {
  const page = readFileSync(join(import.meta.dir, "../../docs/proxy.md"), "utf8");
  const line = page.split("\n").find((line) => line.startsWith(`| ${upstream} ⇒ ${client} |`));
  const [, , lost = ""] = (line ?? "").split("|");
  return lost.split("·").map((name) => name.trim().replaceAll("`", "")).filter((name) =>
    name !== ""
  );
}

describe.each(WAYS)("an answer of %s for a %s client", (upstream, client) => {
  test("is said with all of its parts but those that are documented", () => {
    const lost: string[] = [];
    for (const { name, answer, says } of UPSTREAMS[upstream].rows) {
      const steps = stepsOf(upstream, answer);
      const whole = CLIENTS[client].whole(gathered(steps), STAMPS);
      const told = [whole, streamed(steps, client)].map((text) => text.replaceAll('\\"', '"'));
      if (!told.every((text) => says.every((piece) => text.includes(piece)))) lost.push(name);
    }
    expect(lost.sort()).toEqual([...documented(upstream, client)].sort());
  });
});

/** Why an answer ended, as each dialect says it. */
const ENDINGS: readonly (readonly [reason: string, Readonly<Record<Dialect, Json>>])[] = [
  ["by itself", {
    chat: completion({ content: "a" }),
    Responses: { object: "response", status: "completed", output: [] },
    Messages: { type: "message", content: [{ type: "text", text: "a" }], stop_reason: "end_turn" },
  }],
  ["at the limit", {
    chat: completion({ content: "a" }, { finish_reason: "length" }),
    Responses: {
      object: "response",
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [],
    },
    Messages: {
      type: "message",
      content: [{ type: "text", text: "a" }],
      stop_reason: "max_tokens",
    },
  }],
  ["with a call", {
    chat: completion({
      content: null,
      tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
    }, { finish_reason: "tool_calls" }),
    Responses: {
      object: "response",
      status: "completed",
      output: [{ type: "function_call", call_id: "c", name: "f", arguments: "{}" }],
    },
    Messages: {
      type: "message",
      content: [{ type: "tool_use", id: "c", name: "f", input: {} }],
      stop_reason: "tool_use",
    },
  }],
  ["by a filter", {
    chat: completion({ content: "a" }, { finish_reason: "content_filter" }),
    Responses: {
      object: "response",
      status: "incomplete",
      incomplete_details: { reason: "content_filter" },
      output: [],
    },
    Messages: { type: "message", content: [{ type: "text", text: "a" }], stop_reason: "refusal" },
  }],
];

/** The keys that say it. */
const REASONS: Readonly<Record<Dialect, (answer: Json) => unknown>> = {
  chat: ({ choices }) => (choices as readonly Json[])[0]!["finish_reason"],
  Responses: ({ status, incomplete_details }) => [
    status,
    (incomplete_details as { reason?: unknown } | undefined)?.reason,
  ],
  Messages: ({ stop_reason }) => stop_reason,
};

describe.each(ENDINGS)("an answer that ends %s", (_reason, spelled) => {
  test.each(WAYS)("of %s, as a %s client is told", (upstream, client) => {
    const said = gathered(stepsOf(upstream, spelled[upstream]));
    const told = JSON.parse(CLIENTS[client].whole(said, STAMPS));
    expect(REASONS[client](told)).toEqual(REASONS[client](spelled[client]));
  });
});

test("a client that has declared functions is told of a call in its older way", () => {
  const layout = new ChunkLayout({
    persona: "live",
    model: "gpt-4o",
    wantsUsage: false,
    wantsObfuscation: false,
    callsFunctions: true,
  });
  const steps = stepsOf("Messages", {
    type: "message",
    content: [{ type: "tool_use", id: "c", name: "f", input: { a: 1 } }],
    stop_reason: "tool_use",
  });
  const { choices: [choice] } = JSON.parse(layout.whole(gathered(steps), STAMPS));
  expect(choice).toMatchObject({
    message: { content: null, function_call: { name: "f", arguments: '{"a":1}' } },
    finish_reason: "function_call",
  });
  expect(choice.message.tool_calls).toBeUndefined();
  const writer = layout.writer(STAMPS);
  const streamed = steps.map((step) => writer.step(step)).join("");
  expect(streamed).toContain('"function_call":{"name":"f","arguments":""}');
  expect(streamed).toContain('"finish_reason":"function_call"');
  expect(streamed).not.toContain("tool_calls");
});
