/**
 * What several weirs have in common, where `shared.url` names the Redis that keeps it.
 *
 * @module
 */

import type { BreakerShare } from "../core/breakers.ts";
import type { Watch } from "../core/events.ts";
import type { SharedBytes } from "../core/shared.ts";
import { Leases } from "../lib/leases.ts";
import type { Limiter, Taker } from "../lib/limiter.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";
import { RedisBreakers } from "./breakers.ts";
import { RedisBytes } from "./bytes.ts";
import { RedisLender } from "./lender.ts";
import { type LinkDeps, RedisLink } from "./redis_link.ts";

/** How often what is lent is looked through. */
const TICK_MS = 500;
/** Nobody waits longer for bytes, which are no more than a help. */
const BYTES_MS_MAX = 1000;

/** The settings that decide. */
export interface SharedConfig {
  readonly shared: {
    readonly url: string;
    readonly prefix: string;
    readonly ca_file: string;
    readonly timeout_ms: number;
  };
}

/** What it needs of its process. */
export interface SharedWorld {
  readonly wheel: Wheel;
  readonly watch: Watch;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** An id that no other process will make, without blanks. */
  readonly uuid: () => string;
  /** PEM text of a `ca_file` of the config; "" = none. */
  readonly caOf: (file: string) => string;
  /** The limits of this machine. */
  readonly limiter: Limiter;
}

/** What several weirs have in common. */
export interface Shared {
  /** joining: nobody knows yet whether it is there. */
  readonly state: "joining" | "ok" | "away";
  /** Limits of all together; those of this machine while it is away. */
  readonly limits: Taker;
  readonly breakers: BreakerShare;
  readonly bytes: SharedBytes;
  /** Gives back what is lent, and ends the connections. */
  close(): Promise<void>;
}

/** Opens it; undefined = there is none. */
export function openShared(config: SharedConfig, world: SharedWorld): Shared | undefined {
  const { url, prefix, ca_file, timeout_ms: timeoutMs } = config.shared;
  if (url === "") return undefined;
  return new RedisShared({ url, prefix, timeoutMs, ca: world.caOf(ca_file) }, world);
}

class RedisShared extends Ticket implements Shared {
  readonly limits: Leases;
  readonly breakers: RedisBreakers;
  readonly bytes: RedisBytes;
  readonly #wheel: Wheel;
  readonly #link: RedisLink;
  readonly #bytesLink: RedisLink;

  constructor(
    { prefix, ...server }: Pick<LinkDeps, "url" | "ca" | "timeoutMs"> & { readonly prefix: string },
    { wheel, watch, random, uuid, limiter }: SharedWorld,
  ) {
    super();
    this.#wheel = wheel;
    const place = { ...server, wheel, random };
    let wasAway = false;
    this.#link = new RedisLink({
      ...place,
      beat: () => this.breakers.beat(),
      onState(state, why) {
        if (state === "away") watch({ kind: "shared_failed", cause: why });
        if (state === "ok" && wasAway) watch({ kind: "shared_recovered" });
        wasAway = state === "away";
      },
    });
    this.#bytesLink = new RedisLink({
      ...place,
      timeoutMs: Math.min(server.timeoutMs, BYTES_MS_MAX),
      beat: () => this.#bytesLink.ask((client) => client.send("PING", [])),
      onState() {}, // the other one says it
    });
    const id = uuid();
    const lender = new RedisLender(this.#link, id, prefix);
    this.breakers = new RedisBreakers(this.#link, id, prefix);
    this.bytes = new RedisBytes(this.#bytesLink, prefix);
    this.limits = new Leases({
      ...{ limiter, lender, random },
      nowMs: () => wheel.nowMs,
      pause: (ms) => wheel.until(wheel.nowMs + ms),
    });
    this.#link.start();
    this.run();
  }

  get state(): Shared["state"] {
    const { state } = this.#link;
    return state === "closed" ? "away" : state;
  }

  override run(): void {
    this.limits.tick();
    this.#wheel.set(this, this.#wheel.nowMs + TICK_MS);
  }

  async close(): Promise<void> {
    this.#wheel.cancel(this);
    await this.limits.close();
    this.#link.close();
    this.#bytesLink.close();
  }
}
