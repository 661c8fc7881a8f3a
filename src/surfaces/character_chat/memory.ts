/**
 * `/memory/*`: the memory server of the streaming response service, from this weir's own store
 * (docs/facts/systems.md "Memory server"). What a request did wrong is said with HTTP 200 and
 * `code: -1`, as the original does; what weir cannot do has a status of its own.
 *
 * @module
 */

import type { RequestHead } from "../../lib/http1/request_head.ts";
import { AppError, type ErrorCode, ERRORS } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import {
  type Mark,
  type Memory,
  messagesOf,
  NO_MARK,
  NOTHING_REMOVED,
  saidTurn,
  type SessionIds,
  type StoredTurn,
} from "../../core/memory.ts";
import { meantSession } from "../../core/session.ts";
import type { Surface } from "../../core/surface.ts";
import { utcTime } from "../../core/system_prompt.ts";
import {
  checkEnvelopeToken,
  checkNames,
  envelope,
  envelopeAnswer,
  envelopeTooLarge,
  type Fields,
  fieldsOf,
  ID_FIELDS,
  idempotencyKey,
  idsOf,
  parseEnvelopeJson,
  textField,
  Unauthorized,
  unauthorizedAnswer,
} from "../../dialects/envelope/envelope.ts";

/** What the surfaces need. */
export interface MemoryDeps {
  readonly memory: Memory;
  readonly authorize: Authorize;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly makeTaskId: () => string;
  /** Bytes of the texts that are shown at a time; a single turn may have more. */
  readonly pageBytesMax: number;
}

/** Turns that `/memory/messages` and `/memory/query` show at a time. */
const TURNS_MAX = 1000;
/** The number of a turn, which no store counts up to 2^53. */
const CURSOR = /^\d{1,15}$/;

/** Turns that one upload may bring. */
const UPLOAD_TURNS_MAX = 1000;

/** What the original takes and no store of weir's could keep: said with its status too. */
const OWN_STATUS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "string_too_long",
  "conflict",
  "key_forbidden",
]);

/** The five surfaces, by the last word of their URL. */
export interface MemorySurfaces {
  readonly apply: Surface;
  readonly upload: Surface;
  readonly messages: Surface;
  readonly query: Surface;
  readonly delete: Surface;
}

/** What is answered: the message and the data of its envelope. */
interface Success {
  readonly msg: string;
  readonly data: unknown;
}

/** Makes the surfaces. */
export function memoryServer(deps: MemoryDeps): MemorySurfaces {
  const { memory, wallMs } = deps;

  /**
   * @throws {AppError} when no id was named at all, since a server cannot give one back, or when
   * more than one session is meant.
   */
  async function sessionOf(fields: Fields): Promise<SessionIds> {
    const ids = await meantSession(memory, idsOf(fields));
    if (ids.sessionId !== "") return ids;
    throw new AppError(
      "param_missing",
      "生成 session_id 失败: 无法生成 session_id，group_id, user_id, role_id 全为空",
    );
  }

  async function apply(fields: Fields, _head: RequestHead, exchange: Exchange): Promise<Success> {
    const ids = await sessionOf(fields);
    const { systemPrompt, messages, mark } = await memory.apply({
      ...ids,
      query: textField(fields, "query"),
      rolePrompt: textField(fields, "role_prompt"),
      key: "",
    }, {
      get signal() {
        return exchange.signal.toSignal();
      },
    });
    return success({ system_prompt: systemPrompt, messages, mark: mark.store });
  }

  async function upload(fields: Fields, head: RequestHead): Promise<Success> {
    const turns = turnsOf(fields["messages"]);
    const key = idempotencyKey(head);
    const ids = await sessionOf(fields);
    memory.checkReady(ids.sessionId);
    const base = {
      ...ids,
      isPartial: fields["partial"] === true,
      atMs: wallMs(),
      claim: "",
      mark: markOf(fields),
    };
    // All are handed over at once: they share one commit, and keep their order.
    await Promise.all(turns.map((turn, i) => {
      const turnKey = key === "" || i === 0 ? key : `${key}#${i}`;
      return memory.commit(saidTurn({ ...base, ...turn, key: turnKey }));
    }));
    const id = deps.makeTaskId();
    return { msg: `消息已入队，任务ID：${id}`, data: { task_id: id } };
  }

  async function messages(fields: Fields): Promise<Success> {
    const { shown, more } = await page(fields);
    return success({ messages: shown, ...more });
  }

  /** weir draws no portrait and no time line; the keys are there for the original's clients. */
  async function query(fields: Fields): Promise<Success> {
    const { shown, more } = await page(fields);
    return success({
      user_portrait: {},
      topic_summary: [],
      chat_events: { completed: [], todo: [] },
      session_messages: shown,
      current_time: utcTime(wallMs()),
      ...more,
    });
  }

  async function page(fields: Fields) {
    const { sessionId } = await sessionOf(fields);
    const { turns, next } = await memory.page(sessionId, {
      limit: limitOf(fields["limit"]),
      before: beforeOf(fields["before"]),
      bytesMax: deps.pageBytesMax,
    });
    return { shown: turns.flatMap(datedMessages), more: { has_more: next !== "", next } };
  }

  /** Every session that has all of the ids that are named. */
  async function remove(fields: Fields): Promise<Success> {
    const asked = idsOf(fields);
    const { sessionId } = await sessionOf(fields);
    const ids = asked.sessionId === "" ? asked : { ...asked, sessionId };
    const { turns, sessions } = await memory.remove(ids);
    if (sessions === 0) {
      throw new AppError("not_found", `${NOTHING_REMOVED}: no session has these ids`);
    }
    const message = `${turns} turns of ${sessions} sessions deleted`;
    return {
      msg: "所有微服务数据删除成功",
      data: {
        session_id: sessionId,
        deleted: turns,
        sessions,
        results: [{ service_name: "weir", success: true, message }],
      },
    };
  }

  /** Wraps one of the above: authorization, body and envelope. `names`: what it takes besides ids. */
  function surface(
    name: string,
    run: (fields: Fields, head: RequestHead, exchange: Exchange) => Promise<Success>,
    names: readonly string[] = [],
  ): Surface {
    const known = [...ID_FIELDS, ...names];
    return {
      name,
      source: "",
      takes: "body",
      admit: (head, exchange) => checkEnvelopeToken(deps.authorize, head, exchange),
      async answer({ text, head }, exchange) {
        const fields = fieldsOf(parseEnvelopeJson(text));
        checkNames(fields, known);
        const { msg, data } = await run(fields, head, exchange);
        return envelopeAnswer(envelope(0, msg, data));
      },
      tooLarge: envelopeTooLarge,
      refuse(error) {
        if (error instanceof Unauthorized) return unauthorizedAnswer(error);
        const isScripted = error.code === "scripted"; // and so is its status
        const status = isScripted ? error.status : ERRORS[error.code].status;
        const text = envelope(-1, error.message);
        const isPlain = status < 500 && !isScripted && !OWN_STATUS.has(error.code);
        return envelopeAnswer(text, isPlain ? 200 : status, error.headers);
      },
    };
  }

  return {
    apply: surface("memory_apply", apply, ["query", "role_prompt"]),
    upload: surface("memory_upload", upload, ["messages", "partial", "mark"]),
    messages: surface("memory_messages", messages, ["limit", "before"]),
    query: surface("memory_query", query, ["query", "limit", "before"]),
    delete: surface("memory_delete", remove),
  };
}

function success(data: unknown): Success {
  return { msg: "success", data };
}

/** @throws {AppError} unless it is a number of turns, or absent. */
function limitOf(value: unknown): number {
  if (value === undefined || value === null) return TURNS_MAX;
  if (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= TURNS_MAX) {
    return Number(value);
  }
  const must = `limit must be a whole number from 1 to ${TURNS_MAX}`;
  throw new AppError("param_value", `参数解析错误: ${must}`, { param: "limit" });
}

/** @throws {AppError} unless it is what `next` was on another page, or absent. */
function beforeOf(value: unknown): string {
  if (value === undefined || value === null || value === "") return "";
  if (typeof value === "string" && CURSOR.test(value)) return value;
  const must = "before must be data.next of the page that came last";
  throw new AppError("param_value", `参数解析错误: ${must}`, { param: "before" });
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

/** The `mark` that `/memory/apply` gave to another weir when the turn began. */
function markOf({ mark }: Fields): Mark {
  return typeof mark === "number" && Number.isSafeInteger(mark) && mark >= 0
    ? { ...NO_MARK, store: mark }
    : NO_MARK;
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
