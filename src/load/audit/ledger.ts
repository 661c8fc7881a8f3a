/**
 * The raw ledger of an audit, as JSON lines: who wrote what and when, on the one clock, so that every
 * verdict can be worked out again by somebody else.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { CANARY } from "./finding.ts";
import { SECRET_NAME } from "./own_keys.ts";
import type { ClientConnection } from "./probe_client.ts";
import type { Asked, Way, Witness } from "./rig.ts";
import { headFields } from "./head_fields.ts";
import { type Attempt, type ScriptedUpstream } from "./scripted_upstream.ts";

/** Of all lines. What is more is counted in the last one. */
const LINES_CHARS_MAX = 256 * 1024 * 1024;
/** Of one check: an overload asks tens of thousands of times the same. */
const REQUESTS_MAX = 2000;
/** Of one direction of one request. Of what is more, times and sizes are told. */
const SHOWN_BYTES_MAX = 512 * 1024;

/** What is shorter may stand in any word. */
const SECRET_CHARS_MIN = 6;
/** A gateway has a few: whoever has a new one for each request has no secrets. */
const SECRETS_MAX = 200;

/** Where a ledger goes. */
export interface LedgerOptions {
  /** Takes a line, without its end. */
  readonly write: (line: string) => void;
  /** Takes secrets out of a text. */
  readonly clean: (text: string) => string;
  /** Of all lines; 256 Mi unless given. */
  readonly charsMax?: number;
}

/** Bytes that went or came in one go: `bytes` has a character for each, and is not there beyond the limit. */
interface Piece {
  readonly atMs: number;
  readonly size: number;
  readonly bytes?: string;
}

/** Writes what happens; times are milliseconds since it was made. */
export class Ledger implements Witness {
  readonly #options: LedgerOptions;
  readonly #startMs = performance.now();
  readonly #check = new AsyncLocalStorage<{ readonly name: string; readonly kept: Kept[] }>();
  readonly #numbers = new WeakMap<ClientConnection, number>();
  #connections = 0;
  #chars = 0;
  #linesLeftOut = 0;
  #isOver = false;
  readonly #secrets = new Set<string>();
  #requestsLeftOut = 0;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** The first line: what was audited, with which seed. */
  begin(gateway: string, seed: number, upstream: ScriptedUpstream): void {
    this.#line({ kind: "audit", schema: 1, gateway, seed, startedAt: new Date().toISOString() });
    upstream.onConnection = (connection, event) =>
      this.#line({ kind: "connection", side: "upstream", connection, event, atMs: this.#now() });
  }

  /** Runs a check; what is asked in it is written when it is over. */
  async during<T>(name: string, run: () => Promise<T>): Promise<T> {
    const kept: Kept[] = [];
    const startMs = this.#now();
    try {
      return await this.#check.run({ name, kept }, run);
    } finally {
      for (const { asked } of kept) {
        for (const { headText } of asked.expectation.attempts) this.#learn(headText);
      }
      for (const one of kept) this.#line(this.#request(name, one));
      this.#line({ kind: "check", check: name, startMs, endMs: this.#now() });
    }
  }

  /** A connection of the client's is open. */
  opened(way: Way, connection: ClientConnection): void {
    const number = ++this.#connections;
    this.#numbers.set(connection, number);
    const tell = (event: string) =>
      this.#line({
        kind: "connection",
        side: "client",
        connection: number,
        way,
        event,
        atMs: this.#now(),
      });
    tell("opened");
    connection.onClosed = (wasReset) => tell(wasReset ? "reset" : "closed");
  }

  /** A request was sent, with this body. */
  asked(way: Way, asked: Asked, body: string): void {
    const kept = this.#check.getStore()?.kept;
    if (kept === undefined) return; // the greeting
    if (kept.length < REQUESTS_MAX) kept.push({ way, asked, body });
    else this.#requestsLeftOut++;
  }

  /** The last line. Connections that end later are in none. */
  end(): void {
    this.#chars = -Infinity; // there is always room for it
    this.#line({
      kind: "end",
      atMs: this.#now(),
      requestsLeftOut: this.#requestsLeftOut,
      linesLeftOut: this.#linesLeftOut,
    });
    this.#isOver = true;
  }

  #request(check: string, { way, asked, body }: Kept) {
    const { mark, exchange, connection, expectation } = asked;
    return {
      kind: "request",
      check,
      mark,
      way,
      client: {
        connection: this.#numbers.get(connection),
        sentMs: this.#at(exchange.sentMs),
        body: Buffer.from(body).toString("latin1", 0, SHOWN_BYTES_MAX),
        headMs: this.#at(exchange.headMs),
        endMs: this.#at(exchange.endMs),
        end: exchange.end,
        fault: exchange.fault === "" ? undefined : exchange.fault,
        status: exchange.status,
        bodyBytes: exchange.bodyBytes,
        reads: this.#pieces(exchange.reads),
      },
      upstream: expectation.attempts.map((attempt) => this.#attempt(attempt)),
    };
  }

  #attempt(attempt: Attempt) {
    return {
      connection: attempt.connection,
      ordinal: attempt.ordinal,
      arrivedMs: this.#at(attempt.arrivedMs),
      head: attempt.headText,
      body: attempt.body.toString("latin1", 0, SHOWN_BYTES_MAX),
      writes: this.#pieces(attempt.writes),
      leftMs: this.#at(attempt.leftMs),
      leaving: attempt.leaving,
    };
  }

  #pieces(
    all: readonly { readonly atMs: number; readonly bytes: Uint8Array }[],
  ): readonly Piece[] {
    let shown = 0;
    return all.map(({ atMs, bytes }) => {
      shown += bytes.length;
      return {
        atMs: this.#at(atMs),
        size: bytes.length,
        ...(shown > SHOWN_BYTES_MAX ? {} : { bytes: Buffer.from(bytes).toString("latin1") }),
      };
    });
  }

  /** The keys that a gateway has of its own for its provider are nobody's business, wherever they stand. */
  #learn(headText: string): void {
    for (const [name, value] of headFields(headText)) {
      if (!SECRET_NAME.test(name) || value.includes(CANARY)) continue;
      // "Bearer sk-1" is the last word, and so is the value of a cookie.
      const secrets = [value, value.replace(/^.*[\s=]/, "")];
      for (const secret of secrets) {
        const isRoom = this.#secrets.size < SECRETS_MAX;
        if (isRoom && secret.length >= SECRET_CHARS_MIN) this.#secrets.add(secret);
      }
    }
  }

  #line(value: unknown): void {
    if (this.#isOver) return;
    let line = this.#options.clean(JSON.stringify(value));
    for (const secret of this.#secrets) line = line.replaceAll(secret, "***");
    if (this.#chars + line.length > (this.#options.charsMax ?? LINES_CHARS_MAX)) {
      this.#linesLeftOut++;
      return;
    }
    this.#chars += line.length + 1;
    this.#options.write(line);
  }

  #now(): number {
    return this.#at(performance.now());
  }

  /** Microseconds are as fine as it gets. */
  #at<T extends number | undefined>(timeMs: T): T {
    return (timeMs === undefined
      ? undefined
      : Math.round((timeMs - this.#startMs) * 1000) / 1000) as T;
  }
}

interface Kept {
  readonly way: Way;
  readonly asked: Asked;
  readonly body: string;
}
