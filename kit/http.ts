/**
 * One request of JSON to weir. It goes past whatever a test has put in the place of `fetch`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { request } from "node:http";
import { request as tlsRequest } from "node:https";

/** What weir has answered. */
export interface Told {
  readonly status: number;
  /** JSON; undefined where it was none. */
  readonly body: unknown;
}

/** Asks once. Fails when nobody answers. */
export function ask(
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  body?: unknown,
): Promise<Told> {
  const text = body === undefined ? "" : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const send = url.startsWith("https:") ? tlsRequest : request;
    const asking = send(url, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        "content-length": String(Buffer.byteLength(text)),
      },
    }, (answer) => {
      let told = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece: string) => (told += piece));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: jsonOf(told) }));
    });
    asking.on("error", reject);
    asking.end(text);
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
