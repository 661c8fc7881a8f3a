/**
 * `/conv`: go-gpt-server's conversations in ChatGPT's own dialect (docs/facts/systems.md "/conv").
 * With an upstream they are passed to it; without one weir keeps them itself.
 *
 * @module
 */

import { checkDepth, checkSize } from "../../core/depth.ts";
import { AppError, type ErrorCode } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import type { Inbound, Output, Surface, Whole } from "../../core/surface.ts";
import { chatTypeOf } from "../../dialects/chatgpt_web/request.ts";
import { detailAnswer, detailTooLarge } from "../../dialects/detail/errors.ts";
import { bareRefusal } from "./bare_refusal.ts";
import { type CheckVisitor, type Visitor, Visitors } from "./visitor.ts";

/** One request, let in. */
export interface ConvCall extends Pick<Inbound, "head" | "bytes"> {
  /** `Chat-Type`: a path of plain characters. */
  readonly type: string;
  readonly visitor: Visitor;
  readonly exchange: Exchange;
}

/** Answers what was let in. */
export interface ConvRoom {
  /** What answers, for logs: "mock", "proxy". */
  readonly source: string;
  /** @throws {AppError} (also as a rejection). */
  readonly answer: (call: ConvCall) => Output | Promise<Output>;
}

/** What the surface needs. */
export interface ConvDeps {
  readonly checkVisitor: CheckVisitor;
  readonly room: ConvRoom;
}

/** What that system answered without a body. */
const BARE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "forbidden",
  "key_forbidden",
  "param_missing",
  "conflict",
  "upstream_unreachable",
]);

/** Makes the surface. */
export function conv({ checkVisitor, room }: ConvDeps): Surface {
  const visitors = new Visitors(checkVisitor);
  return {
    name: "conv",
    source: room.source,
    takes: "body",
    async admit(head, exchange) {
      await visitors.admit(head, exchange);
      chatTypeOf(head.fields); // before the body is waited for
    },
    answer({ head, bytes }, exchange) {
      const type = chatTypeOf(head.fields);
      return room.answer({ head, bytes, type, visitor: visitors.of(exchange), exchange });
    },
    tooLarge: detailTooLarge,
    refuse: (error) => BARE.has(error.code) ? bareRefusal(error) : detailAnswer(error),
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
    exchange.atEnd(() => this.#ids.delete(id));
  }
}

/** A JSON answer that is whole. */
export function convJson(value: unknown): Whole {
  return {
    kind: "whole",
    status: 200,
    headers: { "content-type": "application/json", "access-control-allow-origin": "*" },
    body: JSON.stringify(value),
  };
}

/** @throws {AppError} when `bytes` are no JSON, nest too deep or have too many fields. */
export function parseConvJson(bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes);
  checkSize(text);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new AppError("body_broken", "The request body must be JSON");
  }
  checkDepth(text, body);
  return body;
}
