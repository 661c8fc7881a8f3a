/**
 * Who comes to `/chat` and `/conv`, and what an upstream hears of them.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";

/** Whoever was let in. */
export interface Visitor {
  /** The id of the token, or "" for one that names nobody. */
  readonly id: string;
  /** What logs call the token; "" = it has no name. */
  readonly tokenName: string;
}

/** Looks at an `Authorization` header; undefined = may not pass. */
export type CheckVisitor = (header: string | null) => Promise<Visitor | undefined>;

/** Who is behind each exchange. */
export class Visitors {
  readonly #check: CheckVisitor;
  readonly #visitors = new WeakMap<Exchange, Visitor>();

  constructor(check: CheckVisitor) {
    this.#check = check;
  }

  /**
   * Lets a request in. Rejects with a 403 for who may not pass: nobody is told whether the token
   * was missing, forged or too old.
   */
  async admit({ headers }: Request, exchange: Exchange): Promise<void> {
    const visitor = await this.#check(headers.get("authorization"));
    if (visitor === undefined) {
      throw new AppError(
        "forbidden",
        "The Authorization header must be a valid token: ask /token for one",
      );
    }
    exchange.tokenName = visitor.tokenName;
    this.#visitors.set(exchange, visitor);
  }

  /** Whoever was let in. */
  of(exchange: Exchange): Visitor {
    return this.#visitors.get(exchange) ?? NOBODY;
  }
}

const NOBODY: Visitor = { id: "", tokenName: "" };

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
