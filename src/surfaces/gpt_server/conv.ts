/**
 * `/conv`: system 003's conversations in ChatGPT's own dialect (facts/systems.md 003). With an upstream
 * they are passed to it; without one weir keeps them itself.
 *
 * @module
 */

import { AppError, type ErrorCode } from "../../core/errors.ts";
import { type Engine, Exchange } from "../../core/exchange.ts";
import type { BodyErrors } from "../../core/body.ts";
import { bareRefusal } from "./bare_refusal.ts";
import { chatTypeOf } from "../../dialects/chatgpt_web/request.ts";
import { detailBodyErrors, detailResponse } from "../../dialects/detail/errors.ts";
import { type Admit, notAdmitted, type Visitor } from "./visitor.ts";

/** One request, let in. */
export interface ConvCall {
  readonly request: Request;
  /** `Chat-Type`: a path of plain characters. */
  readonly type: string;
  readonly visitor: Visitor;
  readonly exchange: Exchange;
}

/** Answers what was let in. */
export interface ConvRoom {
  /** What answers, for logs: "mock", "proxy". */
  readonly source: string;
  /** @throws {AppError} */
  readonly answer: (call: ConvCall) => Promise<Response>;
}

/** What the surface needs. */
export interface ConvDeps {
  readonly engine: Engine;
  readonly admit: Admit;
  readonly room: ConvRoom;
}

/** What that system answered without a body. */
const BARE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "forbidden",
  "param_missing",
  "conflict",
  "upstream_unreachable",
]);

/** Makes the handler. */
export function conv(deps: ConvDeps): (request: Request) => Promise<Response> {
  const { engine, admit, room } = deps;
  return async (request) => {
    const exchange = new Exchange(engine, "conv", request);
    exchange.source = room.source;
    try {
      const visitor = await admit(request.headers.get("authorization"));
      if (visitor === undefined) throw notAdmitted();
      exchange.tokenName = visitor.tokenName;
      const type = chatTypeOf(request.headers);
      return await room.answer({ request, type, visitor, exchange });
    } catch (error) {
      const failure = exchange.refuse(error);
      return BARE.has(failure.code) ? bareRefusal(failure) : detailResponse(failure);
    }
  };
}

/** Conversations in which somebody is being answered: each has one answer at a time. */
export class BusyConversations {
  readonly #ids = new Set<string>();

  /**
   * Takes `id` until `exchange` ends.
   *
   * @throws {AppError} 409 while another answer is on its way.
   */
  enter(id: string, exchange: Exchange): void {
    if (this.#ids.has(id)) {
      throw new AppError("conflict", "This conversation is being answered: wait for its [DONE]");
    }
    this.#ids.add(id);
    exchange.onEnd = () => this.#ids.delete(id);
  }
}

/** A JSON answer that is whole. */
export function convJson(value: unknown, exchange: Exchange): Response {
  const body = JSON.stringify(value);
  exchange.complete(200, Buffer.byteLength(body));
  return new Response(body, {
    headers: { "content-type": "application/json", "access-control-allow-origin": "*" },
  });
}

/** How a body can fail. */
export function convBodyErrors(bodyBytesMax: number): BodyErrors {
  return detailBodyErrors(
    bodyBytesMax,
    () => new AppError("body_broken", "The request body must be JSON"),
  );
}
