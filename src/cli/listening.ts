/**
 * What listens at one address, and the way to another certificate while it does.
 *
 * Bun's `reload` ignores `tls` (1.4.5). So a second listener with the new certificate opens the same
 * port, new connections are steered to it, and the first one closes when what it has accepted is
 * answered.
 *
 * @module
 */

import type { App, Listener } from "../app.ts";
import { openSteering } from "../ops/port_steering.ts";
import { LINGER_MS } from "./crew.ts";
import type { Bound } from "./listen.ts";
import type { Tls } from "./tls_files.ts";

/** Opens a listener; it is called again for each new certificate. */
export type Open = (fetch: App["fetch"], tls: Tls | undefined) => Bound;

/** Listens until it is stopped. */
export class Listening {
  readonly #open: Open;
  #bound: Bound;
  #tls: Tls | undefined;
  /** Listeners with older certificates that have connections. */
  readonly #leaving = new Set<Bound>();
  /** Settles when no connection can reach an older one any more. */
  #handedOver: Promise<void> = Promise.resolve();

  /** @throws {Failure} when `open` does. */
  constructor(open: Open, fetch: App["fetch"], tls: Tls | undefined) {
    this.#open = open;
    this.#tls = tls;
    this.#bound = open(fetch, tls);
  }

  /** 0 = a socket file. */
  get port(): number {
    return this.#bound.port ?? 0;
  }

  /** Answers with `fetch` from now on. */
  reload(fetch: App["fetch"]): void {
    this.#bound.reload({ fetch });
    for (const old of this.#leaving) old.reload({ fetch: closing(fetch) });
  }

  /** Is `tls` what new connections get? */
  shows(tls: Tls | undefined): boolean {
    return tls?.cert === this.#tls?.cert && tls?.key === this.#tls?.key;
  }

  /**
   * Gives new connections the certificate `tls`; nothing happens when it is the one they get. Open
   * connections keep the old one, and each is closed behind its next answer.
   *
   * @throws {Failure} when it cannot, and the old certificate stays.
   */
  async renew(fetch: App["fetch"], tls: Tls): Promise<void> {
    if (this.shows(tls)) return;
    await this.#handedOver; // two at a time, since they are steered by their number
    const old = this.#bound;
    this.#bound = this.#open(fetch, tls);
    this.#tls = tls;
    this.#leaving.add(old);
    old.reload({ fetch: closing(fetch) });
    const isSteered = (await openSteering(this.port))?.steer(1, 1) === true;
    this.#handedOver = this.#handOver(old, this.port, isSteered);
  }

  /** What waits in the queue of `old` is still accepted; where nothing is steered, it is reset. */
  async #handOver(old: Bound, port: number, isSteered: boolean): Promise<void> {
    if (isSteered) await Bun.sleep(LINGER_MS);
    void old.stop().then(() => this.#leaving.delete(old));
    // Through the socket that is left: the one that was steered by may be gone.
    if (isSteered) (await openSteering(port))?.release();
  }

  /** Stops accepting. Resolves when every connection is closed; `isForced` closes them. */
  async stop(isForced = false): Promise<void> {
    await Promise.all([this.#bound, ...this.#leaving].map((one) => one.stop(isForced)));
  }
}

/** Every connection is closed behind its next answer, so that its client opens a new one. */
export function closing(fetch: App["fetch"]): App["fetch"] {
  return async (request: Request, listener?: Listener) => {
    const response = await fetch(request, listener);
    response.headers.set("connection", "close");
    return response;
  };
}
