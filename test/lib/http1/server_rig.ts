/**
 * A server whose wheel a test turns by hand, what it was asked, and clients of it.
 *
 * @module
 */

import { afterEach } from "bun:test";
import type { Http1Error } from "../../../src/lib/http1/error.ts";
import type { Http1Server, Http1ServerOptions } from "../../../src/lib/http1/server.ts";
import type {
  BodySink,
  ClientListener,
  ServerExchange,
} from "../../../src/lib/http1/server_exchange.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import { waitFor } from "../../server/launch.ts";
import { listen } from "./listen.ts";
import { RawSocket } from "./raw_socket.ts";

/** A limit of the rig's server, and a time that lasts longer than it. */
export const LIMIT_MS = 1000;
export const OVER_MS = 1300;

/** A target that the rig answers by itself. */
const BARRIER = "/barrier";

/** Hears of a client, and counts what it hears. */
export class Listener implements ClientListener {
  drains = 0;
  leaves = 0;

  onDrain(): void {
    this.drains++;
  }

  onLeave(): void {
    this.leaves++;
  }
}

/** Takes a body, and notes what becomes of it. */
export class Taker implements BodySink {
  text = "";
  pieces = 0;
  isWhole = false;
  /** Null = it broke off, and no error says why. */
  broken: Http1Error | null | undefined = undefined;

  onBytes(bytes: Buffer): void {
    this.text += bytes.toString("latin1");
    this.pieces++;
  }

  onBodyEnd(): void {
    this.isWhole = true;
  }

  onBodyBroken(error: Http1Error | undefined): void {
    this.broken = error ?? null;
  }
}

/** What a test's handler does with a request. */
export type Answer = (exchange: ServerExchange) => void;

/** Answers with the target. */
export const echo: Answer = (exchange) => exchange.whole(200, {}, exchange.head.target);

/** Answers never, unless the test does. */
export const hold: Answer = () => {};

/** A server, and what came to it. */
export class ServerRig {
  readonly server: Http1Server;
  /** Every request that was handed to the handler. */
  readonly exchanges: ServerExchange[] = [];
  /** What is wrong with those that are none. */
  readonly faults: string[] = [];
  /** The targets of the requests that came. */
  readonly targets: string[] = [];
  /** What handlers have thrown. */
  readonly bugs: Error[] = [];
  readonly #clients: RawSocket[] = [];
  readonly #wheel: Wheel;
  #nowMs = 0;

  constructor(answer: Answer = echo, options: Partial<Omit<Http1ServerOptions, "handler">> = {}) {
    this.#wheel = new Wheel(() => this.#nowMs, () => {});
    this.server = listen((exchange) => {
      if (exchange.head.target === BARRIER) {
        return exchange.whole(204, { connection: "close" }, null);
      }
      this.exchanges.push(exchange);
      this.targets.push(exchange.head.target);
      answer(exchange);
    }, {
      onBadRequest: (exchange, { code }) => {
        this.faults.push(code);
        exchange.whole(400, {}, code);
      },
      wheel: this.#wheel,
      headTimeoutMs: LIMIT_MS,
      idleTimeoutMs: LIMIT_MS,
      writeTimeoutMs: LIMIT_MS,
      onBug: (error) => void this.bugs.push(error),
      ...options,
    });
  }

  /** Connects, sends `bytes`, and reads `bytesMax` bytes at the least. */
  async client(bytes: string | Uint8Array = "", bytesMax?: number): Promise<RawSocket> {
    const { connections } = this.server;
    const client = await RawSocket.open(this.server.port, bytesMax);
    this.#clients.push(client);
    await waitFor(() => this.server.connections > connections, "the connection to be taken");
    client.send(bytes);
    return client;
  }

  /** Waits until request `index` is here. */
  request(index: number): Promise<ServerExchange> {
    return waitFor(() => this.exchanges[index], `request ${index}`);
  }

  /** Waits until the server has seen everything that was sent before. */
  async barrier(): Promise<void> {
    const client = await RawSocket.open(this.server.port);
    client.send(get(BARRIER));
    await client.untilFin();
    client.finish();
    await client.untilClosed();
  }

  /** Moves the clock on. */
  pass(ms: number): void {
    for (const endMs = this.#nowMs + ms; this.#nowMs < endMs;) {
      this.#nowMs = Math.min(endMs, this.#nowMs + 10);
      this.#wheel.turn();
    }
  }

  /** What is open: connections, and requests that are not answered. */
  get open(): readonly [connections: number, requests: number] {
    return [this.server.connections, this.server.requestsOpen];
  }

  /** Waits until nothing is open. */
  untilFree(): Promise<unknown> {
    return waitFor(() => this.server.connections === 0, "all connections to be closed");
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.reset();
    await this.server.stop(true);
  }
}

/** What makes rigs for the tests of the file that calls this; each is closed after its test. */
export function servingRigs() {
  const rigs: ServerRig[] = [];
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.close();
  });
  return (...given: ConstructorParameters<typeof ServerRig>): ServerRig => {
    const rig = new ServerRig(...given);
    rigs.push(rig);
    return rig;
  };
}

/** A request for `target`. */
export function get(target: string, fields: readonly string[] = []): string {
  return message("GET", target, fields, "");
}

/** A request with a body and its length. */
export function post(target: string, body: string, fields: readonly string[] = []): string {
  return message("POST", target, [`Content-Length: ${body.length}`, ...fields], body);
}

/** A request with a chunked body of `chunks`. */
export function postChunks(target: string, ...chunks: readonly string[]): string {
  const body = [...chunks, ""].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`);
  return message("POST", target, ["Transfer-Encoding: chunked"], body.join(""));
}

/** A request as given. */
export function message(
  method: string,
  target: string,
  fields: readonly string[],
  body: string,
  version = "1.1",
): string {
  return [`${method} ${target} HTTP/${version}`, "Host: x", ...fields, "", body].join("\r\n");
}

/** One answer as it came. */
export interface Read {
  readonly status: number;
  /** By name. */
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Every answer in `text`; `methods` are those of the requests: HEAD has no body. Throws at a rest. */
export function answersIn(text: string, methods: readonly string[] = []): readonly Read[] {
  const found: Read[] = [];
  for (let at = 0; at < text.length;) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    if (headEnd < 0) throw new Error(`No head: ${text.slice(at, at + 200)}`);
    const [line = "", ...lines] = text.slice(at, headEnd).split("\r\n");
    const fields = Object.fromEntries(lines.map((line) => line.split(/:\s*(.*)/s, 2)));
    const status = Number(line.slice(9, 12));
    at = headEnd + 4;
    let body = "";
    if (methods[found.length] === "HEAD" || status === 204 || status === 304 || status === 100) {
      // There is none.
    } else if (fields["transfer-encoding"] === "chunked") {
      for (let size = -1; size !== 0;) {
        const sizeEnd = text.indexOf("\r\n", at);
        size = parseInt(text.slice(at, sizeEnd), 16);
        if (sizeEnd < 0 || !(size >= 0)) throw new Error(`No chunk: ${text.slice(at, at + 50)}`);
        body += text.slice(sizeEnd + 2, sizeEnd + 2 + size);
        at = sizeEnd + 4 + size;
        if (text.slice(at - 2, at) !== "\r\n") throw new Error("A chunk has no end");
      }
    } else if (fields["content-length"] === undefined) {
      body = text.slice(at);
      at = text.length;
    } else {
      const end = at + Number(fields["content-length"]);
      if (end > text.length) throw new Error(`A body lacks ${end - text.length} bytes`);
      body = text.slice(at, end);
      at = end;
    }
    found.push({ status, fields, body });
  }
  return found;
}

/** The bodies of every answer in `text`. */
export function bodiesIn(text: string): readonly string[] {
  return answersIn(text).map(({ body }) => body);
}
