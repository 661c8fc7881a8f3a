/**
 * weir in tests: starts it, says what it answers, and tells what was asked of it.
 *
 * ```ts
 * const weir = await startWeir();
 * await weir.fixtures.add({ match: { userMessage: "Hi" }, response: { content: "Hello!" } });
 * // … a client with baseURL: weir.baseURL …
 * await weir.verify({ match: { userMessage: "Hi" } }, 1);
 * await weir.stop();
 * ```
 *
 * @module
 */

import process from "node:process";
import { WeirClient, WeirSession } from "./client.ts";
import { type Started, type StartOptions, startProcess } from "./start.ts";

export * from "./fixtures.ts";
export {
  type JournalRequest,
  type ListedFixture,
  type RequestFilter,
  SESSION_HEADER,
  type Times,
  VerifyError,
  WeirClient,
  WeirError,
  WeirSession,
} from "./client.ts";
export type { StartOptions } from "./start.ts";

let sessions = 0;

/** A weir of one's own. */
export class Weir extends WeirClient {
  readonly pid: number;
  readonly #started: Started;
  readonly #token: string | undefined;

  constructor(started: Started, token?: string) {
    super(started.url, { token });
    this.pid = started.pid;
    this.#started = started;
    this.#token = token;
  }

  /** A client with fixtures, counters and a journal of its own: tests run side by side then. */
  session(name = `session-${process.pid}-${++sessions}`): WeirSession {
    return new WeirSession(this.url, name, this.#token);
  }

  /** Ends it. Safe to call again. */
  stop(): Promise<void> {
    return this.#started.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/**
 * Starts weir on a free port and gives it once it answers. It ends with `stop`, and else with this
 * process, however that ends.
 *
 * @throws {Error} when it does not start, with what it has printed.
 */
export async function startWeir(options: StartOptions = {}): Promise<Weir> {
  return new Weir(await startProcess(options), options.token);
}
