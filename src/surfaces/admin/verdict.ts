/**
 * What a client has made of the faults that fixtures gave it: did it try again, did it wait as long as
 * it was told, did it notice that an answer broke off, did it run a tool twice.
 *
 * @module
 */

import { textOf } from "../../core/turn.ts";

/** A request of the journal, as far as a verdict looks at it. */
export interface JudgedRequest {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at_ms: number;
  readonly session: string;
  readonly key: string;
  readonly path: string;
  readonly fixture: string | null;
  readonly status: number | null;
  readonly duration_ms: number | null;
  /** What went wrong on purpose; null = nothing. */
  readonly fault: string | null;
  readonly error: {
    readonly message: string;
    readonly api_code?: string | undefined;
    readonly retry_after_s?: number | undefined;
  } | null;
  readonly body?: unknown;
}

/** What is looked at. */
export type Check =
  | "retries"
  | "waits_as_told"
  | "gives_up"
  | "notices_truncation"
  | "repeats_no_tool_call";

/** One thing that a client did well or not. */
export interface Finding {
  readonly check: Check;
  /** null = nothing that came tells. */
  readonly ok: boolean | null;
  /** The request that met the fault. */
  readonly request: string;
  readonly fixture: string | null;
  readonly text: string;
}

/** All findings. */
export interface Verdict {
  /** False: some finding is false. */
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

/** Errors after which the same may be asked again: OpenAI's and Anthropic's clients do so. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504, 529]);
/** A 429 of these kinds lasts until somebody pays. */
const LASTING: ReadonlySet<string> = new Set(["insufficient_quota", "billing_hard_limit_reached"]);
/** Tries after which a client may give up. */
const TRIES = 2;
/** A clock's grain, and what a client may round. */
const SLACK_MS = 20;

/** A request, and what it asks. */
interface Asked {
  readonly request: JudgedRequest;
  /** Whoever asks: answers to one say nothing about another. */
  readonly who: string;
  /** What is asked, without settings such as `stream`. */
  readonly question: string;
  readonly talk: readonly unknown[];
}

/** Judges `requests`, in the order in which they came, with their bodies. */
export function verdictOn(requests: readonly JudgedRequest[]): Verdict {
  const asked = requests.map(askedOf);
  const findings = asked.flatMap((one, i) => {
    const { request, who } = one;
    const later = asked.slice(i + 1).filter((other) => other.who === who);
    const earlier = asked.slice(0, i).filter((other) => other.who === who);
    if (request.fault === null) return [];
    const found = request.fault === "error"
      ? afterError(one, earlier, later)
      : afterBreak(one, earlier, later);
    return [...found, ...toolsAfter(one, later)].map((finding) => ({
      ...finding,
      request: request.id,
      fixture: request.fixture,
    }));
  });
  return { ok: findings.every(({ ok }) => ok !== false), findings };
}

type Found = Omit<Finding, "request" | "fixture">;

function afterError(
  { request, question }: Asked,
  earlier: readonly Asked[],
  later: readonly Asked[],
): Found[] {
  const { status, error } = request;
  const again = later.find((other) => other.question === question);
  const what = `${status}${error?.api_code ? ` ${error.api_code}` : ""}`;
  const isPassing = PASSING.has(status ?? 0) && !LASTING.has(error?.api_code ?? "");
  if (!isPassing) {
    const isLast = earlier.some((other) => other.question === question && failed(other));
    if (again === undefined && isLast) return []; // it gave up at last, after what is told of already
    return [{
      check: "gives_up",
      ok: again === undefined,
      text: again === undefined
        ? `did not ask again after ${what}, which trying again cannot mend`
        : `asked again after ${what}, which trying again cannot mend`,
    }];
  }
  if (again === undefined) {
    const tries = earlier.filter((other) => other.question === question && failed(other)).length;
    return [{
      check: "retries",
      ok: tries >= TRIES,
      text: tries >= TRIES
        ? `gave up after ${tries + 1} tries that ended with ${what}`
        : `did not ask again after ${what}, which may pass`,
    }];
  }
  const found: Found[] = [{ check: "retries", ok: true, text: `asked again after ${what}` }];
  const toldS = error?.retry_after_s;
  if (toldS !== undefined) {
    const waitedMs = again.request.at_ms - request.at_ms - (request.duration_ms ?? 0);
    const isLong = waitedMs >= toldS * 1000 - SLACK_MS;
    found.push({
      check: "waits_as_told",
      ok: isLong,
      text: `was told to wait ${toldS} s after ${what}, and waited ${
        (Math.max(0, waitedMs) / 1000).toFixed(2)
      } s`,
    });
  }
  return found;
}

function failed({ request }: Asked): boolean {
  return request.fault !== null;
}

/** After an answer that broke off, or was no answer. */
function afterBreak(one: Asked, earlier: readonly Asked[], later: readonly Asked[]): Found[] {
  const { request, question } = one;
  const check = "notices_truncation";
  const what = request.fault === "cut" ? "an answer that broke off" : `a fault: ${request.fault}`;
  if (later.some((other) => other.question === question)) {
    return [{ check, ok: true, text: `asked again after ${what}` }];
  }
  if (later.some((other) => goesOnFrom(other, one))) {
    return [{ check, ok: false, text: `went on from ${what} as if it were whole` }];
  }
  const tries = earlier.filter((other) => other.question === question && failed(other)).length;
  return [{
    check,
    ok: tries >= TRIES ? true : null,
    text: tries >= TRIES
      ? `gave up after ${tries + 1} tries, the last of which was ${what}`
      : `nothing came after ${what}: only the client can say whether it noticed`,
  }];
}

/** Is what was said in answer to `before` part of the talk that `other` tells? */
function goesOnFrom({ talk }: Asked, before: Asked): boolean {
  const { length } = before.talk;
  if (length === 0 || talk.length <= length) return false;
  const isSame = before.talk.every((message, i) => canonical(message) === canonical(talk[i]));
  return isSame && roleOf(talk[length]) === "assistant";
}

/** Where a fault met the results of tools: were these sent again, or were the tools run again? */
function toolsAfter({ talk, question }: Asked, later: readonly Asked[]): Found[] {
  const results = resultsOf(talk);
  if (results.size === 0 || roleOf(talk.at(-1)) === "user" && !hasResult(talk.at(-1))) return [];
  const check = "repeats_no_tool_call";
  for (const other of later) {
    for (const [id, result] of resultsOf(other.talk)) {
      const before = results.get(id);
      if (before !== undefined && before !== result) {
        return [{ check, ok: false, text: `ran the tool of call ${id} again after a fault` }];
      }
    }
    const isBack = other.talk.length < talk.length && other.talk.length > 0 &&
      other.talk.every((message, i) => canonical(message) === canonical(talk[i]));
    if (isBack) {
      return [{
        check,
        ok: false,
        text: "asked again from before its tool calls after a fault, so that the tools run twice",
      }];
    }
    if (other.question === question) {
      return [{ check, ok: true, text: "sent the results of its tools again, and ran none again" }];
    }
  }
  return [];
}

/** Call ids and the results that a talk has of them, as texts. */
function resultsOf(talk: readonly unknown[]): ReadonlyMap<string, string> {
  const results = new Map<string, string>();
  for (const message of talk) {
    const { tool_call_id, call_id, output, content } = fieldsOf(message);
    if (typeof tool_call_id === "string") results.set(tool_call_id, canonical(content));
    else if (typeof call_id === "string" && output !== undefined) {
      results.set(call_id, canonical(output));
    } else if (Array.isArray(content)) {
      for (const part of content) {
        const { type, tool_use_id, content: said } = fieldsOf(part);
        if (type === "tool_result" && typeof tool_use_id === "string") {
          results.set(tool_use_id, canonical(said));
        }
      }
    }
  }
  return results;
}

function hasResult(message: unknown): boolean {
  return resultsOf([message]).size > 0;
}

/** Who says a message; an item of the Responses API that is a call is the assistant's. */
function roleOf(message: unknown): string {
  const { role, type } = fieldsOf(message);
  if (typeof role === "string") return role;
  return typeof type === "string" && /_call$|^reasoning$/.test(type) ? "assistant" : "";
}

function askedOf(request: JudgedRequest): Asked {
  const { messages, input, prompt, query } = fieldsOf(request.body);
  const said = messages ?? input ?? prompt ?? query;
  const talk = Array.isArray(said) ? said : typeof said === "string" ? [said] : [];
  const who = JSON.stringify([request.session, request.key, request.path]);
  return { request, who, talk, question: canonical(talk) };
}

/** A value as text, however a client spells a message that says a text alone. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (key, inner) => {
    const isTexts = key === "content" && Array.isArray(inner) &&
      inner.every((part) => typeof fieldsOf(part)["text"] === "string");
    return isTexts ? textOf(inner) : inner;
  }) ?? "";
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Readonly<Record<string, unknown>>
    : {};
}
