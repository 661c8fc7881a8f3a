/**
 * Who may ask: bearer tokens, compared in constant time.
 *
 * @module
 */

import { timingSafeEqual } from "node:crypto";

/** What an `Authorization` header turned out to be. */
export type Verdict = "ok" | "missing" | "malformed" | "wrong";

/** Checks the `Authorization` header of a request. */
export type Authorize = (headers: Headers) => Verdict;

/**
 * A check against `tokens`; none = everybody may. The header must be "Bearer " and a token, as
 * system 000 has it: one blank, case-sensitive.
 */
export function bearerAuth(tokens: readonly string[]): Authorize {
  const digests = tokens.filter((token) => token !== "").map(digest);
  if (digests.length === 0) return () => "ok";
  return (headers) => {
    const header = headers.get("authorization");
    if (header === null || header === "") return "missing";
    const [scheme, token, ...rest] = header.split(" ");
    if (scheme !== "Bearer" || !token || rest.length > 0) return "malformed";
    const given = digest(token);
    let isKnown = false;
    // All are compared, whichever fits: the time tells nothing of which, or how much of it.
    for (const known of digests) isKnown = timingSafeEqual(known, given) || isKnown;
    return isKnown ? "ok" : "wrong";
  };
}

/** Digests have one length, so comparing them does not tell the token's. */
function digest(token: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(token).digest();
}
