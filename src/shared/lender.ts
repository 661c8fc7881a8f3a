/**
 * Lends what all weirs of one Redis have together: units of keys' limits, and seats of their streams.
 *
 * @module
 */

import type { Lender, Loan, LoanAsk, Seats, SeatsAsk } from "../lib/leases.ts";
import type { RedisLink } from "./redis_link.ts";
import { LEND, SEAT } from "./scripts.ts";

const US_PER_MS = 1000;
/** Seats of a borrower that is silent for so long are free: it tells of them every four seconds. */
const SEATS_LAST_MS = 15_000;

/** Lends over `link`. `id` names this borrower among all; `prefix` begins the names of its keys. */
export class RedisLender implements Lender {
  readonly #link: RedisLink;
  readonly #id: string;
  readonly #prefix: string;

  constructor(link: RedisLink, id: string, prefix: string) {
    this.#link = link;
    this.#id = id;
    this.#prefix = prefix;
  }

  get isOpen(): boolean {
    return this.#link.state === "ok";
  }

  get openings(): number {
    return this.#link.joins;
  }

  async lend({ bucket, owed, used, least, need, want }: LoanAsk): Promise<Loan> {
    const { name, limit, windowMs } = bucket;
    const [granted, left] = await this.#link.run(
      LEND,
      [`${this.#prefix}limit:${name}`],
      [limit, windowMs * US_PER_MS, owed, used, least, need, want],
    ) as [number, string];
    return { granted, left: Number(left) };
  }

  async seat({ gate, inside, need, want }: SeatsAsk): Promise<Seats> {
    const [granted, others] = await this.#link.run(
      SEAT,
      [`${this.#prefix}gate:${gate.name}`],
      [this.#id, inside, need, want, gate.max, SEATS_LAST_MS * US_PER_MS],
    ) as [number, number];
    return { granted, others };
  }
}
