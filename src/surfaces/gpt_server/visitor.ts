/**
 * Who comes to `/chat` and `/conv`, and what an upstream hears of them.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import type { Key } from "../../core/keys.ts";
import type { Fields } from "../../lib/http1/fields.ts";
import type { RequestHead } from "../../lib/http1/request_head.ts";

/** Whoever was let in. */
export interface Visitor {
  /** The id of the token, or "" for one that names nobody. */
  readonly id: string;
  /** What logs call the token; "" = it has no name. */
  readonly tokenName: string;
  /** Absent: it was no key. */
  readonly key?: Key;
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
  async admit({ fields }: RequestHead, exchange: Exchange): Promise<void> {
    const visitor = await this.#check(fields.get("authorization"));
    if (visitor === undefined) {
      throw new AppError(
        "forbidden",
        "The Authorization header must be a valid token: ask /token for one",
      );
    }
    if (visitor.key !== undefined) exchange.takeKey(visitor.key);
    else exchange.tokenName = visitor.tokenName;
    this.#visitors.set(exchange, visitor);
  }

  /** Whoever was let in. */
  of(exchange: Exchange): Visitor {
    return this.#visitors.get(exchange) ?? NOBODY;
  }
}

const NOBODY: Visitor = { id: "", tokenName: "" };

/** The client's fields without its token, and with its name: no client speaks for another one. */
export function visitorFields(client: Fields, { id }: Pick<Visitor, "id">): Fields {
  // A name that is no field value would make every call of its owner fail.
  const isSayable = id !== "" && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(id);
  return client.with({ authorization: null, userid: isSayable ? id : null });
}
