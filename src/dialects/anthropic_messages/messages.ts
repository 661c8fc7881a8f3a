/**
 * The messages of a Messages request in the spelling of the chat API, and the rules that join them.
 *
 * @module
 */

import { type Message, WRITTEN } from "../../core/turn.ts";
import type { JsonObject } from "../openai/check.ts";
import { invalid } from "./errors.ts";

/** Neighbours of one role, put together. */
interface Said {
  readonly role: "user" | "assistant";
  readonly blocks: JsonObject[];
  /** Where the first of them stands in the request. */
  readonly at: number;
}

/** A part of a chat message's content. */
type Part = JsonObject;

/**
 * What `system` and `messages` say, which have been checked one by one. All system texts stand in
 * one message in front: many servers take it nowhere else.
 *
 * @throws {AppError} 400 where messages do not fit each other.
 */
export function chatMessages(
  system: unknown,
  messages: readonly JsonObject[],
): readonly Message[] {
  if (messages.length === 0) throw invalid("messages", "at least one message is required");
  const systems = blocksOf(system).map(textIn);
  const said: Said[] = [];
  for (const [at, { role, content }] of messages.entries()) {
    const blocks = blocksOf(content);
    if (role === "system") {
      systems.push(...blocks.map(textIn));
      continue;
    }
    checkBlocks(blocks, at, role === "assistant" && at === messages.length - 1);
    const last = said.at(-1);
    if (last !== undefined && last.role === role) last.blocks.push(...blocks);
    else said.push({ role: role as Said["role"], blocks: [...blocks], at });
  }
  checkCalls(said);
  const prompt = systems.filter((text) => text !== "").join("\n\n");
  return [
    ...(prompt === "" ? [] : [{ role: "system", content: prompt, ...writtenIn(systems) }]),
    ...said.flatMap(({ role, blocks }) => role === "user" ? userTurn(blocks) : modelTurn(blocks)),
  ];
}

/** A text is one block. */
function blocksOf(content: unknown): readonly JsonObject[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  return (content ?? []) as readonly JsonObject[];
}

function textIn(block: JsonObject): string {
  return block["type"] === "text" ? block["text"] as string : "";
}

function checkBlocks(blocks: readonly JsonObject[], at: number, isLast: boolean): void {
  if (blocks.length === 0 && !isLast) {
    throw invalid(
      `messages.${at}`,
      "all messages must have non-empty content except for the optional final assistant message",
    );
  }
  if (blocks.some((block) => block["type"] === "text" && block["text"] === "")) {
    throw invalid("messages", "text content blocks must be non-empty");
  }
  const last = blocks.at(-1);
  if (isLast && last !== undefined && /\s$/.test(textIn(last))) {
    throw invalid("messages", "final assistant content cannot end with trailing whitespace");
  }
}

/** Every call has its result in the message behind it, and every result its call in front. */
function checkCalls(said: readonly Said[]): void {
  let open = new Set<unknown>();
  let openAt = 0;
  for (const { role, blocks, at } of said) {
    if (role === "assistant") {
      open = new Set(blocks.filter(isCall).map(({ id }) => id));
      openAt = at;
      continue;
    }
    for (const [i, { type, tool_use_id: id }] of blocks.entries()) {
      if (type !== "tool_result" || open.delete(id)) continue;
      throw invalid(
        `messages.${at}.content.${i}`,
        `unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. Each \`tool_result\` ` +
          "block must have a corresponding `tool_use` block in the previous message.",
      );
    }
    if (open.size > 0) throw unanswered(openAt, open);
  }
  if (open.size > 0 && said.at(-1)?.role === "assistant") throw unanswered(openAt, open);
}

function unanswered(at: number, ids: ReadonlySet<unknown>) {
  return invalid(
    `messages.${at}`,
    "`tool_use` ids were found without `tool_result` blocks immediately after: " +
      `${[...ids].join(", ")}. Each \`tool_use\` block must have a corresponding ` +
      "`tool_result` block in the next message.",
  );
}

function isCall({ type }: JsonObject): boolean {
  return type === "tool_use";
}

/** Results come first, as the chat API wants them. */
function userTurn(blocks: readonly JsonObject[]): readonly Message[] {
  const results = blocks.filter(({ type }) => type === "tool_result").map(resultOf);
  const parts = blocks.flatMap(partsOf);
  return parts.length === 0
    ? results
    : [...results, { role: "user", content: contentOf(parts), ...writtenIn(parts.map(textIn)) }];
}

/** One text where there are only texts: every server takes that. */
function contentOf(parts: readonly Part[]): string | readonly Part[] {
  return parts.every(({ type }) => type === "text")
    ? parts.map(textIn).filter((text) => text !== "").join("\n\n")
    : parts;
}

/** What texts say that are told with line feeds between them. */
function writtenIn(texts: readonly string[], start = ""): Pick<Message, typeof WRITTEN> {
  return texts.filter((text) => text !== "").length < 2
    ? {}
    : { [WRITTEN]: start + texts.join("") };
}

/** A result of a call. The chat API has no other word for a failure than its text. */
function resultOf(block: JsonObject): Message {
  const parts = blocksOf(block["content"]).flatMap(partsOf);
  const isTold = block["is_error"] !== true || /^\W*error/i.test(parts.map(textIn).join(""));
  const content = contentOf(parts);
  const told = isTold
    ? content
    : typeof content === "string"
    ? `Error: ${content}`
    : [{ type: "text", text: "Error:" }, ...content];
  return {
    role: "tool",
    tool_call_id: block["tool_use_id"],
    content: told,
    ...writtenIn(parts.map(textIn), isTold ? "" : "Error: "),
  };
}

/** What a block is in a user's message; what is for Anthropic's servers only is nothing. */
function partsOf(block: JsonObject): readonly Part[] {
  const source = block["source"] as JsonObject;
  switch (block["type"]) {
    case "text":
      return [{ type: "text", text: block["text"] }];
    case "image":
      return [
        source["type"] === "file"
          ? { type: "file", file: { file_id: source["file_id"] } }
          : { type: "image_url", image_url: { url: urlOf(source) } },
      ];
    case "document":
      return documentParts(source, block);
    case "search_result":
      return [{
        type: "text",
        text: [block["title"], block["source"], ...blocksOf(block["content"]).map(textIn)]
          .join("\n"),
      }];
    default:
      return [];
  }
}

function urlOf({ url, media_type, data }: JsonObject): string {
  return typeof url === "string" ? url : `data:${media_type};base64,${data}`;
}

function documentParts(source: JsonObject, { title, context }: JsonObject): readonly Part[] {
  const isSaid = (text: unknown) => typeof text === "string" && text !== "";
  const textsOf = (about: readonly unknown[]) =>
    about.filter(isSaid).map((text) => ({ type: "text", text }));
  const texts = textsOf([title, context]);
  switch (source["type"]) {
    case "text":
      return [...texts, { type: "text", text: source["data"] }];
    case "content":
      return [...texts, ...blocksOf(source["content"]).flatMap(partsOf)];
    case "file":
      return [...texts, { type: "file", file: { file_id: source["file_id"] } }];
    case "url":
      return [...texts, { type: "file", file: { file_url: source["url"] } }];
    default: {
      const filename = isSaid(title) ? title : "document.pdf";
      const file = { filename, file_data: urlOf(source) };
      return [...textsOf([context]), { type: "file", file }];
    }
  }
}

/** Thinking is left out with its signature: only its maker can read that, and it is asked itself. */
function modelTurn(blocks: readonly JsonObject[]): readonly Message[] {
  const text = blocks.map(textIn).join("");
  const calls = blocks.filter(isCall).map(({ id, name, input }) => ({
    id,
    type: "function",
    function: { name, arguments: JSON.stringify(input) },
  }));
  if (text === "" && calls.length === 0) return [];
  return [{
    role: "assistant",
    content: text === "" ? null : text,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  }];
}
