/**
 * `POST /v1/response`: character chat in one request: memory, model, stream, and the
 * turn kept before its end mark leaves (docs/facts/systems.md "Order of a turn").
 *
 * @module
 */

import { ENVELOPE_EDITS } from "../../dialects/envelope/fault_edits.ts";
import type { Answer, Source } from "../../core/answer.ts";
import { AppError, type ErrorCode } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { Keeper } from "../../core/keeping.ts";
import {
  type Applied,
  type Memory,
  NO_MARK,
  saidTurn,
  type SessionIds,
  storable,
} from "../../core/memory.ts";
import { meantSession } from "../../core/session.ts";
import type { HeaderFields } from "../../core/response_writer.ts";
import { sseHeaders } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type {
  Asking,
  Inbound,
  Manner,
  RecordLateness,
  Surface,
  Whole,
} from "../../core/surface.ts";
import { isSayable } from "../../lib/http1/header_block.ts";
import { EMPTY_TURN, type Message, type Turn } from "../../core/turn.ts";
import {
  checkEnvelopeToken,
  checkNames,
  contentEnvelope,
  envelope,
  ENVELOPE_LAYOUT,
  envelopeAnswer,
  envelopeErrorEvent,
  envelopeTooLarge,
  fieldsOf,
  ID_FIELDS,
  idempotencyKey,
  idsOf,
  parseEnvelopeJson,
  textField,
  Unauthorized,
  unauthorizedAnswer,
} from "../../dialects/envelope/envelope.ts";
import { turnAsk, type TurnAskOptions } from "../turn_ask.ts";
import { RunningKeys } from "./running_keys.ts";

/** What the surface needs. */
export interface ResponseDeps {
  readonly source: Source;
  readonly memory: Memory;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly authorize: Authorize;
  /** The model of every answer. */
  readonly model: string;
  /**
   * drain: an answer whose client left is finished and kept whole; cancel: what was sent is kept.
   */
  readonly onDisconnect: "drain" | "cancel";
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** The id of a session that nobody named. */
  readonly makeSessionId: () => string;
}

/** A request, understood. */
interface Question extends SessionIds {
  readonly query: string;
  readonly rolePrompt: string;
  readonly firstMessage: string;
  readonly isStream: boolean;
  /** The client's own key; "" = none. */
  readonly key: string;
  /** The owner of the claim on it. */
  readonly claim: string;
}

/**
 * The key of a role's first words: a session has them once, however many begin it at a time. No
 * client's key begins with a blank, since the blanks around a header's value are no part of it.
 */
const FIRST_MESSAGE_KEY = " first_message";

/** Tells the stored name of the session. */
const SESSION_HEADER = "x-session-id";
const EXPOSED = { "access-control-expose-headers": "X-Session-ID" };

const STREAM_HEADERS = sseHeaders({
  "content-type": "text/event-stream",
  "connection": "keep-alive",
  "access-control-allow-headers": "Cache-Control",
  ...EXPOSED,
});

/** A name that no header can carry is left out: it is one that the client gave. */
function streamHeaders(sessionId: string): HeaderFields {
  return isSayable(sessionId)
    ? STREAM_HEADERS.plus({ [SESSION_HEADER]: sessionId })
    : STREAM_HEADERS;
}

/** What a request may say. */
const FIELDS = [...ID_FIELDS, "query", "role_prompt", "first_message", "stream"];

/** Errors of weir itself while the model answers. */
const OWN_ERRORS: ReadonlySet<ErrorCode> = new Set([
  "internal",
  "unavailable",
  "memory_failed",
  "shutting_down",
  "conflict",
  "key_forbidden",
  "key_requests",
  "key_tokens",
  "key_budget",
]);

/** Makes the surface. */
export function v1Response(deps: ResponseDeps): Surface {
  const { source, memory, wallMs } = deps;
  const running = new RunningKeys(memory, deps.makeSessionId);
  const manner: Omit<Manner, "headers"> = {
    stamps: deps.stamps.withIds(),
    errorEvent: envelopeErrorEvent,
    faultEdits: ENVELOPE_EDITS,
    recordLateness: deps.recordLateness,
  };

  /** How the answers of a session are said: they tell its stored name. */
  function options({ sessionId }: SessionIds): Omit<TurnAskOptions, "source"> {
    return {
      manner: { ...manner, headers: () => streamHeaders(sessionId) },
      layout: ENVELOPE_LAYOUT,
      whole: ({ choices }) =>
        envelopeAnswer(
          contentEnvelope(choices[0]!.text, sessionId),
          200,
          isSayable(sessionId) ? { ...EXPOSED, [SESSION_HEADER]: sessionId } : EXPOSED,
        ),
    };
  }

  function answerIn(
    ids: SessionIds,
    asked: Question,
    exchange: Exchange,
  ): Asking | Promise<Asking> {
    const question = { ...asked, ...ids };
    if (ids.sessionId === "") question.sessionId = madeUp(asked.key);
    memory.checkReady(question.sessionId);
    return question.key === "" ? ask(question, exchange, () => {}) : answerOnce(question, exchange);
  }

  /** The name of a session that nobody named: with a key a request that is repeated finds it. */
  function madeUp(key: string): string {
    return key === ""
      ? deps.makeSessionId()
      : `idempotency_key=${encodeURIComponent(storable(key))}`;
  }

  async function answerOnce(question: Question, exchange: Exchange): Promise<Asking> {
    const { turn, owner, finish } = await running.enter(question, exchange);
    try {
      if (turn !== undefined && turn.query !== storable(question.query)) throw keyTaken();
      if (turn === undefined || turn.isPartial) {
        return await ask({ ...question, claim: owner }, exchange, finish);
      }
      finish();
      return turnAsk(turnOf(question, NOTHING), {
        ...options(question),
        source: againSource(turn.answer),
      });
    } catch (error) {
      finish();
      throw error;
    }
  }

  function parse({ text, head }: Inbound): Question {
    const fields = fieldsOf(parseEnvelopeJson(text));
    checkNames(fields, FIELDS);
    const key = idempotencyKey(head);
    const { stream } = fields;
    if (stream !== undefined && stream !== null && typeof stream !== "boolean") {
      throw new AppError("param_type", "参数解析错误: stream must be true or false");
    }
    const query = textField(fields, "query");
    const question = {
      rolePrompt: textField(fields, "role_prompt"),
      firstMessage: textField(fields, "first_message"),
      ...idsOf(fields),
    };
    if (query === "") throw new AppError("param_missing", "query is required");
    return { ...question, query, key, claim: "", isStream: stream !== false };
  }

  /** Asks the model. `finish` is called once the turn is kept, or will never be. */
  function ask(
    question: Question,
    exchange: Exchange,
    finish: () => void,
  ): Asking | Promise<Asking> {
    const caller = {
      get signal() {
        return exchange.signal.toSignal();
      },
    };
    const applied = memory.apply(question, caller);
    return applied instanceof Promise
      ? applied.then((settled) => asking(question, settled, finish))
      : asking(question, applied, finish);
  }

  function asking(question: Question, applied: Applied, finish: () => void): Asking {
    const keeper: Keeper = {
      keep: (text, isPartial) => save(question, applied, text, isPartial),
      finish,
    };
    return turnAsk(turnOf(question, applied), {
      ...options(question),
      source,
      keeper,
      isDraining: deps.onDisconnect === "drain",
    });
  }

  function turnOf(question: Question, { systemPrompt, messages }: Applied): Turn {
    const said: Message[] = [];
    if (systemPrompt !== "") said.push({ role: "system", content: systemPrompt });
    for (const message of messages) said.push(message);
    said.push({ role: "user", content: question.query });
    return {
      ...EMPTY_TURN,
      model: deps.model,
      isDefaultModel: true,
      messages: said,
      isStream: question.isStream,
    };
  }

  /** Keeps the turn, and before it the role's first words when the session begins with them. */
  async function save(question: Question, applied: Applied, answer: string, isPartial: boolean) {
    const { sessionId, userId, roleId, groupId, key, claim, query, firstMessage } = question;
    const { mark } = applied;
    const base = { sessionId, userId, roleId, groupId, isPartial, atMs: wallMs(), mark, claim: "" };
    const turn = saidTurn({ ...base, key, claim, query, answer });
    if (firstMessage === "" || applied.messages.length > 0) return await memory.commit(turn);
    const first = { ...base, key: FIRST_MESSAGE_KEY, isPartial: false };
    await Promise.all([
      memory.commit(saidTurn({ ...first, query: "", answer: firstMessage })),
      memory.commit(turn),
    ]);
  }

  return {
    name: "v1_response",
    source: source.name,
    takes: "body",
    admit(head, exchange) {
      exchange.model = deps.model;
      checkEnvelopeToken(deps.authorize, head, exchange);
    },
    answer(inbound, exchange) {
      const question = parse(inbound);
      exchange.isStream = question.isStream;
      const meant = meantSession(memory, question);
      return meant instanceof Promise
        ? meant.then((ids) => answerIn(ids, question, exchange))
        : answerIn(meant, question, exchange);
    },
    tooLarge: envelopeTooLarge,
    refuse(error, exchange, asked): Whole {
      if (error instanceof Unauthorized) return unauthorizedAnswer(error);
      const { message, status, headers } = error;
      if (asked === undefined || OWN_ERRORS.has(error.code)) {
        return envelopeAnswer(envelope(-1, message), status, headers);
      }
      // A model that fails before it says anything has words of its own in this dialect.
      return exchange.isStream
        ? { kind: "whole", status: 200, headers: STREAM_HEADERS, body: envelopeErrorEvent(error) }
        : envelopeAnswer(envelope(-1, `OpenAI调用失败: ${message}`), 500, headers);
    },
  };
}

const NOTHING: Applied = { systemPrompt: "", messages: [], mark: NO_MARK };

/** Says an answer again that was kept before. */
function againSource(text: string): Source {
  const steps = [
    { kind: "delta", choice: 0, block: "text", text, afterMs: 0 },
    { kind: "end", choice: 0, reason: "stop", afterMs: 0 },
  ] as const;
  const answer: Answer = { kind: "script", script: { name: "kept", steps }, model: "" };
  return { name: "memory", answer: () => answer };
}

function keyTaken(): AppError {
  return new AppError(
    "conflict",
    "This Idempotency-Key was used with another query: a new query needs a new key",
  );
}
