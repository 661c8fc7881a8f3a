/**
 * The component `http-client`: sends a request and gives what came back: a value, a file, or the
 * chunks of an event stream at their reader's pace.
 *
 * @module
 */

import { isDeeper } from "../lib/depth.ts";
import { parseExactJson } from "../lib/exact_json.ts";
import { shown } from "../lib/shown.ts";
import { type SseEvent, SseParser, SseTooLarge } from "../lib/sse.ts";
import { type CallEnd, type Calls, failed } from "./call.ts";
import { Chunks } from "./chunks.ts";
import type { Action, Component } from "./definition.ts";
import { expressionsIn, render, type Scope } from "./interpolate.ts";
import { asksForUsage, chunkOf, completionOf, WEIR_SCHEME } from "./llm.ts";
import { poll } from "./polling.ts";
import { makeRequest, type ReadyRequest } from "./request.ts";
import { JSON_DEPTH_MAX, noStream, pieces, send, whole } from "./send.ts";

/** Bytes of one event of a stream. */
export const EVENT_BYTES_MAX = 8 * 1024 * 1024;
/** The last event of streams of OpenAI's API; the only one that is no JSON. */
const DONE = "[DONE]";
const LF = 0x0a;
const CR = 0x0d;
/** Characters of an error event that a failure shows. */
const ERROR_CHARS_MAX = 1000;

/** Runs `action`, and gives its output. Aborting `signal` ends it in every window. */
export async function callAction(
  component: Component,
  action: Action,
  scope: Scope,
  calls: Calls,
  signal: AbortSignal,
): Promise<unknown> {
  const request = makeRequest(component, action.request, scope);
  if (request.url.startsWith(WEIR_SCHEME)) {
    return await callWeir(request, action, scope, calls, signal);
  }
  const { response, end } = await send(request, calls, signal);
  if (isEventStream(response) && action.polling === null) {
    return stream(sseChunks(response, end, calls, action), () => end.stop(), action, scope);
  }
  if (action.streamFormat !== null && action.polling === null) {
    throw await noStream(request, response, end, calls);
  }
  const value = await whole(response, end, calls);
  const known: Record<string, unknown> = { ...scope, response: value };
  if (action.polling !== null) {
    known["result"] = await poll(component, action.polling, known, calls, signal);
  }
  if (action.output !== null) return render(action.output, known);
  return action.polling === null ? value : known["result"];
}

function isEventStream(response: Response): boolean {
  return /^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "");
}

/** What each event of a stream says: `raw` as it came, `chunk` read by `stream_format`. */
interface StreamEvent {
  readonly raw: string;
  readonly chunk: unknown;
}

/** The events of `response`, asked for one by one. Ending the iterator closes the connection. */
async function* sseChunks(
  response: Response,
  end: CallEnd,
  calls: Calls,
  { streamFormat }: Action,
): AsyncGenerator<StreamEvent> {
  const parser = new SseParser(EVENT_BYTES_MAX);
  let isEmpty = true;
  /** The last byte. */
  let last: number | undefined = LF;
  const read = ({ event, data }: SseEvent): StreamEvent => {
    isEmpty = false;
    if (event === "error") throw failed(`The stream says: ${errorText(data)}`);
    const chunk = streamFormat === "json" ? jsonChunk(data) : data;
    if (isError(chunk)) throw failed(`The stream says: ${errorText(data)}`);
    return { raw: data, chunk };
  };
  try {
    for await (const piece of pieces(response, end, calls)) {
      last = piece.at(-1) ?? last;
      for (const event of parser.feed(piece)) yield read(event);
    }
    const rest = parser.feed(Uint8Array.of(LF, LF));
    const isCut = rest.length > 0 ? !isWhole(rest[0]!.data) : last !== LF && last !== CR;
    if (isCut) throw failed("The stream ended in the middle of an event");
    for (const event of rest) yield read(event);
    if (isEmpty) throw failed("The stream ended without any event");
  } catch (error) {
    if (!(error instanceof SseTooLarge)) throw error;
    throw failed(`The stream has an event of more than ${EVENT_BYTES_MAX} bytes`, error);
  } finally {
    end.stop();
  }
}

/** True for what streams of language models say instead of going on. */
function isError(chunk: unknown): boolean {
  if (typeof chunk !== "object" || chunk === null) return false;
  const { error, type } = chunk as { readonly error?: unknown; readonly type?: unknown };
  return type === "error" || (typeof error === "string" && error !== "") ||
    (typeof error === "object" && error !== null);
}

/** The sentence in an error event, or the event as it came. */
function errorText(data: string): string {
  const { error, message } = (parsed(data) ?? {}) as Readonly<Record<string, unknown>>;
  const inner = typeof error === "object" && error !== null && "message" in error
    ? error.message
    : error;
  const text = [inner, message].find((one) => typeof one === "string" && one !== "");
  return String(text ?? data).slice(0, ERROR_CHARS_MAX);
}

/** The value of an event; null for `[DONE]` and for a sign of life, an event of nothing. */
function jsonChunk(data: string): unknown {
  const text = data.trim();
  if (text === DONE || text === "") return null;
  let value: unknown;
  try {
    value = parseExactJson(data);
  } catch (cause) {
    throw failed(
      `stream_format is json, and the stream has an event of ${shown(data, 200)}`,
      cause,
    );
  }
  if (isDeeper(value, JSON_DEPTH_MAX)) {
    throw failed(`The stream has an event that nests deeper than ${JSON_DEPTH_MAX} levels`);
  }
  return value;
}

/** What `data` says as JSON; null = it is none. */
function parsed(data: string): unknown {
  try {
    return parseExactJson(data);
  } catch {
    return null;
  }
}

/** True when nothing is missing of the data of an event whose end did not come. */
function isWhole(data: string): boolean {
  return data.trim() === DONE || data === "null" || parsed(data) !== null;
}

/**
 * The chunks of an action's output: the output rendered for each event, `response[]` being its
 * chunk and `response` its raw data.
 */
function stream(
  events: AsyncGenerator<StreamEvent>,
  close: () => void,
  action: Action,
  scope: Scope,
): unknown {
  const { output } = action;
  if (output === null) return new Chunks(mapped(events, ({ raw }) => raw), null);
  const isAboutResponse = [...expressionsIn(output)].some(({ source }) => source === "response");
  if (!isAboutResponse) {
    close(); // a generator that never began would not
    return render(output, scope);
  }
  return new Chunks(
    mapped(events, ({ raw, chunk }) => {
      return render(output, { ...scope, response: raw, "response[]": chunk });
    }),
    null,
  );
}

async function* mapped(
  events: AsyncGenerator<StreamEvent>,
  toChunk: (event: StreamEvent) => unknown,
): AsyncGenerator<unknown> {
  for await (const event of events) yield toChunk(event);
}

/** A call to this weir itself: steps become the chunks of OpenAI's API. */
async function callWeir(
  { value }: ReadyRequest,
  action: Action,
  scope: Scope,
  { askLlm }: Calls,
  signal: AbortSignal,
): Promise<unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw failed("A call to weir: needs a body with messages");
  }
  const body = value as Readonly<Record<string, unknown>>;
  const steps = askLlm(body, signal);
  if (body["stream"] !== true && action.streamFormat !== null) {
    throw failed("stream_format needs stream: true in the body for weir:");
  }
  if (body["stream"] !== true) {
    const response = await completionOf(steps);
    return action.output === null ? response : render(action.output, { ...scope, response });
  }
  const wantsUsage = asksForUsage(body);
  const events = (async function* () {
    for await (const step of steps) {
      if (step.kind === "usage" && !wantsUsage) continue;
      const chunk = chunkOf(step);
      if (chunk === undefined) continue;
      yield { raw: JSON.stringify(chunk), chunk };
    }
  })();
  return stream(events, () => {}, action, scope);
}
