/**
 * `/event?appId=&page=&pageSize=`: system 003's test of timed events: two messages, two seconds
 * apart, and a `close` event (facts/systems.md 003).
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import { AppError } from "../../core/errors.ts";
import { type Engine, Exchange } from "../../core/exchange.ts";
import { layFrames } from "../../core/frames.ts";
import { reply } from "../../core/reply.ts";
import type { RecordLateness, Voice } from "../../core/voice.ts";
import type { Stamps } from "../../core/stamp.ts";
import { queryOf } from "../../core/body.ts";
import { missingParameters, plainRefusal } from "./token.ts";

/** What the surface needs. */
export interface EventDeps {
  readonly engine: Engine;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
}

/** Milliseconds before each message. */
const STEP_MS = 2000;

const CLOSE_EVENT = "event: close\ndata: close\n\n";

/** Makes the handler. */
export function event(deps: EventDeps): (request: Request) => Promise<Response> {
  const headers = new Headers({
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "access-control-allow-origin": "*",
  });
  const voice: Voice = {
    stamps: deps.stamps,
    headers: () => headers,
    errorEvent: () => CLOSE_EVENT,
    recordLateness: deps.recordLateness,
  };
  return async (request) => {
    const exchange = new Exchange(deps.engine, "event", request);
    exchange.isStream = true;
    try {
      const ending = readEnding(new URLSearchParams(queryOf(request.url)));
      const frames = layFrames([
        { text: `data: 0${ending}\n\n`, dueMs: STEP_MS },
        { text: `data: 1${ending}\n\n`, dueMs: 2 * STEP_MS },
        { text: CLOSE_EVENT, dueMs: 2 * STEP_MS },
      ]);
      return await reply(frames, exchange, voice);
    } catch (error) {
      const refusal = plainRefusal(exchange.refuse(error));
      refusal.headers.set("access-control-allow-origin", "*");
      return refusal;
    }
  };
}

/** The three values in a row. */
function readEnding(query: URLSearchParams): string {
  const values = ["appId", "page", "pageSize"].map((name) => query.get(name));
  if (values.includes(null)) throw missingParameters();
  const ending = values.join("");
  // A line end would begin an event of the client's own making.
  if (/\p{Cc}/u.test(ending)) {
    throw new AppError("request_invalid", "Invalid parameters: they must be on one line");
  }
  return ending;
}
