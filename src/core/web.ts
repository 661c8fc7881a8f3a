/**
 * Requests and responses as the web's standard has them: for pages, which are no hot path.
 *
 * @module
 */

import type { RequestHead } from "../lib/http1/request_head.ts";
import type { ResponseWriter } from "./response_writer.ts";

/** `head` as a `Request` without a body. */
export function webRequest({ method, target, fields }: RequestHead): Request {
  const headers = new Headers();
  for (const [name, value] of fields) headers.append(name, value);
  const path = target.startsWith("/") ? target : "/";
  return new Request(`http://${HOST}${path}`, {
    method: WEB_METHOD.test(method) ? method : "GET",
    headers,
  });
}

/** What a page is told of its own host: it links to none. */
const HOST = "weir";
/** Methods that a `Request` may not have (WHATWG Fetch) are none of a page's. */
const WEB_METHOD = /^(?!CONNECT$|TRACE$|TRACK$)[A-Z]+$/;

/** Writes `response` whole. Rejects when its body cannot be read. */
export async function writeResponse(response: Response, writer: ResponseWriter): Promise<void> {
  const body = response.body === null ? null : await response.bytes();
  writer.whole(response.status, Object.fromEntries(response.headers), body);
}
