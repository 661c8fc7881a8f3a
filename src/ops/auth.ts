/**
 * Who may ask: bearer tokens, compared in constant time.
 *
 * @module
 */

import { timingSafeEqual } from "node:crypto";
import type { Fields } from "../lib/http1/fields.ts";

/** What an `Authorization` header turned out to be. */
export type Verdict = "ok" | "missing" | "malformed" | "wrong";

/** A token that opens the door, and what logs call it. */
export interface BearerToken {
  readonly name: string;
  readonly token: string;
}

/** What learns whose token it was: an exchange. */
export interface TokenBearer {
  tokenName: string;
}

/** Checks the `Authorization` header of a request. */
export type Authorize = (fields: Pick<Fields, "get">, bearer?: TokenBearer) => Verdict;

/**
 * A check against `tokens`; none = everybody may. The header must be "Bearer " and a token: one
 * blank, case-sensitive (docs/facts/systems.md "Token"). The token's name is noted at the bearer.
 */
export function bearerAuth(tokens: readonly BearerToken[]): Authorize {
  const nameOf = tokenNames(tokens);
  if (nameOf === undefined) return () => "ok";
  return (fields, bearer) => {
    const header = fields.get("authorization");
    if (header === null || header === "") return "missing";
    const [scheme, token, ...rest] = header.split(" ");
    if (scheme !== "Bearer" || !token || rest.length > 0) return "malformed";
    const name = nameOf(token);
    if (name === undefined) return "wrong";
    if (bearer !== undefined) bearer.tokenName = name;
    return "ok";
  };
}

/**
 * The same for clients of Anthropic's API, which send their key in `x-api-key`, or as a bearer's
 * token. What stands in `x-api-key` counts where both are sent.
 */
export function apiKeyAuth(tokens: readonly BearerToken[]): Authorize {
  const nameOf = tokenNames(tokens);
  if (nameOf === undefined) return () => "ok";
  const ofBearer = bearerAuth(tokens);
  return (fields, bearer) => {
    const key = fields.get("x-api-key");
    if (key === null || key === "") return ofBearer(fields, bearer);
    const name = nameOf(key);
    if (name === undefined) return "wrong";
    if (bearer !== undefined) bearer.tokenName = name;
    return "ok";
  };
}

/** Gives the name of a token, or undefined for one that is none of `tokens`. */
export type TokenNameOf = (token: string) => string | undefined;

/** Looks tokens up in `tokens`, empty ones left out; undefined when none is left. */
export function tokenNames(tokens: readonly BearerToken[]): TokenNameOf | undefined {
  const known = tokens.filter(({ token }) => token !== "")
    .map(({ name, token }) => ({ name, digest: digest(token) }));
  if (known.length === 0) return undefined;
  return (token) => {
    const given = digest(token);
    let found: string | undefined;
    // All are compared, whichever fits: the time tells nothing of which, or how much of it.
    for (const one of known) if (timingSafeEqual(one.digest, given)) found = one.name;
    return found;
  };
}

/** Digests have one length, so comparing them does not tell the token's. */
function digest(token: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(token).digest();
}
