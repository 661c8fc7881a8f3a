/**
 * Talks to weir: the token goes along, a 401 asks for one, an error becomes one sentence.
 *
 * @module
 */

import { isAbort, messageOf, ReadableError } from "./readable_error.ts";
import { readSchemas, type WorkflowSchema } from "./schema.ts";
import type { Token } from "./token.ts";
import type { Wording } from "./wording.ts";

/** The most characters of an error that are shown. */
const ERROR_CHARS_MAX = 4000;

/** One weir. */
export class Api {
  /** What the paths below stand behind; ends with a slash. */
  readonly base: URL;
  readonly #token: Token;
  readonly #wording: Wording;

  constructor(base: URL, token: Token, wording: Wording) {
    this.base = base;
    this.#token = token;
    this.#wording = wording;
  }

  /** True when requests carry a token. */
  get hasToken(): boolean {
    return this.#token.value !== null;
  }

  /**
   * Fetches `path`. Only good answers come back.
   *
   * @throws {ReadableError} weir cannot be reached, or answers with an error.
   * @throws {DOMException} `AbortError` when `init.signal` aborts.
   */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    for (;;) {
      const token = this.#token.value;
      const headers = new Headers(init.headers);
      if (token !== null) headers.set("authorization", `Bearer ${token}`);
      const response = await this.#reach(path, { ...init, headers });
      if (response.ok) return response;
      if (response.status !== 401) throw await this.#error(response);
      if (!await this.#token.ask(token)) {
        throw new ReadableError(this.#wording.text("token_missing"));
      }
    }
  }

  /** Every workflow with its schema. */
  async workflows(): Promise<readonly WorkflowSchema[]> {
    const response = await this.fetch("api/workflows?include_schema=true");
    return readSchemas(await response.json());
  }

  /** Runs a workflow. `body` is what the run API takes: JSON text, or a form when there are files. */
  run(body: string | FormData, signal: AbortSignal): Promise<Response> {
    const headers: HeadersInit = typeof body === "string"
      ? { "content-type": "application/json" }
      : {}; // a form names its boundary itself
    return this.fetch("api/workflows/runs", { method: "POST", headers, body, signal });
  }

  async #reach(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(new URL(path, this.base), { ...init, credentials: "omit" });
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ReadableError(this.#wording.text("error_unreachable"), { cause: error });
    }
  }

  async #error(response: Response): Promise<ReadableError> {
    const text = await response.text().catch(() => "");
    const message = messageOf(text) ?? this.#wording.text("error_status", String(response.status));
    return new ReadableError(message.slice(0, ERROR_CHARS_MAX));
  }
}
