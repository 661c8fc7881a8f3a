/**
 * Looks at every request that goes through the gateway, in whatever check: whether it or its answer
 * holds the mark or a canary of another one, and whether it came to the upstream again although
 * nothing failed.
 *
 * @module
 */

import { ResponseParser } from "../../lib/http1/parser.ts";
import { CANARY } from "./finding.ts";
import { type Attempt, MARK } from "./scripted_upstream.ts";
import { isOwnWord, lineAt, type Reader, type Sighting, type Watched } from "./watched.ts";

/** Marks and canaries whose check is remembered, so that one that turns up elsewhere has one. */
const WORDS_MAX = 200_000;
/** Of each kind of fault; what is more is counted. */
const KEPT_MAX = 1000;
/** Hexadecimal digits behind `CANARY`. */
const CANARY_DIGITS = 12;
/** What tells whose a text is: how it begins, and how long it is. */
const WORDS = [
  { begin: "wa-", pattern: MARK, chars: 19 },
  {
    begin: CANARY,
    pattern: new RegExp(`${CANARY}[0-9a-f]{${CANARY_DIGITS}}`),
    chars: CANARY.length + CANARY_DIGITS,
  },
] as const;

/** A mark or a canary where another request's should be. */
export interface Foreign extends Sighting {
  readonly foreign: string;
  /** The check of the other one; undefined = it is not remembered. */
  readonly foreignCheck: string | undefined;
}

/** A request that came again although no earlier one had failed. */
export interface Again {
  readonly check: string;
  readonly mark: string;
  /** How often, beside the first time. */
  count: number;
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

  /** A new canary, of whoever asks or answers in this check. */
  canary(check: string, draw: (digits: number) => string): string {
    const canary = CANARY + draw(CANARY_DIGITS);
    this.#remember(canary, check);
    return canary;
  }

  /** A request is sent through the gateway, whose answer is to be read. */
  asked(watched: Watched): Reader {
    this.requests++;
    this.#remember(watched.mark, watched.check);
    const found: Found[] = [];
    return {
      read: (text) => void found.push(...foreignIn(text, watched)),
      over: () => {
        this.answers++;
        if (this.#keep(this.inAnswers, watched, found)) this.mixedAnswers++;
      },
    };
  }

  /** A request has come to the upstream as `text`, which is the last of the attempts at it. */
  arrived(watched: Watched, text: string): void {
    const { mark, check, lines, attempts } = watched;
    const attempt = attempts.at(-1)!;
    if (this.#keep(this.inRequests, watched, foreignIn(text, watched))) this.mixedRequests++;
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

  #remember(word: string, check: string): void {
    if (this.#checks.size < WORDS_MAX) this.#checks.set(word, check);
  }

  /** True when there is something to keep. */
  #keep(list: Foreign[], { check, mark }: Watched, found: readonly Found[]): boolean {
    const shownOf = new Map(found);
    for (const [foreign, shown] of shownOf) {
      if (list.length >= KEPT_MAX) break;
      list.push({ check, mark, foreign, foreignCheck: this.#checks.get(foreign), shown });
    }
    return shownOf.size > 0;
  }
}

/** A mark or canary, and the line in which it stands. */
type Found = readonly [word: string, shown: string];

/** What in `text` is not the request's own. */
function foreignIn(text: string, watched: Watched): readonly Found[] {
  const found: Found[] = [];
  for (const { begin, pattern, chars } of WORDS) {
    for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at + 1)) {
      if (text.startsWith(watched.mark, at)) continue;
      const word = pattern.exec(text.slice(at, at + chars))?.[0];
      // A mark is one request's only; a canary may be the upstream's or the client's.
      if (word === undefined || begin === CANARY && isOwnWord(watched, word)) continue;
      found.push([word, lineAt(text, at)]);
    }
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
