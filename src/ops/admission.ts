/**
 * Admission before every surface: how many requests and streams there may be, of one process and of
 * one client. While no limit is reached it costs three comparisons.
 *
 * @module
 */

import type { RequestHead } from "../lib/http1/request_head.ts";
import type { Client } from "../core/facts.ts";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import type { OpenStream } from "../core/exchange.ts";
import { type AddressOf, customerOf } from "./client_address.ts";

/** A request that asks to be let in. */
export interface Arrival {
  readonly head: RequestHead;
  /** The address at the other end; undefined on a socket file. */
  readonly peer: string | undefined;
  /** Requests that came in and are not wholly answered. */
  readonly requestsOpen: number;
}

/** The limits; from the `server` section of the config. */
export interface AdmissionOptions {
  readonly url_max_bytes: number;
  readonly streams_max: number;
  /** 0 = no limit. */
  readonly streams_per_client_max: number;
  readonly requests_waiting_max: number;
}

/** What admission needs. */
export interface AdmissionDeps {
  readonly streams: ReadonlySet<OpenStream>;
  readonly addressOf: AddressOf;
  /** True when somebody wants the client's address of every request, counted or not. */
  readonly wantsAddresses: boolean;
}

/** Seconds after which a client that was turned away may try again. */
const RETRY_AFTER = { "retry-after": "1" };

/** What operators and load balancers ask is answered at every limit. */
const ALWAYS_OPEN = /^\/(?:health|metrics)(?:$|\?)/;

/** Lets requests in. One for the whole process. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #streams: ReadonlySet<OpenStream>;
  readonly #addressOf: AddressOf;
  /**
   * Open exchanges of each client, by `customerOf` its address; none without a limit for clients.
   */
  readonly #counts = new Map<string, number>();
  /** True when clients are counted: the watchers then need `watch`. */
  readonly countsClients: boolean;
  readonly #knowsClients: boolean;

  constructor(options: AdmissionOptions, { streams, addressOf, wantsAddresses }: AdmissionDeps) {
    this.#options = options;
    this.#streams = streams;
    this.#addressOf = addressOf;
    this.countsClients = options.streams_per_client_max > 0;
    this.#knowsClients = this.countsClients || wantsAddresses;
  }

  /**
   * Who asks, also for a request that is turned away: its line in the log names them. Undefined =
   * nobody wants to know.
   */
  clientOf({ head, peer }: Pick<Arrival, "head" | "peer">): Client | undefined {
    if (!this.#knowsClients) return undefined;
    return { address: this.#addressOf(peer, head.fields), isCounted: false };
  }

  /** Why a request of `client` may not come in; undefined = it may. */
  check(
    { head: { target }, requestsOpen }: Arrival,
    client: Client | undefined,
  ): AppError | undefined {
    const { url_max_bytes, streams_max, requests_waiting_max } = this.#options;
    if (target.length > url_max_bytes) return urlTooLong(url_max_bytes);
    const { size } = this.#streams;
    if (size >= streams_max && !ALWAYS_OPEN.test(target)) return streamsFull(streams_max);
    if (requestsOpen - size > requests_waiting_max && !ALWAYS_OPEN.test(target)) {
      return requestsFull(requests_waiting_max);
    }
    return client === undefined ? undefined : this.#checkClient(target, client);
  }

  #checkClient(target: string, { address }: Client): AppError | undefined {
    if (!this.countsClients) return undefined;
    const { streams_per_client_max } = this.#options;
    if ((this.#counts.get(customerOf(address)) ?? 0) < streams_per_client_max) return undefined;
    return ALWAYS_OPEN.test(target) ? undefined : clientFull(streams_per_client_max);
  }

  /** Counts the exchange that begins for `client`, until `watch` hears of its end. */
  count(client: Client | undefined): void {
    if (client === undefined || !this.countsClients) return;
    client.isCounted = true;
    const customer = customerOf(client.address);
    this.#counts.set(customer, (this.#counts.get(customer) ?? 0) + 1);
  }

  /** Forgets exchanges that end. */
  readonly watch: Watch = (event) => {
    if (event.kind !== "exchange_ended" || event.exchange.client?.isCounted !== true) return;
    const customer = customerOf(event.exchange.client.address);
    const count = (this.#counts.get(customer) ?? 0) - 1;
    if (count > 0) this.#counts.set(customer, count);
    else this.#counts.delete(customer);
  };
}

function urlTooLong(bytesMax: number): AppError {
  return new AppError(
    "url_too_long",
    `The URL is longer than ${bytesMax} bytes. Send a shorter one, or raise server.url_max_bytes.`,
  );
}

function streamsFull(streamsMax: number): AppError {
  return new AppError(
    "streams_full",
    `The server has ${streamsMax} open streams already (server.streams_max): try again`,
    { headers: RETRY_AFTER },
  );
}

function clientFull(perClientMax: number): AppError {
  return new AppError(
    "client_streams_full",
    `You have ${perClientMax} open requests already (server.streams_per_client_max): ` +
      "wait for one to end",
    { headers: RETRY_AFTER },
  );
}

function requestsFull(waitingMax: number): AppError {
  return new AppError(
    "requests_full",
    `The server has ${waitingMax} waiting requests already (server.requests_waiting_max): try again`,
    { headers: RETRY_AFTER },
  );
}
