/**
 * Browsers on other origins may call every URL (WHATWG Fetch, "CORS protocol").
 *
 * @module
 */

import type { Fields } from "../lib/http1/fields.ts";

/** A day: browsers cap it themselves (Chromium at two hours). */
const MAX_AGE_S = 86_400;

/**
 * The headers of the answer to a preflight with `asked`, a 204. They allow what was asked for, since `*` does not cover `Authorization`.
 */
export function preflightHeaders(
  asked: Pick<Fields, "get">,
): Readonly<Record<string, string>> {
  const names = asked.get("access-control-request-headers");
  return {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "access-control-allow-headers": names ?? "authorization, content-type, chat-type, accept",
    "access-control-max-age": String(MAX_AGE_S),
    "vary": "access-control-request-headers",
  };
}
