/**
 * The tokens of go-gpt-server (docs/facts/systems.md "Tokens"): JSON Web Tokens (RFC 7519) signed
 * with HMAC, and who may pass with one.
 *
 * @module
 */

import { jwtVerify, SignJWT } from "jose";
import type { Key } from "../core/keys.ts";
import type { Keys } from "./auth.ts";
import { digestOf } from "./key_ring.ts";

/** The signatures that are believed. Everything else, `none` above all, is refused. */
const ALGORITHMS = ["HS256", "HS384", "HS512"];

const SECONDS_PER_HOUR = 3600;

/** What a token is made of. */
export interface TokenFacts {
  /** Who it is for (`jti`); "" leaves the claim out. */
  readonly id: string;
  /** Hours it holds from now on; zero and less make one that has already expired. */
  readonly hours: number;
  /** What signs it. */
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/**
 * A signed token.
 *
 * @throws {RangeError} when the key is empty, or the hours lead out of every calendar.
 */
export async function makeToken({ id, hours, key, nowMs }: TokenFacts): Promise<string> {
  const exp = Math.floor(nowMs / 1000) + hours * SECONDS_PER_HOUR;
  if (!Number.isSafeInteger(exp)) {
    throw new RangeError(`Cannot make a token as its hours are out of range: ${hours}`);
  }
  if (key === "") throw new RangeError("Cannot make a token as its key is empty");
  return await new SignJWT({ exp, ...(id === "" ? {} : { jti: id }) })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .sign(new TextEncoder().encode(key));
}

/** Who passed. */
export interface Visitor {
  /** The token's `jti`; "" for one without, and for whoever came with a plain secret. */
  readonly id: string;
  /** The name of that plain secret; "" = it was a token of `/token`, or the door is open. */
  readonly tokenName: string;
  /** The key, where that was the secret. */
  readonly key?: Key;
}

/** Looks at an `Authorization` header; undefined = may not pass. */
export type CheckVisitor = (header: string | null) => Promise<Visitor | undefined>;

/** What opens `/chat` and `/conv`. */
export interface JwtAuthOptions {
  /** Signs tokens, and is itself a pass; "" = there are no tokens. */
  readonly secretKey: string;
  /** Keys, which pass too; undefined = there are none. */
  readonly keys: Keys | undefined;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

const ANYBODY: Visitor = { id: "", tokenName: "" };

/** What logs call `auth.secret_key` where it is shown itself. */
const SECRET_KEY_NAME = "secret_key";

/**
 * The check of `/chat` and `/conv`: a valid token or one of the secrets, bare as go-gpt-server's
 * clients send it, or behind "Bearer ". With no secret configured at all everybody may pass; an
 * empty `auth.secret_key` beside an `auth.token` opens nothing.
 */
export function jwtAuth({ secretKey, keys, wallMs }: JwtAuthOptions): CheckVisitor {
  if (keys === undefined && secretKey === "") return () => Promise.resolve(ANYBODY);
  const signer = new TextEncoder().encode(secretKey);
  const secretDigest = secretKey === "" ? "" : digestOf(secretKey);
  /** The key; an error is thrown later, unless what was shown is a token of `/token`. */
  function lookUp(given: string): Key | Error | undefined {
    try {
      return keys?.find(given);
    } catch (error) {
      return error as Error;
    }
  }

  return async (header) => {
    const given = (header ?? "").replace(/^Bearer +/i, "");
    if (given === "") return undefined;
    if (secretKey !== "" && digestOf(given) === secretDigest) {
      return { ...ANYBODY, tokenName: SECRET_KEY_NAME };
    }
    const key = lookUp(given);
    if (key !== undefined && !(key instanceof Error)) {
      return { id: "", tokenName: key.name, key };
    }
    const unknown = () => {
      if (key instanceof Error) throw key;
      return undefined;
    };
    if (secretKey === "") return unknown();
    try {
      const currentDate = new Date(wallMs());
      const { payload } = await jwtVerify(given, signer, { algorithms: ALGORITHMS, currentDate });
      return { ...ANYBODY, id: typeof payload.jti === "string" ? payload.jti : "" };
    } catch {
      return unknown(); // forged, expired or no token at all: nobody is told which
    }
  };
}
