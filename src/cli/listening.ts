/**
 * What listens at one address, and the way to another certificate while it does.
 *
 * Bun's `reload` ignores `tls` (1.4.5). So a second listener with the new certificate opens the same
 * port, new connections are steered to it, and the first one closes when what it has accepted is
 * answered.
 *
 * @module
 */

import type { Http1Server } from "../lib/http1/server.ts";
import type { Http1Handler } from "../lib/http1/server_connection.ts";
import type { ConnectionReadings } from "../ops/metrics.ts";
import { openSteering, refuseArrivals } from "../ops/port_steering.ts";
import { LINGER_MS } from "./crew.ts";
import type { Tls } from "./tls_files.ts";

/** Opens a listener; it is called again for each new certificate. */
export type Open = (handler: Http1Handler, tls: Tls | undefined) => Http1Server;

/** Listens until it is stopped. */
export class Listening {
  readonly #open: Open;
  #bound: Http1Server;
  #tls: Tls | undefined;
  /** Listeners with older certificates that have connections. */
  readonly #leaving = new Set<Http1Server>();
  /** What listeners have counted that are gone. */
  readonly #gone = { accepted: 0, refused: 0 };
  /** Settles when no connection can reach an older one any more. */
  #handedOver: Promise<void> = Promise.resolve();

  /** @throws {Failure} when `open` does. */
  constructor(open: Open, handler: Http1Handler, tls: Tls | undefined) {
    this.#open = open;
    this.#tls = tls;
    this.#bound = open(handler, tls);
  }

  /** 0 = a socket file. */
  get port(): number {
    return this.#bound.port;
  }

  /** Can anybody connect? */
  get isListening(): boolean {
    return this.#bound.isListening;
  }

  /** Connections of all its listeners. */
  get connections(): ConnectionReadings {
    const all = [this.#bound, ...this.#leaving];
    const sum = (of: (server: Http1Server) => number) =>
      all.reduce((total, server) => total + of(server), 0);
    return {
      open: sum(({ connections }) => connections),
      accepted: this.#gone.accepted + sum(({ accepted }) => accepted),
      refused: this.#gone.refused + sum(({ refused }) => refused),
    };
  }

  /** `handler` answers from now on. */
  reload(handler: Http1Handler): void {
    for (const server of [this.#bound, ...this.#leaving]) server.handler = handler;
  }

  /** Every connection is closed behind its next answer, so that its client opens a new one. */
  retire(): void {
    this.#bound.isClosing = true;
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
  async renew(handler: Http1Handler, tls: Tls): Promise<void> {
    if (this.shows(tls)) return;
    await this.#handedOver; // two at a time, since they are steered by their number
    const old = this.#bound;
    this.#bound = this.#open(handler, tls);
    this.#tls = tls;
    this.#leaving.add(old);
    old.handler = handler;
    old.isClosing = true;
    const isSteered = (await openSteering(this.port))?.steer(1, 1) === true;
    this.#handedOver = this.#handOver(old, this.port, isSteered);
  }

  /** What waits in the queue of `old` is still accepted; where nothing is steered, it is reset. */
  async #handOver(old: Http1Server, port: number, isSteered: boolean): Promise<void> {
    if (isSteered) await Bun.sleep(LINGER_MS);
    old.stopListening(); // at once, since its part of the port is given back below
    void old.stop().then(() => {
      this.#leaving.delete(old);
      this.#gone.accepted += old.accepted;
      this.#gone.refused += old.refused;
    });
    // Through the socket that is left: the one that was steered by may be gone.
    if (isSteered) (await openSteering(port))?.release();
  }

  /** Stops accepting. Resolves when every connection is closed; `isForced` closes them. */
  async stop(isForced = false): Promise<void> {
    const arrived = isForced ? undefined : refuseArrivals(this.port);
    await Promise.all([this.#bound, ...this.#leaving].map((one) => one.stop(isForced, arrived)));
  }
}
