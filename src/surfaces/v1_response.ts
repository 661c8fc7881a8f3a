/**
 * `POST /v1/response`: system 000's character chat in one request. Memory, model, stream, and the
 * turn kept before its end mark leaves (facts/systems.md 000).
 *
 * @module
 */

import {
  type Answer,
  EMPTY_TURN,
  type Message,
  type Script,
  type Source,
  type Turn,
} from "../core/answer.ts";
import { AppError, type ErrorCode } from "../core/errors.ts";
import { type Engine, Exchange } from "../core/exchange.ts";
import { encodeScript, type Frames } from "../core/frames.ts";
import {
  type Applied,
  type Memory,
  saidTurn,
  type SessionIds,
  storable,
  withSessionId,
} from "../core/memory.ts";
import { type Keeper, type RecordLateness, reply, type Voice } from "../core/reply.ts";
import { speak } from "../core/speak.ts";
import type { Stamps } from "../core/stamp.ts";
import { readJson } from "./body.ts";
import {
  contentEnvelope,
  envelope,
  envelopeBodyErrors,
  EnvelopeDialect,
  envelopeResponse,
  fieldsOf,
  idempotencyKey,
  idsOf,
  textField,
  unauthorized,
} from "./envelope.ts";
import { RunningKeys } from "./running_keys.ts";

/** What the surface needs. `app.ts` hands it over; nothing is looked up. */
export interface ResponseDeps {
  readonly engine: Engine;
  readonly source: Source;
  readonly memory: Memory;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly authorize: (headers: Headers) => "ok" | "missing" | "malformed" | "wrong";
  readonly bodyBytesMax: number;
  /** The model of every answer; "" = the source's own choice. */
  readonly model: string;
  /** drain: an answer whose client left is finished and kept whole; cancel: what was sent is kept. */
  readonly onDisconnect: "drain" | "cancel";
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
  const { engine, source, memory, bodyBytesMax, wallMs } = deps;
  const dialect = new EnvelopeDialect();
  const bodyErrors = envelopeBodyErrors(bodyBytesMax);
  const headers = new Headers({
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "connection": "keep-alive",
    "x-accel-buffering": "no",
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Cache-Control",
  });
  const voice: Voice = {
    stamps: deps.stamps,
    headers: () => headers,
    errorEvent: (error) => dialect.error(error),
    recordLateness: deps.recordLateness,
  };
  const isDraining = deps.onDisconnect === "drain";
  const lines = new WeakMap<Script, Lines>();
  const running = new RunningKeys();

  async function handle(request: Request, exchange: Exchange): Promise<Response> {
    const ask = parse(await readJson(request, bodyBytesMax, bodyErrors), idempotencyKey(request));
    exchange.isStream = ask.isStream;
    memory.checkReady();
    if (ask.key === "") return await answer(ask, exchange, () => {});
    const finish = await running.enter(`${ask.sessionId}\0${ask.key}`, exchange.signal);
    try {
      const kept = await memory.find(ask.sessionId, ask.key);
      if (kept === undefined) return await answer(ask, exchange, finish);
      finish();
      if (kept.query !== storable(ask.query)) throw keyTaken();
      return say(ask, scriptOf(kept.answer), exchange);
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
    const keep = (text: string, isPartial: boolean) => save(ask, applied, text, isPartial);
    try {
      const given = source.answer(turnOf(ask, applied), exchange);
      const model = given instanceof Promise ? await given : given;
      exchange.source = source.name;
      if (model.kind === "script") {
        if (!ask.isStream) return await scriptWhole(model.script, exchange, keep, finish);
        return stream(model.script, exchange, keep, finish);
      }
      if (model.kind === "relay") throw new TypeError("There is no wire to relay");
      if (!ask.isStream) return await liveWhole(model, exchange, keep, finish);
      return await liveStream(model, exchange, keep, finish);
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

  /** The frames of a script, encoded once. */
  function linesOf(script: Script): Lines {
    const known = lines.get(script);
    if (known !== undefined) return known;
    const texts = script.steps.flatMap((step) =>
      step.kind === "text" && step.text !== "" ? [step.text] : []
    );
    const made = { frames: encodeScript(script, dialect), texts, text: texts.join("") };
    lines.set(script, made);
    return made;
  }

  function stream(script: Script, exchange: Exchange, keep: Keep, finish: () => void) {
    const { frames, texts, text } = linesOf(script);
    const keeper: Keeper = {
      whole: () => keep(text, false).finally(finish),
      cut: (frameCount) => {
        if (exchange.outcome !== "client_left") return finish();
        if (isDraining) return settle(keep(text, false), exchange, finish);
        const sent = texts.slice(0, frameCount).join("");
        settle(sent === "" ? undefined : keep(sent, true), exchange, finish);
      },
    };
    return reply(frames, exchange, voice, keeper);
  }

  /** Waits for a save that nobody else waits for. */
  function settle(saved: Promise<void> | undefined, exchange: Exchange, finish: () => void): void {
    if (saved === undefined) return finish();
    saved.then(finish, (error) => {
      finish();
      if (!(error instanceof AppError)) {
        engine.watch({ kind: "bug", where: exchange.surface, error });
      }
    });
  }

  async function scriptWhole(script: Script, exchange: Exchange, keep: Keep, finish: () => void) {
    const { frames, text } = linesOf(script);
    const totalMs = frames.dueMs.at(-1)!;
    if (totalMs > 0) {
      const { wheel } = engine;
      const signal = isDraining ? undefined : exchange.signal;
      await wheel.until(exchange.startMs + totalMs, signal);
    }
    // Nothing was sent to a client that left before its one answer, so nothing is kept of it.
    if (totalMs > 0 && !isDraining && exchange.signal.aborted) finish();
    else await keep(text, false).finally(finish);
    return whole(text, exchange);
  }

  async function liveWhole(live: Live, exchange: Exchange, keep: Keep, finish: () => void) {
    let text = "";
    for await (const step of live.steps) if (step.kind === "text") text += step.text;
    await keep(text, false).finally(finish);
    return whole(text, exchange);
  }

  async function liveStream(live: Live, exchange: Exchange, keep: Keep, finish: () => void) {
    let isKept = false;
    const onEnd = async (text: string, isWhole: boolean) => {
      if (isKept) return;
      isKept = true;
      try {
        const isPart = !isWhole && exchange.outcome === "client_left" && text !== "";
        if (isWhole || isPart) await keep(text, !isWhole);
      } finally {
        finish();
      }
    };
    return await speak(live.steps, {
      exchange,
      dialect,
      headers,
      isDraining,
      abort: () => {}, // the source itself hears of the leaving
      onEnd,
    });
  }

  /** A text that is known, in the shape that was asked for. */
  function say(ask: Ask, script: Script, exchange: Exchange): Response | Promise<Response> {
    if (ask.isStream) return reply(linesOf(script).frames, exchange, voice);
    return whole(linesOf(script).text, exchange);
  }

  function whole(text: string, exchange: Exchange): Response {
    const body = contentEnvelope(text);
    exchange.complete(200, Buffer.byteLength(body) + 1);
    return envelopeResponse(body);
  }

  /** An error before the answer began; a stream says it as its one event (facts 000.4). */
  function refuse(thrown: unknown, exchange: Exchange): Response {
    const isModel = thrown instanceof ModelFailure;
    const error = exchange.refuse(isModel ? thrown.cause : thrown);
    if (isModel) {
      if (exchange.isStream) return new Response(dialect.error(error), { headers });
      return envelopeResponse(envelope(-1, `OpenAI调用失败: ${error.message}`), 500, error.headers);
    }
    return envelopeResponse(envelope(-1, error.message), error.status, error.headers);
  }

  return async (request) => {
    const exchange = new Exchange(engine, "v1_response", request);
    exchange.source = source.name;
    exchange.model = deps.model;
    const verdict = deps.authorize(request.headers);
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

/** Keeps a turn whose answer is `text`. */
type Keep = (text: string, isPartial: boolean) => Promise<void>;

type Live = Extract<Answer, { kind: "live" }>;

/** A script in this dialect, and its texts. */
interface Lines {
  readonly frames: Frames;
  /** One per frame but the last. */
  readonly texts: readonly string[];
  readonly text: string;
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

function scriptOf(text: string): Script {
  return {
    name: "kept",
    steps: [{ kind: "text", text, afterMs: 0 }, { kind: "end", reason: "stop", afterMs: 0 }],
  };
}

function keyTaken(): AppError {
  return new AppError(
    "conflict",
    "This Idempotency-Key was used with another query: a new query needs a new key",
  );
}
