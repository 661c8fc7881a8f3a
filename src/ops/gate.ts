/**
 * The gate before every surface: how many requests and streams there may be, of one process and of
 * one client. While no limit is reached it costs three comparisons.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import type { OpenStream } from "../core/exchange.ts";
import type { AddressOf } from "./client_address.ts";

/** The part of Bun's server that the gate asks. */
export interface GateListener {
  /** Requests that came in and are not wholly answered. */
  readonly pendingRequests: number;
  /** The peer of a request; null on a socket file. Some 600 ns. */
  requestIP(request: Request): { readonly address: string } | null;
}

/** The limits; from the `server` section of the config. */
export interface GateOptions {
  readonly url_max_bytes: number;
  readonly streams_max: number;
  /** 0 = no limit, and no address is ever looked up. */
  readonly streams_per_client_max: number;
  readonly requests_waiting_max: number;
}

/** Seconds after which a client that was turned away may try again. */
const RETRY_AFTER = { "retry-after": "1" };

/** What operators and load balancers ask is answered at every limit. */
const ALWAYS_OPEN = /^https?:\/\/[^/]*\/(?:health|metrics)(?:$|\?)/;

/** Lets requests in. One for the whole process. */
export class Gate {
  readonly #options: GateOptions;
  readonly #streams: ReadonlySet<OpenStream>;
  readonly #addressOf: AddressOf;
  /** Open exchanges of each client; none without a limit for clients. */
  readonly #counts = new Map<string, number>();
  readonly #clients = new WeakMap<Request, string>();

  constructor(options: GateOptions, streams: ReadonlySet<OpenStream>, addressOf: AddressOf) {
    this.#options = options;
    this.#streams = streams;
    this.#addressOf = addressOf;
  }

  /** True when clients are counted: the engine then needs `admit`, and the watchers `watch`. */
  get countsClients(): boolean {
    return this.#options.streams_per_client_max > 0;
  }

  /** Why `request` may not come in; undefined = it may. */
  check(request: Request, listener: GateListener | undefined): AppError | undefined {
    const { url_max_bytes, streams_max, requests_waiting_max } = this.#options;
    const { url } = request;
    if (url.length > url_max_bytes) return urlTooLong(url_max_bytes);
    const { size } = this.#streams;
    if (size >= streams_max && !ALWAYS_OPEN.test(url)) return streamsFull(streams_max);
    if (listener === undefined) return undefined;
    if (listener.pendingRequests - size > requests_waiting_max && !ALWAYS_OPEN.test(url)) {
      return requestsFull(requests_waiting_max);
    }
    return this.countsClients ? this.#checkClient(request, listener) : undefined;
  }

  #checkClient(request: Request, listener: GateListener): AppError | undefined {
    const { streams_per_client_max } = this.#options;
    const peer = listener.requestIP(request)?.address;
    const client = this.#addressOf(peer, request.headers.get("x-forwarded-for"));
    if ((this.#counts.get(client) ?? 0) >= streams_per_client_max) {
      return ALWAYS_OPEN.test(request.url) ? undefined : clientFull(streams_per_client_max);
    }
    this.#clients.set(request, client);
    return undefined;
  }

  /** Counts the exchange of a request that came in, and gives its client's address. */
  readonly admit = (request: Request): string => {
    const client = this.#clients.get(request);
    if (client === undefined) return ""; // turned away: its exchange only tells so
    this.#counts.set(client, (this.#counts.get(client) ?? 0) + 1);
    return client;
  };

  /** Forgets exchanges that end. */
  readonly watch: Watch = (event) => {
    if (event.kind !== "exchange_ended" || event.exchange.client === "") return;
    const { client } = event.exchange;
    const count = (this.#counts.get(client) ?? 0) - 1;
    if (count > 0) this.#counts.set(client, count);
    else this.#counts.delete(client);
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
