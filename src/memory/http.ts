/**
 * A memory server: that of the streaming response service, or another weir (docs/facts/systems.md
 * "Memory server"). Its caller looks at the JSON and not at the status.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import {
  type Applied,
  type ApplyRequest,
  type Caller,
  type HistoryMessage,
  type Memory,
  NO_MARK,
  NOTHING_REMOVED,
  type PageRequest,
  type Removed,
  type SaidTurn,
  type SessionIds,
  type StoredTurn,
  TurnLate,
  TurnRefused,
  type TurnsPage,
} from "../core/memory.ts";
import { idsOfName, nameOfIds } from "../core/session.ts";
import { idFilter } from "./id_filter.ts";
import { masker } from "../lib/mask.ts";
import { basicOf, withoutUserinfo } from "../lib/userinfo.ts";

/** An answer above this is not read to its end. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** Turns that a weir shows on one page at the most. */
const PAGE_TURNS_MAX = 1000;

/** What a memory server's own message may have at the most. */
const MESSAGE_CHARS_MAX = 1000;

/** Roles that a history may have; others are dropped. */
const ROLES: ReadonlySet<unknown> = new Set(["system", "user", "assistant"]);

/**
 * Statuses that say nothing of the turn: the token or the URL is wrong, or the server or what stands
 * before it is away or has too much to do. Of the others, 4xx are the turn's fault.
 */
const STATUSES_AWAY: ReadonlySet<number> = new Set([
  ...[401, 403, 404, 405, 407, 408, 421, 425, 429, 502, 503, 504],
]);

/** The name of the call that brings a turn, in errors. */
const UPLOAD = "upload_memory";

/** Messages with which a memory server refuses a turn for ever, whatever the status. */
const MESSAGES_FOR_EVER = ["参数解析错误", "生成 session_id 失败"];

/** What a memory server's client needs. */
export interface HttpOptions {
  /** Without a trailing slash: "http://127.0.0.1:9100". `fetch` sends its user and password as Basic. */
  readonly baseUrl: string;
  /** The bearer token; "" = none is sent, and none where the URL has a user. */
  readonly token: string;
  /** The longest wait for a whole answer. */
  readonly timeoutMs: number;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
}

/** A memory that another server keeps. */
export function openHttpMemory(options: HttpOptions): Memory {
  return new HttpMemory(options);
}

/** A memory server's answer. */
interface Envelope {
  readonly status: number;
  readonly code: number;
  readonly msg: string;
  readonly data: Readonly<Record<string, unknown>>;
}

class HttpMemory implements Memory {
  readonly name = "http";
  readonly #options: HttpOptions;
  /** Where it is, for whoever reads that it is not there. */
  readonly #place: string;
  readonly #authorization: Readonly<Record<string, string>>;
  /** Takes what is sent to the server alone out of what it says. */
  readonly #mask: (text: string) => string;

  constructor(options: HttpOptions) {
    const { baseUrl, token } = options;
    this.#options = options;
    this.#place = withoutUserinfo(baseUrl);
    const isOwn = token === "" || basicOf(baseUrl) !== "";
    this.#authorization = isOwn ? {} : { authorization: `Bearer ${token}` };
    this.#mask = masker([token, basicOf(baseUrl).slice("Basic ".length)]);
  }

  checkReady(): void {}

  async apply(request: ApplyRequest, { signal }: Caller): Promise<Applied> {
    const body = { query: request.query, ...idFields(request), role_prompt: request.rolePrompt };
    const envelope = await this.#call("POST", "/memory/apply", "apply_memory", body, signal);
    if (envelope.code !== 0) throw refused("apply_memory", envelope, isForEver(envelope));
    const { system_prompt, messages, mark } = envelope.data;
    return {
      systemPrompt: typeof system_prompt === "string" ? system_prompt : "",
      messages: historyOf(messages),
      // Another weir tells it: a turn whose session is deleted there meanwhile is not kept.
      mark: typeof mark === "number" ? { ...NO_MARK, store: mark } : NO_MARK,
    };
  }

  async commit(turn: SaidTurn): Promise<void> {
    const hasMark = turn.mark.store !== NO_MARK.store;
    const body = {
      ...idFields(turn),
      // Both sides always: a memory server pairs them up, and keeps an empty one as empty.
      messages: [
        { role: "user", content: turn.query },
        { role: "assistant", content: turn.answer },
      ],
      ...(turn.isPartial ? { partial: true } : {}),
      ...(hasMark ? { mark: turn.mark.store } : {}),
    };
    const key: Record<string, string> = turn.key === "" ? {} : { "idempotency-key": turn.key };
    const { status, text } = await this.#post("POST", "/memory/upload", UPLOAD, body, null, key);
    let error: AppError;
    try {
      const envelope = parseEnvelope(text, status, UPLOAD, this.#mask);
      if (envelope.code === 0) return;
      error = refused(UPLOAD, envelope, isForEver(envelope) || (status >= 400 && status < 500));
      if (isForEver(envelope)) throw error;
    } catch (broken) {
      // Whoever stands before the server refuses in words of its own: its status tells enough.
      if (broken instanceof TurnRefused || status < 400) throw broken;
      const { message } = broken as AppError;
      error = new TurnRefused(message, status < 500);
    }
    if (STATUSES_AWAY.has(status)) throw failed(error.message, error, error.plain);
    if (status === 409 && hasMark) throw new TurnLate("removed");
    throw error;
  }

  /** The protocol has no question for it: the server finds the session itself. */
  named(): readonly string[] {
    return [];
  }

  /** The protocol has no question for it. */
  find(): undefined {
    return undefined;
  }

  async turns(sessionId: string, limit: number): Promise<readonly StoredTurn[]> {
    const turns: StoredTurn[] = [];
    let before = "";
    do {
      const wanted = Math.min(PAGE_TURNS_MAX, limit - turns.length);
      const page = await this.page(sessionId, { limit: wanted, bytesMax: Infinity, before });
      turns.unshift(...page.turns);
      before = page.turns.length === 0 || page.next === before ? "" : page.next;
    } while (before !== "" && turns.length < limit);
    return turns.slice(-limit);
  }

  /** How many bytes are on it, is for the server to say. The original gives every turn at once. */
  async page(sessionId: string, { limit, before }: PageRequest): Promise<TurnsPage> {
    const ids = idFields(idsOfName(sessionId) ?? { ...NOBODY, sessionId });
    const body = { ...ids, limit, ...(before === "" ? {} : { before }) };
    const envelope = await this.#call("POST", "/memory/messages", "messages", body, null);
    if (envelope.code !== 0) throw refused("messages", envelope, false);
    const { messages, next } = envelope.data;
    return { turns: turnsOf(historyOf(messages)), next: typeof next === "string" ? next : "" };
  }

  /** The original tells no numbers: those of its one session are counted before. */
  async remove(ids: SessionIds): Promise<Removed> {
    if (idFilter(ids, "") === undefined) return { turns: 0, sessions: 0 };
    const counted = ids.sessionId === "" ? 0 : (await this.turns(ids.sessionId, Infinity)).length;
    const envelope = await this.#call("DELETE", "/memory/delete", "delete", idFields(ids), null);
    if (envelope.msg.startsWith(NOTHING_REMOVED)) return { turns: 0, sessions: 0 };
    if (envelope.code !== 0) throw refused("delete", envelope, false);
    const { deleted, sessions } = envelope.data;
    return {
      turns: typeof deleted === "number" ? deleted : counted,
      sessions: typeof sessions === "number" ? sessions : 1,
    };
  }

  /** The server keeps its own `keep_days`. */
  prune(): Promise<number> {
    return Promise.resolve(0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** One call and its envelope. `what` names it in errors. */
  async #call(
    method: string,
    path: string,
    what: string,
    body: unknown,
    signal: AbortSignal | null,
  ): Promise<Envelope> {
    const { text, status } = await this.#post(method, path, what, body, signal, {});
    return parseEnvelope(text, status, what, this.#mask);
  }

  async #post(
    method: string,
    path: string,
    what: string,
    body: unknown,
    signal: AbortSignal | null,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly text: string; readonly status: number }> {
    const { baseUrl, timeoutMs, fetch } = this.#options;
    const limit = AbortSignal.timeout(timeoutMs);
    try {
      const response = await fetch(baseUrl + path, {
        method,
        headers: {
          "content-type": "application/json",
          ...this.#authorization,
          ...headers,
        },
        body: JSON.stringify(body),
        redirect: "manual",
        signal: signal === null ? limit : AbortSignal.any([signal, limit]),
      });
      return { text: await readText(response), status: response.status };
    } catch (error) {
      const reason = limit.aborted
        ? `${this.#place} gave no answer within ${timeoutMs} ms`
        : `${this.#place}: ${error instanceof Error ? error.message : error}`;
      throw failed(`调用${what}接口失败: ${reason}`, error);
    }
  }
}

const NOBODY = { userId: "", roleId: "", groupId: "" };

function idFields(ids: SessionIds) {
  // The original leaves a session without a name to the server, which makes one of the ids itself.
  return {
    session_id: ids.sessionId === nameOfIds(ids) ? "" : ids.sessionId,
    user_id: ids.userId,
    role_id: ids.roleId,
    group_id: ids.groupId,
  };
}

async function readText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`its answer is over ${ANSWER_BYTES_MAX} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function parseEnvelope(
  text: string,
  status: number,
  what: string,
  mask: (text: string) => string,
): Envelope {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // What a parser says quotes the text.
    throw failed(`解析${what}响应失败: it is no JSON (HTTP ${status})`, error);
  }
  const { code, msg, data } = fieldsOf(value);
  if (typeof code !== "number") {
    throw failed(`解析${what}响应失败: there is no "code" in it (HTTP ${status})`);
  }
  const message = typeof msg === "string" ? mask(msg).slice(0, MESSAGE_CHARS_MAX) : "";
  return { status, code, msg: message, data: fieldsOf(data) };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

/** The messages of an answer: null is none, and what else a message may carry is left out. */
function historyOf(messages: unknown): readonly HistoryMessage[] {
  if (!Array.isArray(messages)) return [];
  const history: HistoryMessage[] = [];
  for (const message of messages as readonly unknown[]) {
    const { role, content } = fieldsOf(message);
    if (!ROLES.has(role) || typeof content !== "string" || content === "") continue;
    history.push({ role: role as string, content });
  }
  return history;
}

/** Messages paired up: a user's, and what answers it. */
export function turnsOf(messages: readonly HistoryMessage[]): StoredTurn[] {
  const turns: StoredTurn[] = [];
  let query = "";
  for (const { role, content } of messages) {
    if (role === "assistant") {
      turns.push({ query, answer: content, isPartial: false, atMs: 0 });
      query = "";
    } else if (role === "user") {
      if (query !== "") turns.push({ query, answer: "", isPartial: false, atMs: 0 });
      query = content;
    }
  }
  if (query !== "") turns.push({ query, answer: "", isPartial: false, atMs: 0 });
  return turns;
}

/** True when the server says that the request itself is at fault. */
function isForEver({ msg }: Envelope): boolean {
  return MESSAGES_FOR_EVER.some((beginning) => msg.startsWith(beginning));
}

/** What the server said, for whoever asked; only its status and code are for logs. */
function refused(what: string, { msg, status, code }: Envelope, isForEver: boolean): TurnRefused {
  const beginning = `${what}接口返回错误: `;
  const plain = `${beginning}HTTP ${status}, code ${code}`;
  return new TurnRefused(beginning + msg, isForEver, { plain });
}

function failed(message: string, cause?: unknown, plain = message): AppError {
  return new AppError("memory_failed", message, { cause, plain });
}
