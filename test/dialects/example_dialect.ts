/**
 * A whole dialect as an example: a question comes as `{"prompt": "…"}`, and its answer leaves as three
 * kinds of events, `begin`, `piece` and `done`.
 *
 * @module
 */

import { z } from "zod";
import type { Source } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import type { Layout, StampTexts } from "../../src/core/frames.ts";
import { ID_BYTES, type Stamps } from "../../src/core/stamp.ts";
import type { Manner, Surface, Whole } from "../../src/core/surface.ts";
import { EMPTY_TURN, type Turn } from "../../src/core/turn.ts";
import { JSON_TYPE, type Route, SSE_TYPE } from "../../src/surfaces/route.ts";
import { turnAsk } from "../../src/surfaces/turn_ask.ts";

const BODY = z.object({ prompt: z.string().min(1), model: z.string().default("") });

/** The turn in a request's body. @throws {AppError} when there is none. */
export function readRequest(text: string): Turn {
  try {
    const { prompt, model } = BODY.parse(JSON.parse(text));
    return { ...EMPTY_TURN, model, messages: [{ role: "user", content: prompt }], isStream: true };
  } catch (cause) {
    throw new AppError("request_invalid", 'Send {"prompt": "…"}', { cause });
  }
}

function event(name: string, value: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
}

/** How answers are streamed. */
export const EXAMPLE_LAYOUT: Layout = {
  key: "example",
  idLengths: [ID_BYTES],
  writer([created, id]: StampTexts) {
    let hasBegun = false;
    let reason = "stop";
    return {
      step(step) {
        if (step.kind === "usage" || step.choice !== 0) return "";
        if (step.kind === "end") reason = step.reason;
        const begin = hasBegun ? "" : event("begin", { id, created: Number(created) });
        hasBegun = true;
        const isText = step.kind === "delta" && step.block === "text" && step.text !== "";
        return begin + (isText ? event("piece", { text: step.text }) : "");
      },
      close: () => event("done", { reason }),
    };
  },
};

/** `error` in the middle of a stream. No `done` follows. */
export function errorEvent({ code, message }: AppError): string {
  return event("error", { code, message });
}

function refusal({ code, status, message }: AppError): Whole {
  const headers = { "content-type": JSON_TYPE };
  return { kind: "whole", status, headers, body: JSON.stringify({ code, message }) };
}

/** The surface. */
export function exampleSurface(source: Source, stamps: Stamps): Surface {
  const headers = { "content-type": SSE_TYPE, "cache-control": "no-cache" };
  const manner: Manner = {
    stamps: stamps.withIds(29),
    headers: () => headers,
    errorEvent,
    recordLateness() {},
  };
  return {
    name: "example",
    source: source.name,
    takes: "body",
    answer: ({ text }) => turnAsk(readRequest(text), { source, manner, layout: EXAMPLE_LAYOUT }),
    tooLarge: (bytesMax) => new AppError("body_too_large", `Send at most ${bytesMax} bytes`),
    refuse: refusal,
  };
}

/** Its row. */
export function exampleRoute(serve: Surface): Route {
  return {
    method: "post",
    path: "/example",
    serve,
    isStreaming: true,
    tag: "Operation",
    summary: "Answer a prompt, one event per piece",
    auth: "none",
    holds: "model",
    body: { schema: BODY, example: { prompt: "你好" } },
    responses: {
      "200": { description: "Events, the last of which is done", types: [SSE_TYPE] },
      "400": { description: "The body is no question", types: [JSON_TYPE] },
    },
  };
}
