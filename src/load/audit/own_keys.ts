/**
 * Keys that a gateway shows its upstream and that are none of the client's, and every error that it
 * gives a client: no error may hold one of them.
 *
 * @module
 */

import type { ClientExchange } from "./probe_client.ts";

/** Names of headers, in lower case, that hold secrets. */
export const SECRET_NAME =
  /authorization|cookie|(?<!idempotency-)key|token|secret|password|credential/;
/** Parameters of a URL that do. */
const SECRET_PARAMETER = /[?&][^=&\s]*(?:key|token|secret)[^=&\s]*=([^&\s]+)/gi;
/** What is shorter may stand anywhere. */
const SECRET_CHARS_MIN = 8;
/** Requests that are looked at: a gateway's key does not change. */
const HEADS_MAX = 2000;
/** Errors that are kept, and of each. */
const ERRORS_MAX = 2000;
const ERROR_CHARS_MAX = 64 * 1024;

/** What stands in a report in place of a key. */
export const KEY_SHOWN = "<KEY>";

/** Remembers both. */
export class OwnKeys {
  readonly #secrets = new Set<string>();
  readonly #clients = new Set<string>();
  readonly #errors = new Set<string>();
  #heads = 0;

  /** The client shows `value` to the gateway: no report says it, and no error should. */
  shown(value: string): void {
    if (value.length >= SECRET_CHARS_MIN) this.#clients.add(value);
  }

  /** A request is at the upstream with `head`, which the client sent with `clientHead`. */
  arrived(head: string, clientHead: string): void {
    if (this.#heads++ > HEADS_MAX) return;
    const [first = "", ...lines] = head.split("\r\n");
    const values = lines.flatMap((line) => {
      const colon = line.indexOf(":");
      if (!SECRET_NAME.test(line.slice(0, colon).toLowerCase())) return [];
      // "Bearer sk-1", "session=1; other=2": the last word is the secret, and so is each of several.
      return line.slice(colon + 1).split(/[\s;,]+/).map((word) => word.replace(/^[\w-]+=/, ""));
    });
    const parameters = [...first.matchAll(SECRET_PARAMETER)].map(([, value]) => value!);
    for (const value of [...values, ...parameters]) {
      if (value.length >= SECRET_CHARS_MIN && !clientHead.includes(value)) this.#secrets.add(value);
    }
  }

  /** An answer has ended. */
  answered(exchange: ClientExchange): void {
    const isError = exchange.status >= 400 || exchange.end === "broken";
    if (!isError || this.#errors.size >= ERRORS_MAX) return;
    const text = exchange.encoding === undefined
      ? exchange.wireText
      : `${exchange.headText}\r\n\r\n${exchange.body.toString("latin1")}`;
    this.#errors.add(text.slice(0, ERROR_CHARS_MAX));
  }

  /** How many keys of the gateway's own are known. */
  get count(): number {
    return this.#secrets.size;
  }

  /** How many errors differ. */
  get errors(): number {
    return this.#errors.size;
  }

  /** The errors that hold a key of the gateway's, hidden. */
  leaks(): readonly string[] {
    return this.#errorsWith(this.#secrets);
  }

  /** The errors that hold what the client has shown, hidden. */
  echoes(): readonly string[] {
    return this.#errorsWith(this.#clients);
  }

  /** `text` with `KEY_SHOWN` in place of each key, so that a report does not leak what it finds. */
  hide(text: string): string {
    let hidden = text;
    for (const secret of [...this.#secrets, ...this.#clients]) {
      for (const form of formsOf(secret)) hidden = hidden.replaceAll(form, KEY_SHOWN);
    }
    return hidden;
  }

  #errorsWith(values: ReadonlySet<string>): readonly string[] {
    const forms = [...values].flatMap(formsOf);
    return [...this.#errors].filter((text) => forms.some((form) => text.includes(form)))
      .map((text) => this.hide(text));
  }
}

/** A secret as it is, and what is the same of each Base64 that has it inside, wherever it begins there. */
function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const encoded = [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes]).toString("base64").slice(
      Math.ceil(before * 8 / 6),
      Math.floor((before + bytes.length) * 8 / 6),
    )
  );
  return [secret, ...encoded];
}
