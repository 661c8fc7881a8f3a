/**
 * `/memory/*`: system 000's memory server, from this weir's own store (facts/systems.md 000.5 and
 * 000.7). What a request did wrong is said with HTTP 200 and `code: -1`, as the original does; what
 * weir cannot do has a status of its own.
 *
 * @module
 */

import { AppError, ERRORS } from "../../core/errors.ts";
import { type Authorize, type Engine, Exchange } from "../../core/exchange.ts";
import {
  type Memory,
  messagesOf,
  saidTurn,
  sessionIdOf,
  type SessionIds,
  type StoredTurn,
} from "../../core/memory.ts";
import { utcTime } from "../../core/system_prompt.ts";
import { type BodyLimits, readJson } from "../../core/body.ts";
import {
  envelope,
  envelopeBodyErrors,
  envelopeResponse,
  type Fields,
  fieldsOf,
  idempotencyKey,
  idsOf,
  textField,
  unauthorized,
} from "../../dialects/envelope/envelope.ts";

/** What the surface needs. `app.ts` hands it over; nothing is looked up. */
export interface MemoryDeps {
  readonly engine: Engine;
  readonly memory: Memory;
  readonly authorize: Authorize;
  readonly bodyLimits: BodyLimits;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly makeTaskId: () => string;
}

/** Turns that `/memory/messages` and `/memory/query` show at the most. */
const TURNS_MAX = 1000;

/** Turns that one upload may bring. */
const UPLOAD_TURNS_MAX = 1000;

type Handler = (request: Request) => Promise<Response>;

/** The five handlers, by the last word of their URL. */
export interface MemoryHandlers {
  readonly apply: Handler;
  readonly upload: Handler;
  readonly messages: Handler;
  readonly query: Handler;
  readonly delete: Handler;
}

/** What a handler answers with: the message and the data of its envelope. */
interface Success {
  readonly msg: string;
  readonly data: unknown;
}

/** Makes the handlers. */
export function memoryServer(deps: MemoryDeps): MemoryHandlers {
  const { engine, memory, bodyLimits, wallMs } = deps;
  const bodyErrors = envelopeBodyErrors(bodyLimits.bytesMax);

  async function apply(fields: Fields, _request: Request, exchange: Exchange): Promise<Success> {
    const ids = idsOf(fields);
    sessionOf(ids);
    const { systemPrompt, messages } = await memory.apply({
      ...ids,
      query: textField(fields, "query"),
      rolePrompt: textField(fields, "role_prompt"),
    }, exchange);
    return success({ system_prompt: systemPrompt, messages });
  }

  async function upload(fields: Fields, request: Request): Promise<Success> {
    const ids = idsOf(fields);
    const sessionId = sessionOf(ids);
    const turns = turnsOf(fields["messages"]);
    const key = idempotencyKey(request);
    memory.checkReady();
    const base = { ...ids, sessionId, isPartial: fields["partial"] === true, atMs: wallMs() };
    // All are handed over at once: they share one commit, and keep their order.
    await Promise.all(turns.map((turn, i) => {
      const turnKey = key === "" || i === 0 ? key : `${key}#${i}`;
      return memory.commit(saidTurn({ ...base, ...turn, key: turnKey }));
    }));
    const id = deps.makeTaskId();
    return { msg: `消息已入队，任务ID：${id}`, data: { task_id: id } };
  }

  async function messages(fields: Fields): Promise<Success> {
    const turns = await memory.turns(sessionOf(idsOf(fields)), TURNS_MAX);
    return success({ messages: turns.flatMap(datedMessages) });
  }

  /** weir draws no portrait and no time line; the keys are there for the original's clients. */
  async function query(fields: Fields): Promise<Success> {
    const turns = await memory.turns(sessionOf(idsOf(fields)), TURNS_MAX);
    return success({
      user_portrait: {},
      topic_summary: [],
      chat_events: { completed: [], todo: [] },
      session_messages: turns.flatMap(datedMessages),
      current_time: utcTime(wallMs()),
    });
  }

  async function remove(fields: Fields): Promise<Success> {
    const sessionId = sessionOf(idsOf(fields));
    const count = await memory.remove(sessionId);
    const message = `${count} turns deleted`;
    return {
      msg: "所有微服务数据删除成功",
      data: {
        session_id: sessionId,
        results: [{ service_name: "weir", success: true, message }],
      },
    };
  }

  /** Wraps one of the above: authorization, body, envelope, and the exchange's end. */
  function handler(
    surface: string,
    run: (fields: Fields, request: Request, exchange: Exchange) => Promise<Success>,
  ): Handler {
    return async (request) => {
      const exchange = new Exchange(engine, surface, request);
      const verdict = deps.authorize(request.headers, exchange);
      if (verdict !== "ok") {
        exchange.begin(401);
        exchange.end("refused");
        return unauthorized(verdict);
      }
      try {
        const fields = fieldsOf(await readJson(request, bodyLimits, bodyErrors));
        const { msg, data } = await run(fields, request, exchange);
        const body = envelope(0, msg, data);
        exchange.complete(200, Buffer.byteLength(body) + 1);
        return envelopeResponse(body);
      } catch (thrown) {
        const { message, code, headers } = exchange.refuse(thrown);
        const { status } = ERRORS[code];
        return envelopeResponse(envelope(-1, message), status < 500 ? 200 : status, headers);
      }
    };
  }

  return {
    apply: handler("memory_apply", apply),
    upload: handler("memory_upload", upload),
    messages: handler("memory_messages", messages),
    query: handler("memory_query", query),
    delete: handler("memory_delete", remove),
  };
}

function success(data: unknown): Success {
  return { msg: "success", data };
}

/** @throws {AppError} when no id was named at all: a server cannot give one back. */
function sessionOf(ids: SessionIds): string {
  const sessionId = sessionIdOf(ids);
  if (sessionId !== "") return sessionId;
  throw new AppError(
    "param_missing",
    "生成 session_id 失败: 无法生成 session_id，group_id, user_id, role_id 全为空",
  );
}

/** The turns of an upload: a user's message and what answers it, either of which may be missing. */
function turnsOf(messages: unknown): readonly Said[] {
  if (!Array.isArray(messages)) {
    throw new AppError("param_type", "参数解析错误: messages must be an array");
  }
  const turns: Said[] = [];
  let query: string | undefined;
  for (const message of messages as readonly unknown[]) {
    const fields = fieldsOf(message);
    const role = textField(fields, "role");
    const content = textField(fields, "content");
    if (role === "assistant") {
      turns.push({ query: query ?? "", answer: content });
      query = undefined;
    } else if (role === "user") {
      if (query !== undefined) turns.push({ query, answer: "" });
      query = content;
    }
  }
  if (query !== undefined) turns.push({ query, answer: "" });
  if (turns.length <= UPLOAD_TURNS_MAX) return turns;
  throw new AppError(
    "array_too_long",
    `参数解析错误: messages must hold at most ${UPLOAD_TURNS_MAX} turns: they hold ${turns.length}`,
  );
}

interface Said {
  readonly query: string;
  readonly answer: string;
}

/** A turn's messages with the time the original's history gives them. */
function datedMessages(turn: StoredTurn) {
  const created_at = utcTime(turn.atMs);
  return messagesOf(turn).map((message) => ({ ...message, created_at }));
}
