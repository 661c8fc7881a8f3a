/**
 * Who may ask: keys, each looked up by the digest of what a client shows.
 *
 * @module
 */

import type { Key } from "../core/keys.ts";
import type { Fields } from "../lib/http1/fields.ts";

const SCHEME = "Bearer ";

/** What an `Authorization` header turned out to be. */
export type Verdict = "ok" | "missing" | "malformed" | "wrong";

/** A token that opens the door, and what logs call it. */
export interface BearerToken {
  readonly name: string;
  readonly token: string;
}

/** What learns whose key it was: an exchange. */
export interface KeyHolder {
  /** @throws {AppError} when the key does not open what is asked. */
  takeKey(key: Key): void;
}

/** Knows the keys that open the door. */
export interface Keys {
  /**
   * The key whose text is `token`, while it is in force; undefined = there is none.
   *
   * @throws {AppError} `unavailable` when nobody can say.
   */
  find(token: string): Key | undefined;
}

/** Checks the `Authorization` header of a request. */
export type Authorize = (fields: Pick<Fields, "get">, holder?: KeyHolder) => Verdict;

/**
 * A check against `keys`; undefined = everybody may. The header must be "Bearer " and a token: one
 * blank, case-sensitive (docs/facts/systems.md "Token"). The key is noted at its holder.
 */
export function bearerAuth(keys: Keys | undefined): Authorize {
  if (keys === undefined) return () => "ok";
  return (fields, holder) => {
    const header = fields.get("authorization");
    if (header === null || header === "") return "missing";
    const token = header.slice(SCHEME.length);
    if (!header.startsWith(SCHEME) || token === "" || token.includes(" ")) return "malformed";
    return verdictOf(keys.find(token), holder);
  };
}

/**
 * The same for clients of Anthropic's API, which send their key in `x-api-key`, or as a bearer's
 * token. What stands in `x-api-key` counts where both are sent.
 */
export function apiKeyAuth(keys: Keys | undefined): Authorize {
  if (keys === undefined) return () => "ok";
  const ofBearer = bearerAuth(keys);
  return (fields, holder) => {
    const token = fields.get("x-api-key");
    if (token === null || token === "") return ofBearer(fields, holder);
    return verdictOf(keys.find(token), holder);
  };
}

function verdictOf(key: Key | undefined, holder: KeyHolder | undefined): Verdict {
  if (key === undefined) return "wrong";
  holder?.takeKey(key);
  return "ok";
}
