/**
 * A connection to Redis that is there or away, and says which. While it is away nothing waits: whoever asks
 * is told so at once, and the connection is tried again by itself. Bun's client would wait for an answer
 * for ever and queue what it cannot send, so its own reconnecting and its queue are off.
 *
 * @module
 */

import type { Wheel } from "../lib/wheel.ts";
import type { Script } from "./scripts.ts";
import { cleaner, CLOSED, whyAway } from "./why_away.ts";

/** Answers may be here that a busy process has not read yet. */
const READING_MS = 20;
/** A timer that is so late says that the process was busy. */
const BUSY_MS = 50;
const CONNECT_MS_MAX = 1000;
/** Between two beats, which also find out that nobody is there any more. */
const BEAT_MS = 500;
/** Until it is tried again, and up to as much again: not all nodes at once. */
const RETRY_MS = 1000;

/** How it stands: not tried yet, there, away, or closed for good. */
export type LinkState = "joining" | "ok" | "away" | "closed";

/** What it needs. */
export interface LinkDeps {
  /** redis:// or rediss://, with user, password and the number of a database if they are needed. */
  readonly url: string;
  /** PEM text of certificate authorities to trust besides the usual ones; "" = none. */
  readonly ca: string;
  /** An answer that takes longer: it is away. Nothing that is asked takes it a millisecond. */
  readonly timeoutMs: number;
  readonly wheel: Wheel;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Done twice a second while it is there; what it rejects with ends the connection. */
  readonly beat: () => Promise<unknown>;
  /** Told of each change. `why`: without a secret; "" unless it is away. */
  readonly onState: (state: LinkState, why: string) => void;
}

/** Nobody can be asked. */
export class AwayError extends Error {}

/** The connection. */
export class RedisLink {
  readonly #deps: LinkDeps;
  readonly #closed = new AbortController();
  #client: Bun.RedisClient | undefined;
  #state: LinkState = "joining";
  #joins = 0;
  readonly #clean: (text: string) => string;
  #wake: (() => void) | undefined;
  /** What the client said last of why it has ended. */
  #told = "";

  constructor(deps: LinkDeps) {
    this.#deps = deps;
    this.#clean = cleaner(deps.url);
  }

  get state(): LinkState {
    return this.#state;
  }

  /** How often it has come to be there. */
  get joins(): number {
    return this.#joins;
  }

  /** Connects, and goes on to do so, until it is closed. */
  start(): void {
    void this.#live();
  }

  /** Runs `script`. @throws {AwayError} */
  run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args.map(String)];
    return this.ask((client) =>
      client.send("EVALSHA", [script.sha1, ...rest]).catch((error) => {
        if (!/^NOSCRIPT/.test(error.message)) throw error;
        return client.send("EVAL", [script.text, ...rest]);
      })
    );
  }

  /** What `question` gives. What the server refuses, or does not say in time, ends the connection. */
  async ask<Answer>(question: (client: Bun.RedisClient) => Promise<Answer>): Promise<Answer> {
    const client = this.#client;
    if (client === undefined || this.#state === "closed") throw new AwayError();
    try {
      return await timely(question(client), this.#deps.timeoutMs);
    } catch (error) {
      this.#fail(client, (error as Error).message);
      throw new AwayError();
    }
  }

  /** Ends it. */
  close(): void {
    this.#turn("closed", "");
    this.#closed.abort();
    this.#drop();
  }

  async #live(): Promise<void> {
    const { wheel, random, beat } = this.#deps;
    const { signal } = this.#closed;
    const rest = (ms: number) => wheel.until(wheel.nowMs + ms, signal);
    while (!signal.aborted) {
      this.#told = await this.#connect();
      let wasThere = false;
      if (this.#told === "") {
        try {
          await beat();
          this.#joins++;
          this.#turn("ok", "");
          wasThere = true;
          while (this.#client !== undefined) {
            const lost = new Promise<void>((resolve) => this.#wake = resolve);
            await Promise.race([rest(BEAT_MS), lost]);
            if (this.#client !== undefined) await beat();
          }
        } catch {
          // `ask` has told why.
        }
      }
      this.#drop();
      if (!wasThere && this.#state === "joining") {
        const why = await whyAway(this.#deps, this.#told || CLOSED, CONNECT_MS_MAX);
        this.#turn("away", why);
      }
      await rest(RETRY_MS * (1 + random()));
    }
    this.#drop();
  }

  /** What the client says of why it could not; "" = it is connected. */
  async #connect(): Promise<string> {
    const { url, ca } = this.#deps;
    const client = new Bun.RedisClient(url, {
      autoReconnect: false,
      enableOfflineQueue: false,
      connectionTimeout: CONNECT_MS_MAX,
      ...(ca === "" ? {} : { tls: { ca } }),
    });
    client.onclose = (error) => this.#fail(client, error?.message ?? "");
    try {
      await timely(client.connect(), CONNECT_MS_MAX);
      this.#client = client;
      return "";
    } catch (error) {
      client.onclose = null;
      client.close();
      return (error as Error).message;
    }
  }

  /** From now on nobody is asked. */
  #fail(client: Bun.RedisClient, why: string): void {
    if (this.#client !== client) return;
    this.#told = why;
    this.#drop();
    if (this.#state === "ok") {
      this.#turn("away", why === CLOSED ? "the connection has ended" : this.#clean(why));
    }
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) {
      client.onclose = null;
      client.close();
    }
    this.#wake?.();
  }

  #turn(state: LinkState, why: string): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.#deps.onState(state, why);
  }
}

/**
 * What `answer` gives, unless that takes longer than `ms`. Where this process itself was busy for so long, the
 * answer may be here and not read: it gets the time once more.
 */
async function timely<Answer>(answer: Promise<Answer>, ms: number): Promise<Answer> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const end = () => reject(new Error(`no answer within ${ms} ms`));
    const askedMs = performance.now();
    timer = setTimeout(() => {
      const wasBusy = performance.now() - askedMs > ms + BUSY_MS;
      timer = setTimeout(end, wasBusy ? ms : READING_MS);
    }, ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
    answer.catch(() => {}); // it may come to nothing later
  }
}
