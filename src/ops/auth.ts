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
  const isKnown = secretCheck(tokens);
  if (isKnown === undefined) return () => "ok";
  return (headers) => {
    const header = headers.get("authorization");
    if (header === null || header === "") return "missing";
    const [scheme, token, ...rest] = header.split(" ");
    if (scheme !== "Bearer" || !token || rest.length > 0) return "malformed";
    return isKnown(token) ? "ok" : "wrong";
  };
}

/** Tells whether a text is one of `secrets`, empty ones left out; undefined when none is left. */
export function secretCheck(secrets: readonly string[]): ((given: string) => boolean) | undefined {
  const digests = secrets.filter((secret) => secret !== "").map(digest);
  if (digests.length === 0) return undefined;
  return (given) => {
    const own = digest(given);
    let isKnown = false;
    // All are compared, whichever fits: the time tells nothing of which, or how much of it.
    for (const known of digests) isKnown = timingSafeEqual(known, own) || isKnown;
    return isKnown;
  };
}

/** Digests have one length, so comparing them does not tell the token's. */
function digest(token: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(token).digest();
}
