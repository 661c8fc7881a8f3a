import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/core/errors.ts";
import type { Turn } from "../../src/core/turn.ts";
import { parseMessagesRequest } from "../../src/dialects/anthropic_messages/request.ts";
import { writeRequest as writeMessages } from "../../src/dialects/anthropic_messages/write_request.ts";
import { parseChatRequest } from "../../src/dialects/openai_chat/request.ts";
import { writeRequest as writeChat } from "../../src/dialects/openai_chat/write_request.ts";
import { parseResponsesRequest } from "../../src/dialects/openai_responses/request.ts";
import { writeRequest as writeResponses } from "../../src/dialects/openai_responses/write_request.ts";
import {
  type Body,
  CHAT_FIELDS,
  type FieldRow,
  MESSAGES_FIELDS,
  RESPONSES_FIELDS,
} from "./translation_fields.ts";

const DIALECTS = ["chat", "Responses", "Messages"] as const;
type Dialect = typeof DIALECTS[number];

const USER = { role: "user", content: "hi" };

/** Clients: what they may ask, and how that is read. */
const CLIENTS: Readonly<
  Record<Dialect, { readonly fields: readonly FieldRow[]; read(body: Body): Turn }>
> = {
  chat: {
    fields: CHAT_FIELDS,
    read: (body) => parseChatRequest({ model: "gpt-4o", messages: [USER], ...body }, "spec"),
  },
  Responses: {
    fields: RESPONSES_FIELDS,
    read: (body) => parseResponsesRequest({ model: "gpt-4o", input: "hi", ...body }, "spec", ""),
  },
  Messages: {
    fields: MESSAGES_FIELDS,
    read: (body) =>
      parseMessagesRequest({
        model: "claude-opus-4-6",
        max_tokens: 100,
        messages: [USER],
        ...body,
      }),
  },
};

/** Upstreams: how they are asked. */
const UPSTREAMS: Readonly<Record<Dialect, (turn: Turn) => string>> = {
  chat: (turn) => writeChat(turn, true),
  Responses: writeResponses,
  Messages: writeMessages,
};

const WAYS = DIALECTS.flatMap((client) =>
  DIALECTS.filter((upstream) => upstream !== client).map((upstream) => [client, upstream] as const)
);

type Fate = "said" | "refused" | "absent";

/** What becomes of a field between two dialects. */
function fateOf({ given = {}, body }: FieldRow, client: Dialect, upstream: Dialect): Fate {
  const ask = (asked: Body) => UPSTREAMS[upstream](CLIENTS[client].read(asked));
  let asked: string;
  try {
    asked = ask({ ...given, ...body });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.message).toMatch(/\w/);
    return "refused";
  }
  if (asked === ask(given)) return "absent";
  for (const [text] of JSON.stringify(body).matchAll(/zz\w*/g)) expect(asked).toContain(text);
  return "said";
}

/** The cells of the row of docs/proxy.md that tells of one way. */
function documented(client: Dialect, upstream: Dialect) {
  const page = readFileSync(join(import.meta.dir, "../../docs/proxy.md"), "utf8");
  const line = page.split("\n").find((line) => line.startsWith(`| ${client} → ${upstream} |`));
  const [, , refused = "", own = "", lost = ""] = (line ?? "").split("|");
  const names = (cell: string) => cell.split("·").map((name) => name.trim().replaceAll("`", ""));
  return { refused: names(refused), own: names(own), lost: names(lost) };
}

describe.each(WAYS)("a %s request for an upstream of %s", (client, upstream) => {
  test("says each field, refuses it, or is documented to leave it out", () => {
    const told = documented(client, upstream);
    const fates = CLIENTS[client].fields.map((row) =>
      [row.name, fateOf(row, client, upstream)] as const
    );
    const named = (wanted: Fate) =>
      fates.filter(([, fate]) => fate === wanted).map(([name]) => name).sort();
    expect(named("refused")).toEqual(told.refused.sort());
    expect(named("absent")).toEqual([...told.own, ...told.lost].sort());
  });
});

/** The same in three spellings: whoever asks in one, asks each upstream in its own. */
const SPELLINGS: readonly (readonly [name: string, Readonly<Record<Dialect, Body>>])[] = [
  ["a limit", {
    chat: { max_tokens: 77 },
    Responses: { max_output_tokens: 77 },
    Messages: { max_tokens: 77 },
  }],
  ["no choice of tools", spelledChoice("none", "none", { type: "none" })],
  ["a call that is required", spelledChoice("required", "required", { type: "any" })],
  [
    "a call by name",
    spelledChoice(
      { type: "function", function: { name: "f" } },
      { type: "function", name: "f" },
      { type: "tool", name: "f" },
    ),
  ],
  ["one call at most", {
    chat: { ...tools().chat, parallel_tool_calls: false },
    Responses: { ...tools().Responses, parallel_tool_calls: false },
    Messages: {
      ...tools().Messages,
      tool_choice: { type: "auto", disable_parallel_tool_use: true },
    },
  }],
  ["a call and its result", {
    chat: {
      messages: [USER, {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
      }, { role: "tool", tool_call_id: "c", content: "晴" }],
    },
    Responses: {
      input: [
        { type: "message", ...USER },
        { type: "function_call", call_id: "c", name: "f", arguments: '{"a":1}' },
        { type: "function_call_output", call_id: "c", output: "晴" },
      ],
    },
    Messages: {
      messages: [said("user", "hi"), {
        role: "assistant",
        content: [{ type: "tool_use", id: "c", name: "f", input: { a: 1 } }],
      }, {
        role: "user",
        content: [{
          type: "tool_result",
          tool_use_id: "c",
          content: [{ type: "text", text: "晴" }],
        }],
      }],
    },
  }],
  [
    "an image by its URL",
    spelledPart(
      { type: "image_url", image_url: { url: "https://x/y.png" } },
      { type: "input_image", image_url: "https://x/y.png" },
      { type: "image", source: { type: "url", url: "https://x/y.png" } },
    ),
  ],
  [
    "an image",
    spelledPart(
      { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
      { type: "input_image", image_url: "data:image/png;base64,AA==" },
      { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } },
    ),
  ],
  [
    "a file",
    spelledPart(
      { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AA==" } },
      {
        type: "input_file",
        filename: "a.pdf",
        file_data: "data:application/pdf;base64,AA==",
      },
      {
        type: "document",
        title: "a.pdf",
        source: { type: "base64", media_type: "application/pdf", data: "AA==" },
      },
    ),
  ],
  ["a schema", {
    chat: {
      response_format: {
        type: "json_schema",
        json_schema: { name: "answer", schema: { type: "object", additionalProperties: true } },
      },
    },
    Responses: {
      text: {
        format: {
          type: "json_schema",
          name: "answer",
          schema: { type: "object", additionalProperties: true },
        },
      },
    },
    Messages: {
      output_config: {
        format: { type: "json_schema", schema: { type: "object", additionalProperties: true } },
      },
    },
  }],
  ["who asks", {
    chat: { user: "u" },
    Responses: { user: "u" },
    Messages: { metadata: { user_id: "u" } },
  }],
];

function tools() {
  const parameters = { type: "object", properties: {} };
  return {
    chat: { tools: [{ type: "function", function: { name: "f", parameters } }] },
    Responses: { tools: [{ type: "function", name: "f", parameters, strict: false }] },
    Messages: { tools: [{ name: "f", input_schema: parameters }] },
  };
}

function spelledChoice(chat: unknown, Responses: unknown, Messages: unknown) {
  const declared = tools();
  return {
    chat: { ...declared.chat, tool_choice: chat },
    Responses: { ...declared.Responses, tool_choice: Responses },
    Messages: { ...declared.Messages, tool_choice: Messages },
  };
}

function said(role: string, text: string) {
  return { role, content: [{ type: "text", text }] };
}

function spelledPart(chat: object, Responses: object, Messages: object) {
  return {
    chat: { messages: [{ role: "user", content: [{ type: "text", text: "see" }, chat] }] },
    Responses: {
      input: [{
        type: "message",
        role: "user",
        content: [{ type: "input_text", text: "see" }, Responses],
      }],
    },
    Messages: { messages: [{ role: "user", content: [{ type: "text", text: "see" }, Messages] }] },
  };
}

describe.each(SPELLINGS)("%s", (_name, spelled) => {
  test.each(WAYS)("of a %s client, as an upstream of %s spells it", (client, upstream) => {
    const asked = JSON.parse(UPSTREAMS[upstream](CLIENTS[client].read(spelled[client])));
    expect(asked).toMatchObject(spelled[upstream]);
  });
});

describe("pictures in a result", () => {
  const asked = {
    messages: [
      USER,
      {
        role: "assistant",
        content: ["a", "b"].map((id) => ({ type: "tool_use", id, name: "f", input: {} })),
      },
      {
        role: "user",
        content: [
          {
            type: "tool_result",
            tool_use_id: "a",
            content: [
              { type: "text", text: "seen" },
              { type: "image", source: { type: "url", url: "https://x" } },
            ],
          },
          { type: "tool_result", tool_use_id: "b", content: "none" },
          { type: "text", text: "well?" },
        ],
      },
    ],
  };
  const turn = CLIENTS.Messages.read(asked);

  test("follow in a user's message where the chat API is asked", () => {
    expect(JSON.parse(UPSTREAMS.chat(turn)).messages.slice(2)).toEqual([
      { role: "tool", tool_call_id: "a", content: "seen" },
      { role: "tool", tool_call_id: "b", content: "none" },
      {
        role: "user",
        content: [
          { type: "image_url", image_url: { url: "https://x" } },
          { type: "text", text: "well?" },
        ],
      },
    ]);
  });

  test("stay where they are where the Responses API is", () => {
    expect(JSON.parse(UPSTREAMS.Responses(turn)).input.at(-3)).toEqual({
      type: "function_call_output",
      call_id: "a",
      output: [
        { type: "input_text", text: "seen" },
        { type: "input_image", image_url: "https://x" },
      ],
    });
  });
});
