/**
 * `/token?id=&hour=&key=`: makes a token for `/chat` and `/conv` (docs/facts/systems.md "Tokens").
 * It is signed with the `key` of the query, so that a wrong key makes a token that opens nothing.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import { AppError } from "../../core/errors.ts";
import { queryOf } from "../../core/body.ts";
import type { Surface, Whole } from "../../core/surface.ts";
import { detailAnswer, detailTooLarge } from "../../dialects/detail/errors.ts";

/** What a token is asked for with. */
export interface TokenWish {
  readonly id: string;
  readonly hours: number;
  readonly key: string;
}

/** What the surface needs. */
export interface TokenDeps {
  /** True when `auth.secret_key` is set: without it no token opens anything. */
  readonly hasSecretKey: boolean;
  /** Signs. Throws a `RangeError` for a wish that makes no token. */
  readonly makeToken: (wish: TokenWish) => Promise<string>;
}

/** The limits of the original's 64-bit integer. */
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Makes the surface. */
export function token(deps: TokenDeps): Surface {
  return {
    name: "token",
    source: "",
    takes: "nothing",
    async answer({ head }) {
      const wish = readWish(new URLSearchParams(queryOf(head.target)));
      if (!deps.hasSecretKey) {
        throw new AppError("unavailable", "Create token failed: auth.secret_key is not set");
      }
      return {
        kind: "whole",
        status: 200,
        headers: { "content-type": "application/json", "cache-control": "no-store" },
        body: `${JSON.stringify({ token: await sign(wish, deps) })}\n`,
      };
    },
    tooLarge: detailTooLarge,
    refuse: (error) => plainRefusal(error),
  };
}

/**
 * The query's three parameters, of which the first of each name counts.
 *
 * @throws {AppError} 400 in the original's words.
 */
function readWish(query: URLSearchParams): TokenWish {
  const id = query.get("id");
  const hour = query.get("hour");
  const key = query.get("key");
  if (id === null || hour === null || key === null) throw missingParameters();
  return { id, hours: hoursOf(hour), key };
}

function hoursOf(text: string): number {
  if (/^[+-]?[0-9]{1,20}$/.test(text)) {
    const hours = BigInt(text.replace(/^\+/, ""));
    if (hours >= INT64_MIN && hours <= INT64_MAX) return Number(hours);
  }
  throw new AppError("request_invalid", "Invalid param time");
}

async function sign(wish: TokenWish, { makeToken }: TokenDeps): Promise<string> {
  try {
    return await makeToken(wish);
  } catch (error) {
    if (error instanceof RangeError) throw new AppError("unavailable", "Create token failed");
    throw error;
  }
}

/** A parameter of the query is not there at all: 400. */
export function missingParameters(): AppError {
  return new AppError("request_invalid", "Missing required parameters");
}

/** `error` as that system says it: its sentence on a line of plain text. */
export function plainRefusal(
  error: AppError,
  more: Readonly<Record<string, string>> = {},
): Whole {
  if (error.status < 400) return detailAnswer(error); // a fault that wants JSON
  return {
    kind: "whole",
    status: error.status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
      ...error.headers,
      ...more,
    },
    body: `${error.message}\n`,
  };
}
