/**
 * Sends one request and reads what comes back, every wait limited and every end cleaned up.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { Attachment } from "../core/workflow.ts";
import { isDeeper } from "../lib/depth.ts";
import { parseExactJson } from "../lib/exact_json.ts";
import { CallEnd, type Calls, failed } from "./call.ts";
import type { ReadyRequest } from "./request.ts";

/** Bytes of a response that is taken as a value. */
export const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;
/** Objects and lists inside one another in a response, or in an event of a stream. */
export const JSON_DEPTH_MAX = 256;
/** Redirects that one request follows. */
export const REDIRECTS_MAX = 10;
/** Bytes of an error's body that a failure shows. */
const ERROR_BYTES_MAX = 16 * 1024;
/** The headers that tell of a body. They go with it, and nothing else goes to another origin. */
const BODY_HEADERS = ["content-type", "content-encoding", "content-language", "content-location"];

/** A response whose head has come; `end` must be stopped when its body is done with. */
export interface Sent {
  readonly response: Response;
  readonly end: CallEnd;
}

/**
 * Sends `request`, and follows redirects as browsers do, with the file's headers for the first
 * origin only.
 *
 * @throws {AppError} when there is no response, or when its status is 400 or more.
 */
export async function send(
  request: ReadyRequest,
  calls: Calls,
  signal: AbortSignal,
  isTaken: (status: number) => boolean = (status) => status < 400,
): Promise<Sent> {
  let { host } = new URL(request.url);
  const end = new CallEnd(calls.wheel, signal, host);
  try {
    let asked = request;
    for (let redirects = 0;; redirects++) {
      ({ host } = new URL(asked.url));
      end.start("no response headers", calls.limits.headersMs);
      const response = await calls.fetch(asked.url, {
        method: asked.method,
        headers: asked.headers,
        body: asked.body,
        redirect: "manual",
        signal: end.signal,
      });
      end.pause();
      const next = redirected(asked, response);
      if (next === null) {
        if (isTaken(response.status)) return { response, end };
        throw await refusal(request, response, end, calls);
      }
      if (redirects === REDIRECTS_MAX) {
        throw failed(`Cannot call ${request.shownUrl}: more than ${REDIRECTS_MAX} redirects`);
      }
      await response.body?.cancel();
      asked = next;
    }
  } catch (error) {
    const reason: unknown = end.signal.aborted ? end.signal.reason : error;
    end.stop();
    if (reason instanceof AppError || signal.aborted) throw reason;
    const { code, message } = reason as { readonly code?: string; readonly message?: string };
    throw failed(`Cannot reach ${host}: ${code ?? message ?? "no response"}`, reason);
  }
}

/** What `response` asks for instead of `asked`; null = it is no redirect. */
function redirected(asked: ReadyRequest, { status, headers }: Response): ReadyRequest | null {
  const location = headers.get("location");
  if (![301, 302, 303, 307, 308].includes(status) || location === null) return null;
  const from = new URL(asked.url);
  const to = URL.parse(location, from);
  if (to === null || !/^https?:$/.test(to.protocol)) {
    throw failed(`Cannot follow the redirect of ${from.host}: it leads to no http(s) URL`);
  }
  const isGet = status === 303 || (status < 303 && asked.method === "POST");
  const kept = new Headers(asked.headers);
  for (const name of [...kept.keys()]) {
    const isOfBody = BODY_HEADERS.includes(name);
    if (isOfBody ? isGet : to.origin !== from.origin) kept.delete(name);
  }
  return {
    ...asked,
    url: to.href,
    headers: kept,
    ...(isGet ? { method: "GET", body: null } : {}),
  };
}

async function refusal(
  request: ReadyRequest,
  response: Response,
  end: CallEnd,
  calls: Calls,
): Promise<AppError> {
  const what = `Request failed with status ${response.status}`;
  return await failedBy(what, request, response, end, calls);
}

/** Why `response`, which is taken and no event stream, cannot be what `stream_format` reads. */
export async function noStream(
  request: ReadyRequest,
  response: Response,
  end: CallEnd,
  calls: Calls,
): Promise<AppError> {
  const type = response.headers.get("content-type") ?? "no content type";
  const what = `stream_format needs an event stream, and the answer has ${type}`;
  try {
    return await failedBy(what, request, response, end, calls);
  } finally {
    end.stop();
  }
}

async function failedBy(
  what: string,
  { shownUrl }: ReadyRequest,
  response: Response,
  end: CallEnd,
  calls: Calls,
): Promise<AppError> {
  const bytes = await readBody(response, end, calls, ERROR_BYTES_MAX, "cut");
  const text = new TextDecoder().decode(bytes);
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // It is no JSON: it is shown as it came.
  }
  return failed(`${what}\nURL: ${shownUrl}\nResponse: ${shown}`);
}

/** The body as a value, by its content type: JSON, text, or a file. */
export async function whole(response: Response, end: CallEnd, calls: Calls): Promise<unknown> {
  try {
    const bytes = await readBody(response, end, calls, RESPONSE_BYTES_MAX, "refuse");
    const type = response.headers.get("content-type") ?? "";
    if (/^application\/([\w.-]+\+)?json\b/i.test(type)) {
      return jsonOf(new TextDecoder().decode(bytes));
    }
    if (/^text\//i.test(type)) return new TextDecoder().decode(bytes);
    if (bytes.length === 0) return null;
    const name = /filename="?([^";]+)"?/i.exec(response.headers.get("content-disposition") ?? "");
    return new Attachment(bytes, type || "application/octet-stream", name?.[1] ?? "");
  } finally {
    end.stop();
  }
}

function jsonOf(text: string): unknown {
  let value: unknown;
  try {
    value = parseExactJson(text);
  } catch (cause) {
    throw failed("The response says it is JSON and is none", cause);
  }
  if (isDeeper(value, JSON_DEPTH_MAX)) {
    throw failed(`The response nests deeper than ${JSON_DEPTH_MAX} levels`);
  }
  return value;
}

/** The body's pieces as they come, each wait limited. Throws why it ended when it broke off. */
export async function* pieces(
  response: Response,
  end: CallEnd,
  { limits }: Calls,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let limitMs = limits.firstChunkMs;
  try {
    for (;;) {
      end.start("no data", limitMs);
      limitMs = limits.idleMs;
      const { done, value } = await reader.read();
      end.pause();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (end.signal.aborted) throw end.signal.reason;
    throw failed("The upstream broke off in the middle of its response", error);
  } finally {
    end.pause();
    reader.cancel().catch(() => {}); // it is given up: how that ends is nobody's matter
  }
}

async function readBody(
  response: Response,
  end: CallEnd,
  calls: Calls,
  bytesMax: number,
  excess: "cut" | "refuse",
): Promise<Uint8Array<ArrayBuffer>> {
  const kept: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces(response, end, calls)) {
    kept.push(piece);
    bytes += piece.length;
    if (bytes <= bytesMax) continue;
    if (excess === "refuse") throw failed(`The response has more than ${bytesMax} bytes`);
    break;
  }
  return new Uint8Array(Buffer.concat(kept)).subarray(0, bytesMax);
}
