/**
 * An answer behind which its connection ends: to a request of HTTP/1.0, which knows no chunks and
 * whose bodies end with the connection (RFC 9112 6.1), or to one that said `Connection: close`
 * (9.6). Scripts write as if neither were so.
 *
 * @module
 */

import { BodyDecoder } from "../../lib/http1/framing.ts";
import { PREFIX } from "../../lib/http1/head.ts";
import { HEAD_BYTES_MAX } from "../../lib/http1/parser.ts";
import { headFields } from "./head_fields.ts";

/** What a request's head says of its answer. */
export interface AnswerForm {
  readonly isHttp10: boolean;
  /** The connection ends behind it. */
  readonly isLast: boolean;
  /** It is to HEAD. */
  readonly isBodiless: boolean;
}

/** `close` among what `Connection` says. */
const CLOSES = /\r\nconnection:(?:[^\r\n]*,)?[ \t]*close[ \t]*(?:,|\r\n|$)/i;

/** Reads it. An answer to HTTP/1.0 is the last one: without chunks nothing else ends it. */
export function answerForm(headText: string): AnswerForm {
  const [line = ""] = headText.split("\r\n", 1);
  const isHttp10 = line.endsWith(" HTTP/1.0");
  const isBodiless = line.startsWith("HEAD ");
  return { isHttp10, isLast: isHttp10 || CLOSES.test(headText), isBodiless };
}

/** Headers that only a body in chunks has. */
const CHUNKED = /^(?:transfer-encoding|trailer):/i;

/** Makes of what a script writes what its client understands, as far as it has come. */
export class LastAnswer {
  readonly #form: AnswerForm;
  readonly #body = new BodyDecoder("response");
  /** What is here of the head, as text of one character a byte; undefined = it has gone. */
  #head: string | undefined = "";
  /** What comes is no answer that can be read: it goes as it is. */
  #isRaw = false;
  #endsWithConnection = false;

  constructor(form: AnswerForm) {
    this.#form = form;
  }

  /** True when all of it has been written. */
  get isDone(): boolean {
    return this.#head === undefined && !this.#isRaw && this.#body.isDone;
  }

  /** True while the end of the connection would look like the end of the answer, and is not. */
  get wouldLookWhole(): boolean {
    return this.#endsWithConnection && !this.isDone;
  }

  /** What to write for `bytes`, which are behind those before. */
  take(bytes: Uint8Array): Uint8Array {
    if (this.#isRaw) return bytes;
    if (this.#head === undefined) return this.#fromBody(bytes);
    this.#head += Buffer.from(bytes).toString("latin1");
    const end = this.#head.indexOf("\r\n\r\n");
    const isHttp = PREFIX.startsWith(this.#head.slice(0, PREFIX.length));
    if (!isHttp) return this.rest();
    if (end < 0) return Buffer.alloc(0);
    const rest = Buffer.from(this.#head.slice(end + 4), "latin1");
    const head = this.#begin(this.#head.slice(0, end));
    this.#head = undefined;
    return Buffer.concat([head, this.#fromBody(rest)]);
  }

  /** What has been kept of a head that ends in the middle. */
  rest(): Uint8Array {
    if (this.#head === undefined) return Buffer.alloc(0);
    const kept = Buffer.from(this.#head, "latin1");
    this.#head = undefined;
    this.#isRaw = true;
    return kept;
  }

  #begin(text: string): Buffer {
    const fields = headFields(text);
    const valueOf = (name: string) => fields.find(([key]) => key === name)?.[1];
    const isChunked = valueOf("transfer-encoding")?.toLowerCase() === "chunked";
    const length = valueOf("content-length");
    this.#endsWithConnection = isChunked && this.#form.isHttp10;
    const framing = this.#form.isBodiless
      ? "none"
      : isChunked
      ? "chunked"
      : length === undefined
      ? "close"
      : "length";
    this.#body.begin(framing, Number(length ?? 0), HEAD_BYTES_MAX, text.length);
    const lines = text.split("\r\n").filter((line) => !this.#form.isHttp10 || !CHUNKED.test(line));
    return Buffer.from([...lines, "connection: close", "", ""].join("\r\n"), "latin1");
  }

  #fromBody(bytes: Uint8Array): Uint8Array {
    const pieces: Buffer[] = [];
    try {
      // The decoder moves what is in them.
      const copy = Buffer.from(bytes);
      if (!this.#body.isDone) {
        this.#body.read(copy, 0, { onBody: (piece) => void pieces.push(Buffer.from(piece)) });
      }
    } catch {
      this.#isRaw = true;
      return bytes;
    }
    return this.#form.isHttp10 ? Buffer.concat(pieces) : bytes;
  }
}
