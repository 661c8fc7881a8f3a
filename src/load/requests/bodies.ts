/**
 * Request bodies of each API that a load can ask, as a client would send them.
 *
 * @module
 */

import type { AnswerForm } from "../event_meaning.ts";

/** What can be asked. `raw`: a body that is sent as it is. */
export const APIS = ["chat", "responses", "completions", "messages", "embeddings", "raw"] as const;
export type Api = typeof APIS[number];

/** What whole answers of each are. */
const FORMS: Readonly<Record<Api, AnswerForm>> = {
  chat: "choices",
  responses: "response",
  completions: "choices",
  messages: "message",
  embeddings: "list",
  raw: "data",
};

/** What a whole answer must be. Who only reads a page may get one. */
export function formOf(api: Api, method: string | undefined): AnswerForm {
  return method === "GET" ? "any" : FORMS[api];
}

/** A message of a conversation, or an item of Responses, in the form of the API. */
export type Item = Readonly<Record<string, unknown>>;

/** What a body asks for. */
export interface Wanted {
  readonly model: string;
  readonly messages: readonly Item[];
  readonly isStream: boolean;
  /** Undefined = the server decides; Messages, which must be told, is told 1024. */
  readonly tokensMax: number | undefined;
  /** What else stands in the body. */
  readonly fields?: Item | undefined;
}

/** What Messages is told where nobody says how long the answer may be. */
const MESSAGES_TOKENS_MAX = 1024;

type Body = (wanted: Wanted) => Readonly<Record<string, unknown>>;

const BODIES: Readonly<Record<Exclude<Api, "raw">, Body>> = {
  chat: ({ model, messages, isStream, tokensMax }) => ({
    model,
    messages,
    ...(isStream ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...(tokensMax === undefined ? {} : { max_completion_tokens: tokensMax }),
  }),
  responses: ({ model, messages, isStream, tokensMax }) => ({
    model,
    input: messages,
    ...(isStream ? { stream: true } : {}),
    ...(tokensMax === undefined ? {} : { max_output_tokens: tokensMax }),
  }),
  completions: ({ model, messages, isStream, tokensMax }) => ({
    model,
    prompt: promptOf(messages),
    ...(isStream ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...(tokensMax === undefined ? {} : { max_tokens: tokensMax }),
  }),
  messages: ({ model, messages, isStream, tokensMax }) => ({
    model,
    max_tokens: tokensMax ?? MESSAGES_TOKENS_MAX,
    messages,
    ...(isStream ? { stream: true } : {}),
  }),
  embeddings: ({ model, messages }) => ({ model, input: promptOf(messages) }),
};

/** The path that is asked where the URL names none. */
export const PATHS: Readonly<Record<Api, string>> = {
  chat: "/v1/chat/completions",
  responses: "/v1/responses",
  completions: "/v1/completions",
  messages: "/v1/messages",
  embeddings: "/v1/embeddings",
  raw: "/",
};

/** Headers without which a server of an API may refuse, unless they are given. */
export const HEADERS: Readonly<Partial<Record<Api, readonly (readonly [string, string])[]>>> = {
  messages: [["anthropic-version", "2023-06-01"]],
};

/** The API that a path belongs to. */
export function apiOfPath(path: string): Api {
  if (/\/chat\/completions\/?$/.test(path)) return "chat";
  if (/\/completions\/?$/.test(path)) return "completions";
  if (/\/responses\/?$/.test(path)) return "responses";
  if (/\/messages\/?$/.test(path)) return "messages";
  return /\/embeddings\/?$/.test(path) ? "embeddings" : "raw";
}

/** The body as JSON. */
export function bodyOf(api: Exclude<Api, "raw">, wanted: Wanted): string {
  return JSON.stringify({ ...BODIES[api](wanted), ...wanted.fields });
}

/** The messages or items of a request's body: what an answer to it follows. */
export function messagesIn(api: Exclude<Api, "raw">, body: Item): readonly Item[] {
  const said = body[SAID[api]];
  if (typeof said === "string") return [{ role: "user", content: said }];
  return Array.isArray(said) ? said as readonly Item[] : [];
}

/** Where a body has what is said. */
const SAID: Readonly<Record<Exclude<Api, "raw">, string>> = {
  chat: "messages",
  responses: "input",
  completions: "prompt",
  messages: "messages",
  embeddings: "input",
};

/** True when the body of a request asks for a stream. */
export function asksForStream(body: string | undefined): boolean {
  try {
    return (JSON.parse(body ?? "") as { readonly stream?: unknown } | null)?.stream === true;
  } catch {
    return false;
  }
}

function promptOf(messages: readonly Item[]): string {
  return messages.map(textIn).join("\n");
}

/** The text of a message: its content, or that of its parts. */
export function textIn({ content }: Item): string {
  if (typeof content === "string") return content;
  const parts = Array.isArray(content) ? content as readonly (Item | null)[] : [];
  return parts.map((part) => typeof part?.["text"] === "string" ? part["text"] : "").join("");
}
