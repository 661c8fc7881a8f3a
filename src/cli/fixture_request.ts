/**
 * A request in a file, as fixtures see it: for `weir fixtures test`.
 *
 * @module
 */

import { loadConfig } from "../config/config.ts";
import { defaultModel } from "../config/default_model.ts";
import { AppError } from "../core/errors.ts";
import { EMPTY_TURN, type Turn } from "../core/turn.ts";
import { parseMessagesRequest } from "../dialects/anthropic_messages/request.ts";
import { readRequest } from "../dialects/content_events/request.ts";
import { parseEmbeddings } from "../dialects/openai/embeddings.ts";
import { parseModerations } from "../dialects/openai/moderations.ts";
import { parseChatRequest } from "../dialects/openai_chat/request.ts";
import { parseCompletion } from "../dialects/openai_completions/request.ts";
import { parseResponsesRequest } from "../dialects/openai_responses/request.ts";
import { Fields } from "../lib/http1/fields.ts";
import type { DialectWord, EndpointWord } from "../sources/fixtures/fixture.ts";
import type { View } from "../sources/fixtures/view.ts";
import { Failure } from "./terminal.ts";

/** What is asked on a path. */
interface Reader {
  readonly endpoint: EndpointWord;
  readonly dialect: DialectWord;
  /** @throws {AppError} what is wrong with `text`. */
  read(text: string): { readonly turn: Turn; readonly inputs?: readonly string[] };
}

/** By the path. What a live API would refuse is read here: fixtures see only what comes in. */
const READERS = {
  "/v1/chat/completions": chat("openai_chat", (text) => parseChatRequest(JSON.parse(text), "spec")),
  "/v1/responses": chat(
    "openai_responses",
    (text) => parseResponsesRequest(JSON.parse(text), "spec", usualModel()),
  ),
  "/v1/messages": chat(
    "anthropic_messages",
    (text) => parseMessagesRequest(JSON.parse(text)),
  ),
  "/v1/completions": chat(
    "openai_completions",
    (text) => parseCompletion(text, "spec", () => undefined),
  ),
  "/api/chat": chat("content_events", (text) => readRequest(text, usualModel())),
  "/v1/embeddings": {
    endpoint: "embedding",
    dialect: "openai",
    read(text) {
      const { model, inputs } = parseEmbeddings(text, "spec");
      const texts = inputs.filter((input) => typeof input === "string");
      return { turn: { ...EMPTY_TURN, model }, inputs: texts };
    },
  },
  "/v1/moderations": {
    endpoint: "moderation",
    dialect: "openai",
    read(text) {
      const { model, inputs } = parseModerations(text, "spec");
      return { turn: { ...EMPTY_TURN, model }, inputs: inputs.map(({ text }) => text) };
    },
  },
} as const satisfies Readonly<Record<string, Reader>>;

/** The paths that a request may have. */
export const REQUEST_PATHS = Object.keys(READERS) as readonly RequestPath[];
export type RequestPath = keyof typeof READERS;

function chat(dialect: DialectWord, read: (text: string) => Turn): Reader {
  return { endpoint: "chat", dialect, read: (text) => ({ turn: read(text) }) };
}

/** The model of a request that names none, where no config says otherwise. */
function usualModel(): string {
  const loaded = loadConfig({ env: {}, dotenv: {}, flags: [] });
  return loaded.kind === "ok" ? defaultModel(loaded.config) : "";
}

/** A request as it came in. */
export interface WrittenRequest {
  readonly path: RequestPath;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The name of its token; "" = none. */
  readonly key: string;
  readonly text: string;
  /** What messages call it. */
  readonly file: string;
}

/**
 * The request as fixtures see it.
 *
 * @throws {Failure} when it is none.
 */
export function viewOfRequest({ path, headers, key, text, file }: WrittenRequest): View {
  const reader: Reader = READERS[path];
  const { turn, inputs = [] } = read(reader, text, file);
  return {
    endpoint: reader.endpoint,
    dialect: reader.dialect,
    path,
    model: turn.model,
    turn,
    inputs,
    fields: Fields.of(headers),
    key,
    body: () => JSON.parse(text),
  };
}

function read(reader: Reader, text: string, file: string) {
  try {
    JSON.parse(text);
  } catch {
    throw new Failure(`Cannot read the request ${file}: it is not JSON`);
  }
  try {
    return reader.read(text);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new Failure(`Cannot read the request ${file}: ${error.message}`);
  }
}
