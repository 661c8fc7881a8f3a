/**
 * Looks at every request that goes through the gateway, in whatever check: whether it or its answer
 * holds the mark of another one, and whether it came to the upstream again although nothing failed.
 *
 * @module
 */

import { ResponseParser } from "../../lib/http1/parser.ts";
import type { ClientExchange } from "./probe_client.ts";
import { type Attempt, MARK } from "./scripted_upstream.ts";

/** Requests whose check is remembered, so that a mark that turns up elsewhere has one. */
const MARKS_MAX = 200_000;
/** Of each kind of fault; what is more is counted. */
const KEPT_MAX = 1000;
/** What is shown before and behind a mark. */
const SHOWN_CHARS = 120;
const MARK_CHARS = 19;

/** A mark where another request's should be. */
export interface Foreign {
  /** The check of the request, and its mark. */
  readonly check: string;
  readonly mark: string;
  readonly foreign: string;
  /** The check of the other one; undefined = it is not remembered. */
  readonly foreignCheck: string | undefined;
  /** What stands around it, Latin-1. */
  readonly shown: string;
}

/** A request that came again although no earlier one had failed. */
export interface Again {
  readonly check: string;
  readonly mark: string;
  /** How often, beside the first time. */
  count: number;
  readonly lines: () => readonly string[];
}

/** Where a request is from, and what tells of it. */
export interface Watched {
  readonly check: string;
  readonly mark: string;
  readonly exchange: ClientExchange;
  /** False: the exchange keeps no bytes. */
  readonly isKept: boolean;
  /** What happened to it, as lines of evidence. */
  readonly lines: () => readonly string[];
}

/** Remembers what is wrong. */
export class IsolationWatch {
  readonly #checks = new Map<string, string>();
  readonly #again = new Map<string, Again>();
  /** Requests through the gateway, and answers of which something came. */
  requests = 0;
  answers = 0;
  /** How many answers and requests hold a foreign mark. */
  mixedAnswers = 0;
  mixedRequests = 0;
  readonly inAnswers: Foreign[] = [];
  readonly inRequests: Foreign[] = [];

  /** A request is sent through the gateway. */
  asked(watched: Watched): void {
    const { mark, check, exchange, isKept } = watched;
    this.requests++;
    if (this.#checks.size < MARKS_MAX) this.#checks.set(mark, check);
    const found: (readonly [string, string])[] = [];
    if (!isKept) {
      let rest = "";
      exchange.onPiece = (body) => {
        const text = rest + body.toString("latin1");
        found.push(...foreignIn(text, mark));
        rest = text.slice(1 - MARK_CHARS);
      };
    }
    void exchange.ended.then(() => {
      if (exchange.head === undefined) return;
      this.answers++;
      for (const [, value] of exchange.head.fields) found.push(...foreignIn(value, mark));
      if (isKept) found.push(...foreignIn(exchange.body.toString("latin1"), mark));
      if (this.#keep(this.inAnswers, watched, found)) this.mixedAnswers++;
    });
  }

  /** A request has come to the upstream, which is the last of these `attempts` at it. */
  arrived(watched: Watched, attempts: readonly Attempt[]): void {
    const { mark, check, lines } = watched;
    const attempt = attempts.at(-1)!;
    const found = foreignIn(`${attempt.headText}\r\n\r\n${attempt.body.toString("latin1")}`, mark);
    if (this.#keep(this.inRequests, watched, found)) this.mixedRequests++;
    const line = lineOf(attempt);
    // What the gateway asks besides is no request of the client's: all of those are a POST.
    if (!line.startsWith("POST ")) return;
    const earlier = attempts.slice(0, -1).filter((one) => lineOf(one) === line);
    if (earlier.every(hasFailed)) return;
    const known = this.#again.get(mark);
    if (known !== undefined) known.count++;
    else this.#again.set(mark, { check, mark, count: 1, lines });
  }

  /** The requests that came again. */
  again(): readonly Again[] {
    return [...this.#again.values()];
  }

  /** True when there is something to keep. */
  #keep(
    list: Foreign[],
    { check, mark }: Watched,
    found: readonly (readonly [string, string])[],
  ): boolean {
    const shownOf = new Map(found);
    for (const [foreign, shown] of shownOf) {
      if (list.length >= KEPT_MAX) break;
      list.push({ check, mark, foreign, foreignCheck: this.#checks.get(foreign), shown });
    }
    return shownOf.size > 0;
  }
}

/** The marks in `text` that are not `own`, each with what stands around it. */
function foreignIn(text: string, own: string): readonly (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (let at = text.indexOf("wa-"); at >= 0; at = text.indexOf("wa-", at + 1)) {
    if (text.startsWith(own, at)) continue;
    const mark = MARK.exec(text.slice(at, at + MARK_CHARS))?.[0];
    if (mark === undefined) continue;
    found.push([mark, text.slice(Math.max(0, at - SHOWN_CHARS), at + SHOWN_CHARS)]);
  }
  return found;
}

/** Method and target: a gateway may ask something else about a request, such as whether it is harmless. */
function lineOf({ headText }: Attempt): string {
  return headText.slice(0, headText.indexOf("\r\n"));
}

/**
 * True when the upstream has failed by now: it refused, said what is no HTTP, or ended the connection
 * before its answer was whole. Whoever asks again then has a reason.
 */
function hasFailed(attempt: Attempt): boolean {
  const answer = answerOf(attempt);
  return answer === "failed" || attempt.leaving === "own" && answer !== "whole";
}

/** How far the answer has been written; `failed`: it is an error, or no HTTP. */
export function answerOf({ writes }: Attempt): "none" | "begun" | "whole" | "failed" {
  let status = 0;
  const parser = new ResponseParser({ onHead: (head) => (status = head.status), onBody: () => {} });
  parser.reset(false);
  try {
    for (const { bytes } of writes) parser.push(Buffer.from(bytes));
  } catch {
    return "failed";
  }
  if (status >= 400) return "failed";
  return status === 0 ? "none" : parser.isDone ? "whole" : "begun";
}
