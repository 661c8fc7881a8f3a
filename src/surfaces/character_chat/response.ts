/**
 * `POST /v1/response`: system 000's character chat in one request. Memory, model, stream, and the
 * turn kept before its end mark leaves (facts/systems.md 000).
 *
 * @module
 */

import { EMPTY_TURN, type Message, type Source, type Turn } from "../../core/answer.ts";
import { AppError, type ErrorCode } from "../../core/errors.ts";
import { type Authorize, Exchange } from "../../core/exchange.ts";
import {
  type Applied,
  type Memory,
  saidTurn,
  type SessionIds,
  storable,
  withSessionId,
} from "../../core/memory.ts";
import { type BodyLimits, readJson } from "../../core/body.ts";
import {
  envelope,
  envelopeBodyErrors,
  envelopeResponse,
  fieldsOf,
  idempotencyKey,
  idsOf,
  textField,
  unauthorized,
} from "../../dialects/envelope/envelope.ts";
import { type Saving, Speech, type SpeechDeps } from "./response_speech.ts";
import { RunningKeys } from "./running_keys.ts";

/** What the surface needs. `app.ts` hands it over; nothing is looked up. */
export interface ResponseDeps extends SpeechDeps {
  readonly source: Source;
  readonly memory: Memory;
  readonly authorize: Authorize;
  readonly bodyLimits: BodyLimits;
  /** The model of every answer; "" = the source's own choice. */
  readonly model: string;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** The id of a session that nobody named. */
  readonly makeSessionId: () => string;
}

/** A request, understood. */
interface Ask extends SessionIds {
  readonly query: string;
  readonly rolePrompt: string;
  readonly firstMessage: string;
  readonly isStream: boolean;
  /** The client's own key; "" = none. */
  readonly key: string;
}

/**
 * The key of a role's first words: a session has them once, however many begin it at a time. No
 * client's key begins with a blank, since the blanks around a header's value are no part of it.
 */
const FIRST_MESSAGE_KEY = " first_message";

/** Makes the handler. */
export function v1Response(deps: ResponseDeps): (request: Request) => Promise<Response> {
  const { engine, source, memory, bodyLimits, wallMs } = deps;
  const speech = new Speech(deps);
  const bodyErrors = envelopeBodyErrors(bodyLimits.bytesMax);
  const running = new RunningKeys();

  async function handle(request: Request, exchange: Exchange): Promise<Response> {
    const ask = parse(await readJson(request, bodyLimits, bodyErrors), idempotencyKey(request));
    exchange.isStream = ask.isStream;
    memory.checkReady();
    if (ask.key === "") return await answer(ask, exchange, () => {});
    const finish = await running.enter(`${ask.sessionId}\0${ask.key}`, exchange.signal);
    try {
      const kept = await memory.find(ask.sessionId, ask.key);
      if (kept === undefined) return await answer(ask, exchange, finish);
      finish();
      if (kept.query !== storable(ask.query)) throw keyTaken();
      return speech.again(kept.answer, exchange);
    } catch (error) {
      finish();
      throw error;
    }
  }

  function parse(body: unknown, key: string): Ask {
    const fields = fieldsOf(body);
    const { stream } = fields;
    if (stream !== undefined && stream !== null && typeof stream !== "boolean") {
      throw new AppError("param_type", "参数解析错误: stream must be true or false");
    }
    const query = textField(fields, "query");
    const ask = {
      rolePrompt: textField(fields, "role_prompt"),
      firstMessage: textField(fields, "first_message"),
      ...withSessionId(idsOf(fields), () => key === "" ? deps.makeSessionId() : key),
    };
    if (query === "") throw new AppError("param_missing", "query is required");
    return { ...ask, query, key, isStream: stream !== false };
  }

  /** Asks the model. `finish` is called once the turn is kept, or will never be. */
  async function answer(ask: Ask, exchange: Exchange, finish: () => void): Promise<Response> {
    const pending = memory.apply(ask, exchange);
    const applied = pending instanceof Promise ? await pending : pending;
    const saving: Saving = {
      keep: (text, isPartial) => save(ask, applied, text, isPartial),
      finish,
    };
    try {
      const given = source.answer(turnOf(ask, applied), exchange);
      const model = given instanceof Promise ? await given : given;
      exchange.source = source.name;
      if (model.kind === "script") {
        const { script } = model;
        if (ask.isStream) return speech.stream(script, exchange, saving);
        return await speech.whole(script, exchange, saving);
      }
      if (ask.isStream) return await speech.streamLive(model, exchange, saving);
      return await speech.wholeLive(model, exchange, saving);
    } catch (error) {
      finish();
      if (!(error instanceof AppError) || OWN_ERRORS.has(error.code)) throw error;
      throw new ModelFailure(error);
    }
  }

  function turnOf(ask: Ask, { systemPrompt, messages }: Applied): Turn {
    const said: Message[] = [];
    if (systemPrompt !== "") said.push({ role: "system", content: systemPrompt });
    for (const message of messages) said.push(message);
    said.push({ role: "user", content: ask.query });
    return { ...EMPTY_TURN, model: deps.model, messages: said, isStream: ask.isStream };
  }

  /** Keeps the turn, and before it the role's first words when the session begins with them. */
  async function save(ask: Ask, applied: Applied, answer: string, isPartial: boolean) {
    const { sessionId, userId, roleId, groupId, key, query, firstMessage } = ask;
    const base = { sessionId, userId, roleId, groupId, isPartial, atMs: wallMs() };
    const turn = saidTurn({ ...base, key, query, answer });
    if (firstMessage === "" || applied.messages.length > 0) return await memory.commit(turn);
    const first = { ...base, key: FIRST_MESSAGE_KEY, isPartial: false };
    await Promise.all([
      memory.commit(saidTurn({ ...first, query: "", answer: firstMessage })),
      memory.commit(turn),
    ]);
  }

  /** An error before the answer began. */
  function refuse(thrown: unknown, exchange: Exchange): Response {
    const isModel = thrown instanceof ModelFailure;
    const error = exchange.refuse(isModel ? thrown.cause : thrown);
    if (isModel) {
      if (exchange.isStream) return speech.failed(error);
      return envelopeResponse(envelope(-1, `OpenAI调用失败: ${error.message}`), 500, error.headers);
    }
    return envelopeResponse(envelope(-1, error.message), error.status, error.headers);
  }

  return async (request) => {
    const exchange = new Exchange(engine, "v1_response", request);
    exchange.source = source.name;
    exchange.model = deps.model;
    const verdict = deps.authorize(request.headers, exchange);
    if (verdict !== "ok") {
      exchange.begin(401);
      exchange.end("refused");
      return unauthorized(verdict);
    }
    try {
      return await handle(request, exchange);
    } catch (error) {
      return refuse(error, exchange);
    }
  };
}

/** Errors of weir itself while the model answers. */
const OWN_ERRORS: ReadonlySet<ErrorCode> = new Set([
  "unavailable",
  "memory_failed",
  "shutting_down",
]);

/** Carries what the model did wrong, which has words of its own in this dialect. */
class ModelFailure extends Error {
  constructor(cause: AppError) {
    super(cause.message, { cause });
  }
}

function keyTaken(): AppError {
  return new AppError(
    "conflict",
    "This Idempotency-Key was used with another query: a new query needs a new key",
  );
}
