/**
 * `POST /api/chat`: system 004's stream of `{"content": …}` events (facts/systems.md 004).
 *
 * @module
 */

import type { Script, Source } from "../../core/answer.ts";
import { dataEvent, type Dialect, DONE_EVENT } from "../../core/dialect.ts";
import { AppError, type ErrorCode } from "../../core/errors.ts";
import { type Authorize, type Engine, Exchange } from "../../core/exchange.ts";
import { encodeScript, type Frames } from "../../core/frames.ts";
import { reply } from "../../core/reply.ts";
import type { RecordLateness, Voice } from "../../core/voice.ts";
import { speak } from "../../core/speak.ts";
import type { Stamps } from "../../core/stamp.ts";
import { invalidJson, parseApiChat } from "../../dialects/content_events/request.ts";
import { type BodyLimits, readJson } from "../../core/body.ts";
import { Unprocessable, unprocessableResponse } from "../../dialects/detail/unprocessable.ts";
import { checkToken, detailBodyErrors, detailResponse } from "../../dialects/detail/errors.ts";

/** What the surface needs. */
export interface ApiChatDeps {
  readonly engine: Engine;
  readonly source: Source;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly authorize: Authorize;
  readonly bodyLimits: BodyLimits;
  /** The model when a request names none. */
  readonly defaultModel: string;
}

/** The dialect. Its clients read until `[DONE]`, so an error is followed by one as well. */
export const CONTENT_DIALECT: Dialect = {
  open: () => "",
  text: (text) => text === "" ? "" : dataEvent({ content: text }),
  end: () => DONE_EVENT,
  error: ({ message }) => dataEvent({ error: message }) + DONE_EVENT,
};

/** Errors that are weir's own state and not what the model said. */
const OWN_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "internal",
  "shutting_down",
  "unavailable",
]);

const STREAM_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "connection": "keep-alive",
  "x-accel-buffering": "no",
  "access-control-allow-origin": "*",
};

/** Makes the handler. */
export function apiChat(deps: ApiChatDeps): (request: Request) => Promise<Response> {
  const { engine, source, bodyLimits, defaultModel } = deps;
  const headers = new Headers(STREAM_HEADERS);
  const voice: Voice = {
    stamps: deps.stamps,
    headers: () => headers,
    errorEvent: (error) => CONTENT_DIALECT.error(error),
    recordLateness: deps.recordLateness,
  };
  const bodyErrors = detailBodyErrors(bodyLimits.bytesMax, invalidJson);
  const framesOfScripts = new WeakMap<Script, Frames>();

  function framesOf(script: Script): Frames {
    const known = framesOfScripts.get(script);
    if (known !== undefined) return known;
    const frames = encodeScript(script, CONTENT_DIALECT);
    framesOfScripts.set(script, frames);
    return frames;
  }

  async function handle(request: Request, exchange: Exchange): Promise<Response> {
    checkToken(deps.authorize, request, exchange);
    const body = await readJson(request, bodyLimits, bodyErrors);
    const turn = parseApiChat(body, defaultModel);
    exchange.model = turn.model;
    exchange.isStream = true;
    try {
      const pending = source.answer(turn, exchange);
      const answer = pending instanceof Promise ? await pending : pending;
      if (answer.kind === "script") return await reply(framesOf(answer.script), exchange, voice);
      return await speak(answer.steps, {
        exchange,
        dialect: CONTENT_DIALECT,
        headers,
        abort: () => {}, // the source itself hears of the leaving
      });
    } catch (error) {
      if (!(error instanceof AppError) || OWN_ERRORS.has(error.code)) throw error;
      // That system asked the model inside its stream: what goes wrong there is an event.
      return new Response(CONTENT_DIALECT.error(exchange.refuse(error)), { headers });
    }
  }

  return async (request) => {
    const exchange = new Exchange(engine, "api_chat", request);
    exchange.source = source.name;
    try {
      return await handle(request, exchange);
    } catch (error) {
      const failure = exchange.refuse(error);
      if (failure instanceof Unprocessable) return unprocessableResponse(failure);
      return detailResponse(failure);
    }
  };
}
