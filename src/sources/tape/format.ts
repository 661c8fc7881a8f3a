/**
 * Tapes as files: one exchange with an upstream, as it crossed the wire. JSON lines, so that whoever
 * looks into one can read it.
 *
 *   {"n":1,"tape":1,"id":"01J…","when":"2026-…Z","weir":"…","upstream":"llm","host":"api…:443",
 *    "base":"/v1","dialect":"openai_chat","crc":"…"}
 *   {"n":2,"request":"POST","path":"/chat/completions","fields":[["host","api…"],…],"crc":"…"}
 *   {"n":3,"sent":"{\"model\":…"}                     the request's body, in pieces; or "sent64"
 *   {"n":4,"response":200,"us":312345,"reason":"OK","fields":[…],"crc":"…"}
 *   {"n":5,"read":"data: {…}\n\n","us":312401,…}       the answer's body, read by read; or "read64"
 *   {"n":6,"redacted":[{"where":"request.field","name":"authorization","at":7,"bytes":51,"by":"name"}],…}
 *   {"n":7,"end":"whole","us":890123,"sent_bytes":…,"sent_sha256":"…","read_bytes":…,"read_sha256":"…"}
 *
 * `us`: microseconds since the request's last byte had left. What is secret stands there as so many
 * asterisks, so that all else keeps its place. `crc` is the CRC-32 of the line before it, begun with
 * that of the line before: whatever is changed, left out or cut off is found, and where.
 *
 * A file is called `<id>.tape.jsonl`, and `<id>.tape.jsonl.partial` until its last line is written.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { z } from "zod";
import type { DialectName } from "../../core/answer.ts";
import type { Field } from "../../lib/http1/fields.ts";

/** The version of the format that is written, and the only one that is read. */
export const TAPE_VERSION = 1;

/** How the name of a whole tape ends. */
export const TAPE_ENDING = ".tape.jsonl";

/** How the name of one ends whose last line is not written. It is never replayed. */
export const PARTIAL_ENDING = `${TAPE_ENDING}.partial`;

/** What stands for each byte of a secret. */
export const REDACTED = "*";

/** How an exchange ended. */
export type TapeEnd =
  /** The answer is whole, as HTTP says it. */
  | "whole"
  /** weir gave the answer up: its client had left, or it asked again. */
  | "client_left"
  /** The upstream closed the connection, or sent what is no HTTP. */
  | "upstream_broke"
  /** A time limit of weir's ended it. */
  | "timed_out";

/** Where a secret stood. */
export type RedactedWhere =
  | "request.path"
  | "request.field"
  | "request.body"
  | "response.field"
  | "response.body";

/** Why it was taken for one: by the field's name, as a key that weir knows, or by `tape.redact`. */
export type RedactedBy = "name" | "key" | "pattern";

/** A place where asterisks stand for a secret. */
export interface Redaction {
  readonly where: RedactedWhere;
  /** Of a field: its name in lower case. */
  readonly name?: string | undefined;
  /** Of a field that stands more than once: which, from 0. */
  readonly index?: number | undefined;
  /** Its first byte in the path, the field's value or the whole body. */
  readonly at: number;
  readonly bytes: number;
  readonly by: RedactedBy;
}

/** The first line: what it is a tape of. */
export interface TapeHead {
  /** A ULID: tapes in the order of their ids are in the order in which they began. */
  readonly id: string;
  /** When the request was sent, as ISO 8601 in UTC. */
  readonly when: string;
  /** The version of weir that has recorded it. */
  readonly weir: string;
  /** The upstream's name in the config. */
  readonly upstream: string;
  /** Its host and port: "api.openai.com:443". */
  readonly host: string;
  /** The path of its base URL, without a slash at the end: "/v1". */
  readonly base: string;
  readonly dialect: DialectName;
}

/** What was asked. */
export interface TapeRequest {
  readonly method: string;
  /** Below the base URL, with the query: "/chat/completions". */
  readonly path: string;
  /** As they were sent, in their order. */
  readonly fields: readonly Field[];
  readonly body: Uint8Array<ArrayBuffer>;
}

/** The head of what was answered. */
export interface TapeResponse {
  readonly status: number;
  /** "" = not known. */
  readonly reason: string;
  readonly atUs: number;
  /** As they came, in their order. */
  readonly fields: readonly Field[];
  /** True: the body ended with the connection. */
  readonly isUntilClose: boolean;
}

/** Bytes of an answer's body, as they were read at once. */
export interface TapeRead {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly atUs: number;
}

/** How it ended, and when. */
export interface TapeEnding {
  readonly how: TapeEnd;
  readonly atUs: number;
  /** The sentence that weir had for it; "" = it was whole. */
  readonly error: string;
}

/** A whole tape. */
export interface Tape extends TapeHead {
  readonly request: TapeRequest;
  /** Absent: the upstream gave none until the end. */
  readonly response?: TapeResponse | undefined;
  /** Their times never decrease. None is empty. */
  readonly reads: readonly TapeRead[];
  readonly redactions: readonly Redaction[];
  readonly ending: TapeEnding;
}

/** The name of the file of tape `id`. */
export function tapeFile(id: string): string {
  return id + TAPE_ENDING;
}

/** The body of a tape's answer in one piece. */
export function bodyOfTape({ reads }: Tape): Uint8Array<ArrayBuffer> {
  return Buffer.concat(reads.map(({ bytes }) => bytes));
}

/** Why a file is no whole tape, and where. */
export class TapeFault extends Error {
  override readonly name = "TapeFault";
  /** The number of the line, from 1. */
  readonly line: number;

  constructor(line: number, what: string) {
    super(`line ${line}: ${what}`);
    this.line = line;
  }
}

const MARK = ',"crc":"';
/** What stands behind the mark: eight digits, a quote and a brace. */
const TAIL = /^[0-9a-f]{8}"\}$/;
const TAIL_BYTES = 10;
const LF = 10;

const encoder = new TextEncoder();
/** A byte order mark is part of what was read. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes the lines of one tape, in their order. */
export class TapeWriter {
  #crc = 0;
  #lines = 0;
  #hasResponse = false;
  readonly #sent = new BodySum();
  readonly #read = new BodySum();

  /** The first line. */
  head({ id, when, weir, upstream, host, base, dialect }: TapeHead): string {
    return this.#line({ tape: TAPE_VERSION, id, when, weir, upstream, host, base, dialect });
  }

  request({ method, path, fields }: Omit<TapeRequest, "body">): string {
    return this.#line({ request: method, path, fields });
  }

  /** A piece of the request's body; it is not empty. */
  sent(bytes: Uint8Array): string {
    this.#sent.add(bytes);
    return this.#line(bytesAs("sent", bytes));
  }

  response({ status, atUs, reason, fields, isUntilClose }: TapeResponse): string {
    this.#hasResponse = true;
    const until = isUntilClose ? { until_close: true } : {};
    return this.#line({ response: status, us: atUs, reason, fields, ...until });
  }

  read({ bytes, atUs }: TapeRead): string {
    this.#read.add(bytes);
    return this.#line({ ...bytesAs("read", bytes), us: atUs });
  }

  /** The last lines. */
  end({ how, atUs, error }: TapeEnding, redactions: readonly Redaction[]): string {
    const listed = redactions.length === 0 ? "" : this.#line({ redacted: redactions });
    const read = this.#hasResponse ? this.#read.told("read") : {};
    const why = error === "" ? {} : { error };
    return listed + this.#line({ end: how, us: atUs, ...why, ...this.#sent.told("sent"), ...read });
  }

  #line(value: object): string {
    const text = JSON.stringify({ n: ++this.#lines, ...value }).slice(0, -1);
    this.#crc = crc32(encoder.encode(text), this.#crc);
    return `${text}${MARK}${hex(this.#crc)}"}\n`;
  }
}

/** `tape` as the text of its file. */
export function tapeText(tape: Tape): string {
  const writer = new TapeWriter();
  const { request, response, reads } = tape;
  let text = writer.head(tape) + writer.request(request);
  if (request.body.length > 0) text += writer.sent(request.body);
  if (response !== undefined) text += writer.response(response);
  for (const read of reads) text += writer.read(read);
  return text + writer.end(tape.ending, tape.redactions);
}

/** The bytes of a body and their hash. */
class BodySum {
  readonly #hash = createHash("sha256");
  #bytes = 0;

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }

  /** Once, behind the last byte. */
  told(what: "sent" | "read"): Readonly<Record<string, string | number>> {
    return { [`${what}_bytes`]: this.#bytes, [`${what}_sha256`]: this.#hash.digest("hex") };
  }
}

function bytesAs(name: "sent" | "read", bytes: Uint8Array): Readonly<Record<string, string>> {
  try {
    return { [name]: utf8.decode(bytes) };
  } catch {
    return {
      [`${name}64`]: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"),
    };
  }
}

function hex(crc: number): string {
  return (crc >>> 0).toString(16).padStart(8, "0");
}

const DIALECTS = [
  "openai_chat",
  "openai_responses",
  "openai_completions",
  "anthropic_messages",
  "openai",
  "chatgpt_web",
] as const satisfies readonly DialectName[];

const n = z.int().min(1);
const us = z.int().min(0);
const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const fields = z.array(z.tuple([
  z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/),
  // deno-lint-ignore no-control-regex
  z.string().regex(/^[^\x00-\x08\x0a-\x1f\x7f\u0100-\uffff]*$/),
]));
const method = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/);

/** The kinds of lines, each known by the key that only it has. */
const LINES = {
  tape: z.strictObject({
    n,
    tape: z.literal(TAPE_VERSION),
    id: z.string().regex(/^[0-9A-Z]{26}$/),
    when: z.iso.datetime(),
    weir: z.string(),
    upstream: z.string(),
    host: z.string(),
    base: z.string(),
    dialect: z.enum(DIALECTS),
  }),
  request: z.strictObject({ n, request: method, path: z.string().startsWith("/"), fields }),
  sent: z.strictObject({ n, sent: z.string().min(1) }),
  sent64: z.strictObject({ n, sent64: z.base64().min(1) }),
  response: z.strictObject({
    n,
    response: z.int().min(100).max(999),
    us,
    reason: z.string(),
    fields,
    until_close: z.literal(true).optional(),
  }),
  read: z.strictObject({ n, read: z.string().min(1), us }),
  read64: z.strictObject({ n, read64: z.base64().min(1), us }),
  redacted: z.strictObject({
    n,
    redacted: z.array(z.strictObject({
      where: z.enum([
        "request.path",
        "request.field",
        "request.body",
        "response.field",
        "response.body",
      ]),
      name: z.string().optional(),
      index: count.optional(),
      at: count,
      bytes: z.int().min(1),
      by: z.enum(["name", "key", "pattern"]),
    })).min(1),
  }),
  end: z.strictObject({
    n,
    end: z.enum(["whole", "client_left", "upstream_broke", "timed_out"]),
    us,
    error: z.string().optional(),
    sent_bytes: count,
    sent_sha256: sha256,
    read_bytes: count.optional(),
    read_sha256: sha256.optional(),
  }),
} as const;

type Kind = keyof typeof LINES;

/** Which kinds may follow which. */
const FOLLOWS: Readonly<Record<Kind | "start", readonly Kind[]>> = {
  start: ["tape"],
  tape: ["request"],
  request: ["sent", "sent64", "response", "redacted", "end"],
  sent: ["sent", "sent64", "response", "redacted", "end"],
  sent64: ["sent", "sent64", "response", "redacted", "end"],
  response: ["read", "read64", "redacted", "end"],
  read: ["read", "read64", "redacted", "end"],
  read64: ["read", "read64", "redacted", "end"],
  redacted: ["end"],
  end: [],
};

/**
 * Reads `file`, the bytes of a tape's file.
 *
 * @throws {TapeFault} when it is not whole, was changed, or is no tape.
 */
export function readTape(file: Uint8Array): Tape {
  return new Reading().all(file);
}

/** What is known of a file so far. */
class Reading {
  #kind: Kind | "start" = "start";
  #line = 0;
  #crc = 0;
  #head: TapeHead | undefined;
  #request: Omit<TapeRequest, "body"> | undefined;
  readonly #sent: Uint8Array[] = [];
  #response: TapeResponse | undefined;
  readonly #reads: TapeRead[] = [];
  #redactions: readonly Redaction[] = [];
  #ending: TapeEnding | undefined;
  #atUs = 0;

  all(file: Uint8Array): Tape {
    for (let at = 0; at < file.length;) {
      this.#line++;
      const end = file.indexOf(LF, at);
      if (end < 0) throw this.#fault("the file ends in the middle of it");
      this.#take(file.subarray(at, end));
      at = end + 1;
    }
    if (this.#ending === undefined) {
      this.#line++;
      throw this.#fault("the file ends before it: there is no line with the end");
    }
    return {
      ...this.#head!,
      request: { ...this.#request!, body: Buffer.concat(this.#sent) },
      response: this.#response,
      reads: this.#reads,
      redactions: this.#redactions,
      ending: this.#ending,
    };
  }

  #fault(what: string): TapeFault {
    return new TapeFault(this.#line, what);
  }

  #take(bytes: Uint8Array): void {
    const value = this.#value(bytes);
    const kind = (Object.keys(LINES) as Kind[]).find((key) => Object.hasOwn(value, key));
    if (this.#kind === "start" && "tape" in value && value["tape"] !== TAPE_VERSION) {
      throw this.#fault(
        `it is a tape of version ${JSON.stringify(value["tape"])}, and not ${TAPE_VERSION}`,
      );
    }
    if (kind === undefined) throw this.#fault("it is no line of a tape");
    const before = this.#kind;
    if (!FOLLOWS[before].includes(kind)) {
      throw this.#fault(
        before === "start" ? "a tape does not begin so" : `"${kind}" cannot follow "${before}"`,
      );
    }
    this.#kind = kind;
    if (value["n"] !== this.#line) throw this.#fault(`its number is ${JSON.stringify(value["n"])}`);
    this.#put(kind, value);
  }

  /** The value of a line whose sum is right. */
  #value(bytes: Uint8Array): Readonly<Record<string, unknown>> {
    let text: string;
    try {
      text = utf8.decode(bytes);
    } catch {
      throw this.#fault("it is not UTF-8");
    }
    const at = text.length - TAIL_BYTES;
    if (!TAIL.test(text.slice(at)) || !text.endsWith(MARK, at)) {
      throw this.#fault("it does not end with its check sum");
    }
    this.#crc = crc32(bytes.subarray(0, bytes.length - TAIL_BYTES - MARK.length), this.#crc);
    if (hex(this.#crc) !== text.slice(at, at + 8)) {
      throw this.#fault("its check sum is wrong: it was changed, or a line before it is missing");
    }
    try {
      const { crc: _, ...value } = JSON.parse(text);
      return value;
    } catch {
      throw this.#fault("it is no JSON");
    }
  }

  #put(kind: Kind, value: object): void {
    switch (kind) {
      case "tape": {
        const { n: _, tape: __, ...head } = this.#checked(LINES.tape, value);
        this.#head = head;
        return;
      }
      case "request": {
        const { request: method, path, fields } = this.#checked(LINES.request, value);
        this.#request = { method, path, fields };
        return;
      }
      case "sent":
        return void this.#sent.push(encoder.encode(this.#checked(LINES.sent, value).sent));
      case "sent64":
        return void this.#sent.push(
          Buffer.from(this.#checked(LINES.sent64, value).sent64, "base64"),
        );
      case "response": {
        const line = this.#checked(LINES.response, value);
        const { response: status, us, reason, fields, until_close = false } = line;
        this.#response = {
          status,
          reason,
          atUs: this.#time(us),
          fields,
          isUntilClose: until_close,
        };
        return;
      }
      case "read": {
        const { read, us } = this.#checked(LINES.read, value);
        return void this.#reads.push({ bytes: encoder.encode(read), atUs: this.#time(us) });
      }
      case "read64": {
        const { read64, us } = this.#checked(LINES.read64, value);
        const bytes = new Uint8Array(Buffer.from(read64, "base64"));
        return void this.#reads.push({ bytes, atUs: this.#time(us) });
      }
      case "redacted":
        this.#redactions = this.#checked(LINES.redacted, value).redacted;
        return;
      case "end":
        return this.#end(this.#checked(LINES.end, value));
    }
  }

  #end(line: z.output<typeof LINES.end>): void {
    this.#checkSum("sent", this.#sent, line.sent_bytes, line.sent_sha256);
    const hasSum = line.read_bytes !== undefined && line.read_sha256 !== undefined;
    if (hasSum !== (this.#response !== undefined)) throw this.#fault("it tells of another answer");
    if (hasSum) {
      const reads = this.#reads.map(({ bytes }) => bytes);
      this.#checkSum("read", reads, line.read_bytes!, line.read_sha256!);
    }
    this.#ending = { how: line.end, atUs: this.#time(line.us), error: line.error ?? "" };
    if (line.end === "whole" && this.#response === undefined) {
      throw this.#fault("it is whole, and there is no answer");
    }
  }

  #checkSum(
    what: "sent" | "read",
    pieces: readonly Uint8Array[],
    bytes: number,
    hash: string,
  ): void {
    const sum = new BodySum();
    for (const piece of pieces) sum.add(piece);
    const told = sum.told(what);
    if (told[`${what}_bytes`] === bytes && told[`${what}_sha256`] === hash) return;
    throw this.#fault(`its ${what}_bytes or ${what}_sha256 are not those of the lines before it`);
  }

  #time(us: number): number {
    if (us < this.#atUs) {
      throw this.#fault(`it was at ${us} µs, which is before the line before it`);
    }
    return this.#atUs = us;
  }

  #checked<Schema extends z.ZodType>(schema: Schema, value: object): z.output<Schema> {
    const { success, data, error } = schema.safeParse(value);
    if (success) return data;
    const [issue] = error.issues;
    const key = issue!.path.join(".");
    throw this.#fault(`${key === "" ? "" : `${key}: `}${issue!.message}`);
  }
}
