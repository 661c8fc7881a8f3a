/**
 * `/event?appId=&page=&pageSize=`: go-gpt-server's test of timed events: two messages, two seconds
 * apart, and a `close` event (docs/facts/systems.md "/event").
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import { queryOf } from "../../core/body.ts";
import { AppError } from "../../core/errors.ts";
import { layFrames } from "../../core/frames.ts";
import { sseHeaders } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Manner, RecordLateness, Surface } from "../../core/surface.ts";
import { detailTooLarge } from "../../dialects/detail/errors.ts";
import { missingParameters, plainRefusal } from "./token.ts";

/** What the surface needs. */
export interface EventDeps {
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
}

/** Milliseconds before each message. */
const STEP_MS = 2000;

const CLOSE_EVENT = "event: close\ndata: close\n\n";

/** Makes the surface. */
export function event(deps: EventDeps): Surface {
  const headers = sseHeaders({ "content-type": "text/event-stream" });
  const manner: Manner = {
    stamps: deps.stamps.withIds(),
    headers: () => headers,
    errorEvent: () => CLOSE_EVENT,
    recordLateness: deps.recordLateness,
  };
  return {
    name: "event",
    source: "",
    takes: "nothing",
    answer({ head }) {
      const ending = readEnding(new URLSearchParams(queryOf(head.target)));
      const frames = layFrames([
        { text: `data: 0${ending}\n\n`, dueMs: STEP_MS },
        { text: `data: 1${ending}\n\n`, dueMs: 2 * STEP_MS },
        { text: CLOSE_EVENT, dueMs: 2 * STEP_MS },
      ]);
      return { kind: "frames", frames, manner };
    },
    tooLarge: detailTooLarge,
    refuse: (error) => plainRefusal(error, { "access-control-allow-origin": "*" }),
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
