/**
 * Admission before every surface: how many requests and streams there may be, of one process and of
 * one client. While no limit is reached it costs three comparisons.
 *
 * @module
 */

import type { Client } from "../core/facts.ts";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import type { OpenStream } from "../core/exchange.ts";
import { type AddressOf, customerOf } from "./client_address.ts";

/** The part of Bun's server that admission asks. */
export interface AdmissionListener {
  /** Requests that came in and are not wholly answered. */
  readonly pendingRequests: number;
  /** The peer of a request; null on a socket file. Some 600 ns. */
  requestIP(request: Request): { readonly address: string } | null;
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
const ALWAYS_OPEN = /^https?:\/\/[^/]*\/(?:health|metrics)(?:$|\?)/;

/** Lets requests in. One for the whole process. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #streams: ReadonlySet<OpenStream>;
  readonly #addressOf: AddressOf;
  /**
   * Open exchanges of each client, by `customerOf` its address; none without a limit for clients.
   */
  readonly #counts = new Map<string, number>();
  readonly #clients = new WeakMap<Request, Client>();
  /** True when clients are counted: the watchers then need `watch`. */
  readonly countsClients: boolean;
  /** True when clients are looked up: the engine then needs `clientOf`. */
  readonly knowsClients: boolean;

  constructor(options: AdmissionOptions, { streams, addressOf, wantsAddresses }: AdmissionDeps) {
    this.#options = options;
    this.#streams = streams;
    this.#addressOf = addressOf;
    this.countsClients = options.streams_per_client_max > 0;
    this.knowsClients = this.countsClients || wantsAddresses;
  }

  /** Why `request` may not come in; undefined = it may. */
  check(request: Request, listener: AdmissionListener | undefined): AppError | undefined {
    const { url_max_bytes, streams_max, requests_waiting_max } = this.#options;
    const client = this.knowsClients ? this.#meet(request, listener) : undefined;
    const { url } = request;
    if (url.length > url_max_bytes) return urlTooLong(url_max_bytes);
    const { size } = this.#streams;
    if (size >= streams_max && !ALWAYS_OPEN.test(url)) return streamsFull(streams_max);
    if (listener === undefined) return undefined;
    if (listener.pendingRequests - size > requests_waiting_max && !ALWAYS_OPEN.test(url)) {
      return requestsFull(requests_waiting_max);
    }
    return client === undefined ? undefined : this.#checkClient(request, client);
  }

  /** Looks up who asks, also when the request is turned away: its line in the log names them. */
  #meet(request: Request, listener: AdmissionListener | undefined): Client | undefined {
    if (listener === undefined) return undefined;
    const peer = listener.requestIP(request)?.address;
    const address = this.#addressOf(peer, request.headers);
    const client = { address, isCounted: false };
    this.#clients.set(request, client);
    return client;
  }

  #checkClient(request: Request, client: Client): AppError | undefined {
    if (!this.countsClients) return undefined;
    const { streams_per_client_max } = this.#options;
    if ((this.#counts.get(customerOf(client.address)) ?? 0) >= streams_per_client_max) {
      return ALWAYS_OPEN.test(request.url) ? undefined : clientFull(streams_per_client_max);
    }
    client.isCounted = true;
    return undefined;
  }

  /** Counts the exchange of a request that came in, and gives its client. */
  readonly clientOf = (request: Request): Client | undefined => {
    const client = this.#clients.get(request);
    if (client?.isCounted === true) {
      const customer = customerOf(client.address);
      this.#counts.set(customer, (this.#counts.get(customer) ?? 0) + 1);
    }
    return client;
  };

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
