/**
 * Who comes to `/chat` and `/conv`, and what an upstream hears of them.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";

/** Whoever was let in. */
export interface Visitor {
  /** The id of the token, or "" for one that names nobody. */
  readonly id: string;
  /** What logs call the token; "" = it has no name. */
  readonly tokenName: string;
}

/** Looks at an `Authorization` header; undefined = may not pass. */
export type Admit = (header: string | null) => Promise<Visitor | undefined>;

/** May not pass: 403. Nobody is told whether the token was missing, forged or too old. */
export function notAdmitted(): AppError {
  return new AppError(
    "forbidden",
    "The Authorization header must be a valid token: ask /token for one",
  );
}

/** The client's headers without its token, and with its name: no client speaks for another one. */
export function visitorHeaders(client: Headers, { id }: Pick<Visitor, "id">): Headers {
  const headers = new Headers(client);
  headers.delete("authorization");
  headers.delete("userid");
  // A name that is no header value would make every call of its owner fail.
  if (id !== "" && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(id)) {
    headers.set("userid", id);
  }
  return headers;
}
