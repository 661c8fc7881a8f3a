/**
 * A turn's messages as Anthropic's Messages API spells them.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { type Message, textOf } from "../../core/turn.ts";
import { object, sentenceOf } from "../openai_chat/read_chunk.ts";

type Block = Readonly<Record<string, unknown>>;

/** One message. */
export interface Said {
  readonly role: "user" | "assistant";
  readonly content: Block[];
}

/** What is said to the model, and what it is told beforehand; "" = nothing. */
export interface Written {
  readonly system: string;
  readonly messages: readonly Said[];
}

/**
 * Writes `messages`. Results of calls stand in one user's message, before what the user says.
 *
 * @throws {AppError} 400 for what Anthropic's API has no word for.
 */
export function writeMessages(messages: readonly Message[]): Written {
  const systems: string[] = [];
  const said: Said[] = [];
  /** The id of the last older call, which has none. */
  let olderId = "";
  for (const [at, message] of messages.entries()) {
    const { role, content } = message;
    switch (role) {
      case "system":
      case "developer":
        systems.push(textOf(content));
        break;
      case "assistant":
        if (message["function_call"]) olderId = `call_${at}`;
        say(said, "assistant", modelBlocks(message, olderId, at));
        break;
      case "tool":
      case "function": {
        const id = role === "tool" ? idOf(message["tool_call_id"]) : olderId;
        const blocks = blocksOf(content, at);
        say(said, "user", [{
          type: "tool_result",
          tool_use_id: id,
          ...(blocks.length === 0 ? {} : { content: blocks }),
        }]);
        break;
      }
      default:
        say(said, "user", blocksOf(content, at));
    }
  }
  for (const { role, content } of said) {
    if (role === "user") content.sort((one, other) => rank(one) - rank(other));
  }
  trimLast(said.at(-1));
  return {
    system: systems.filter((text) => text !== "").join("\n\n"),
    messages: said.filter(({ content }) => content.length > 0),
  };
}

function rank({ type }: Block): number {
  return type === "tool_result" ? 0 : 1;
}

/** Neighbours of one role are one message. */
function say(said: Said[], role: Said["role"], blocks: readonly Block[]): void {
  const last = said.at(-1);
  if (last?.role === role) last.content.push(...blocks);
  else if (blocks.length > 0) said.push({ role, content: [...blocks] });
}

/** An answer that is to be continued may not end in blanks. */
function trimLast(last: Said | undefined): void {
  const block = last?.content.at(-1);
  if (last?.role !== "assistant" || block?.["type"] !== "text") return;
  const text = (block["text"] as string).trimEnd();
  last.content.pop();
  if (text !== "") last.content.push({ ...block, text });
}

function modelBlocks(message: Message, olderId: string, at: number): Block[] {
  if (object(message["audio"]) !== undefined) throw unsaid("audio", "sound of earlier answers");
  const calls = Array.isArray(message["tool_calls"]) ? message["tool_calls"] : [];
  const older = object(message["function_call"]);
  return [
    ...blocksOf(message.content, at),
    ...textBlock(message["refusal"]),
    ...(calls as readonly unknown[]).map((call) => {
      const { id, function: called, custom } = object(call) ?? {};
      const { name, arguments: text } = object(called) ?? {};
      const { name: customName, input } = object(custom) ?? {};
      return custom === undefined
        ? useBlock(idOf(id), name, inputOf(text))
        : useBlock(idOf(id), customName, { input });
    }),
    ...(older === undefined ? [] : [useBlock(olderId, older["name"], inputOf(older["arguments"]))]),
  ];
}

function useBlock(id: string, name: unknown, input: unknown): Block {
  return { type: "tool_use", id, name, input };
}

/** Arguments as an object; what a model has spelled wrong is handed back as its text. */
function inputOf(text: unknown): unknown {
  if (typeof text !== "string" || text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return object(value) ?? { arguments: text };
  } catch {
    return { arguments: text };
  }
}

/** Anthropic's ids are of [a-zA-Z0-9_-]: other characters become their numbers. */
function idOf(id: unknown): string {
  return String(id).replaceAll(
    /[^a-zA-Z0-9_-]/g,
    (char) => `_${char.charCodeAt(0).toString(16)}`,
  ) ||
    "_";
}

/** Empty texts are refused there, and say nothing. */
function textBlock(text: unknown): Block[] {
  return typeof text === "string" && text.trim() !== "" ? [{ type: "text", text }] : [];
}

function blocksOf(content: unknown, at: number): Block[] {
  if (!Array.isArray(content)) return textBlock(content);
  return (content as readonly unknown[]).flatMap((part, i) =>
    partBlocks(object(part) ?? {}, `messages[${at}].content[${i}]`)
  );
}

function partBlocks(part: Block, path: string): Block[] {
  const { type } = part;
  switch (type) {
    case "text":
      return textBlock(part["text"]);
    case "refusal":
      return textBlock(part["refusal"]);
    case "image_url": {
      const url = sentenceOf(object(part["image_url"])?.["url"]) ?? sentenceOf(part["image_url"]);
      if (url === undefined) throw unsaid(path, "an image without a URL");
      return [{ type: "image", source: sourceOf(url) }];
    }
    case "file":
      return [fileBlock(object(part["file"]) ?? {}, path)];
    default:
      throw unsaid(path, `a part of type '${String(type)}'`);
  }
}

const DATA_URL = /^data:([^;,]+)[^,]*;base64,/;

/** Data is taken out of its URL. */
function sourceOf(url: string): Block {
  const media = DATA_URL.exec(url);
  return media === null
    ? { type: "url", url }
    : { type: "base64", media_type: media[1]!, data: url.slice(media[0].length) };
}

function fileBlock({ filename, file_data, file_id, file_url }: Block, path: string): Block {
  const title = sentenceOf(filename) === undefined ? {} : { title: filename };
  if (typeof file_id === "string") {
    return { type: "document", source: { type: "file", file_id }, ...title };
  }
  const url = sentenceOf(file_data) ?? sentenceOf(file_url);
  if (url === undefined) throw unsaid(path, "a file without data");
  const source = sourceOf(url);
  if (source["media_type"] !== "text/plain") return { type: "document", source, ...title };
  const data = Buffer.from(source["data"] as string, "base64").toString();
  return { type: "document", source: { type: "text", media_type: "text/plain", data }, ...title };
}

/** What cannot be asked of this upstream: 400. */
export function unsaid(param: string, what: string): AppError {
  return new AppError(
    "request_invalid",
    `The model's upstream speaks Anthropic's Messages API, which cannot be asked for ${what}: ` +
      `leave out '${param}'`,
    { param },
  );
}
