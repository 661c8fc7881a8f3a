/**
 * Browsers on other origins may call every URL (WHATWG Fetch, "CORS protocol").
 *
 * @module
 */

/** A day: browsers cap it themselves (Chromium at two hours). */
const MAX_AGE_S = 86_400;

/**
 * The answer to a preflight. It allows what was asked for, since `*` does not cover `Authorization`.
 */
export function preflight(request: Request): Response {
  const asked = request.headers.get("access-control-request-headers");
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
      "access-control-allow-headers": asked ?? "authorization, content-type, chat-type, accept",
      "access-control-max-age": String(MAX_AGE_S),
      "vary": "access-control-request-headers",
    },
  });
}
