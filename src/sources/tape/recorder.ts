/**
 * Records exchanges with upstreams: what crosses the wire is noted when it does, and written when it
 * is over. A tape is in memory until then, so that no secret is cut in two by the end of a read; the
 * relay never waits for it.
 *
 * @module
 */

import type { Watch } from "../../core/events.ts";
import { framingLine, type TappedHead } from "../../lib/http1/call.ts";
import type { Field } from "../../lib/http1/fields.ts";
import type { Http1Upload, UploadListener } from "../../lib/http1/upload.ts";
import { ulid } from "../../lib/ulid.ts";
import type { Wheel } from "../../lib/wheel.ts";
import { AppError, type ErrorCode } from "../../core/errors.ts";
import { DECODERS } from "../upstream/decoded.ts";
import type { TransportRequest } from "../upstream/transport.ts";
import type { RequestTap } from "../upstream/upstream.ts";
import type { TapeFile, TapeFolder } from "./folder.ts";
import {
  type Redaction,
  type TapeEnd,
  type TapeEnding,
  tapeFile,
  type TapeHead,
  type TapeRead,
  type TapeResponse,
  TapeWriter,
} from "./format.ts";
import { type Place, type Redactor, starred } from "./redactor.ts";

/** What all exchanges that are being recorded may hold together: 256 MiB. */
const HELD_BYTES_MAX = 268_435_456;
/** So much of an encoded body is decoded to be looked through: 256 MiB. */
const PLAIN_BYTES_MAX = 268_435_456;
/** The most reads of one answer: each is a line. */
const READS_MAX = 1_000_000;

/** What a recorder needs. */
export interface RecorderDeps {
  readonly folder: TapeFolder;
  readonly redactor: Redactor;
  readonly wheel: Wheel;
  readonly wallMs: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  /** The version of weir. */
  readonly version: string;
  readonly watch: Watch;
  /** `tape.body_max_bytes` */
  readonly bodyMaxBytes: number;
  /** Told the name of each tape that is whole. */
  readonly onTape: (name: string) => void;
}

/** Which upstream is recorded. */
export type TapePlace = Pick<TapeHead, "upstream" | "host" | "base">;

/** Records, for all upstreams. */
export class Recorder {
  readonly deps: RecorderDeps;
  readonly #writing = new Set<Promise<void>>();
  #lastMs = 0;
  #sequence = 0;
  /** Why the folder takes nothing; "" = it does. */
  trouble = "";
  /** Bytes of what is being recorded. */
  heldBytes = 0;

  constructor(deps: RecorderDeps) {
    this.deps = deps;
  }

  /** Records one exchange. */
  tap(place: TapePlace, dialect: TapeHead["dialect"]): RequestTap {
    return new Recording(this, place, dialect);
  }

  /** Settles when everything is written that is over. */
  async idle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing);
  }

  /** An id behind all that this process has given before. */
  id(): string {
    const { wallMs, randomBytes } = this.deps;
    const nowMs = Math.max(this.#lastMs, Math.floor(wallMs()));
    this.#sequence = nowMs === this.#lastMs ? this.#sequence + 1 : 0;
    this.#lastMs = nowMs;
    const id = ulid(nowMs, randomBytes);
    // Four digits of those of chance tell the order within a millisecond.
    const digits = this.#sequence.toString().padStart(4, "0").slice(-4);
    return id.slice(0, 10) + digits + id.slice(14);
  }

  /** Has `write` done, whatever becomes of it: it tells the watchers. */
  run(write: () => Promise<void>): void {
    const running = write().catch((error) => this.#fail(error))
      .finally(() => this.#writing.delete(running));
    this.#writing.add(running);
  }

  /** A tape is whole. */
  done(name: string): void {
    const { watch, onTape } = this.deps;
    if (this.trouble !== "") watch({ kind: "tape_write_recovered" });
    this.trouble = "";
    watch({ kind: "tape_recorded" });
    onTape(name);
  }

  #fail(error: unknown): void {
    const { watch } = this.deps;
    const { code } = error as { readonly code?: unknown };
    if (typeof code !== "string") return watch({ kind: "bug", where: "tape", error });
    if (this.trouble === "") watch({ kind: "tape_write_failed", cause: code });
    this.trouble = `the folder of tapes takes nothing (${code})`;
  }
}

/** A request as it is recorded. */
interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly Field[];
}

/** One exchange. */
class Recording implements RequestTap {
  readonly #recorder: Recorder;
  readonly #place: TapePlace;
  readonly #dialect: TapeHead["dialect"];
  readonly #writer = new TapeWriter();
  #when = 0;
  #request!: SentRequest;
  #sent: Uint8Array[] = [];
  #sentBytes = 0;
  #sentMs = -1;
  #lastUs = 0;
  #response: TapeResponse | undefined;
  #reads: TapeRead[] = [];
  #bytes = 0;
  #readBytes = 0;
  #isOver = false;
  /** Gives the file with the request in it; undefined = it is not begun. */
  #begun: Promise<Begun> | undefined;

  constructor(recorder: Recorder, place: TapePlace, dialect: TapeHead["dialect"]) {
    this.#recorder = recorder;
    this.#place = place;
    this.#dialect = dialect;
  }

  begin(request: TransportRequest): TransportRequest {
    const { method, path, fields, body, upload } = request;
    const { host } = this.#place;
    this.#when = this.#recorder.deps.wallMs();
    const framing = framingLine(request).trimEnd().split(": ") as unknown as Field;
    this.#request = {
      method,
      path,
      fields: [["host", host], ...fields, ...(framing.length === 2 ? [framing] : [])],
    };
    if (body !== null && body.length > 0) this.#addSent(body);
    if (upload === undefined) return { ...request, tap: this };
    const tapped = new TappedUpload(upload, {
      onStart: () => this.#forgetSent(),
      onPiece: (piece) => this.#addSent(piece),
    });
    return { ...request, upload: tapped, tap: this };
  }

  onSent(): void {
    if (this.#isOver) return;
    this.#sentMs = this.#recorder.deps.wheel.nowMs;
    this.#open();
  }

  onHead({ status, statusText, fields, isUntilClose }: TappedHead): void {
    if (this.#isOver) return;
    this.#response = {
      status,
      reason: statusText,
      atUs: this.#nowUs,
      fields: [...fields],
      isUntilClose,
    };
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#isOver || bytes.length === 0) return;
    const { bodyMaxBytes } = this.#recorder.deps;
    this.#readBytes += bytes.length;
    if (this.#readBytes > bodyMaxBytes) {
      return this.#abandon(`its answer has more than ${bodyMaxBytes} bytes (tape.body_max_bytes)`);
    }
    if (this.#reads.length === READS_MAX) {
      return this.#abandon("its answer came in too many pieces");
    }
    if (!this.#hold(bytes.length)) return;
    this.#reads.push({ bytes: new Uint8Array(bytes), atUs: this.#nowUs });
  }

  onWhole(): void {
    this.#end("whole", "");
  }

  onBroken(error: unknown): void {
    // Without a head nothing has come back that could be played again.
    if (this.#response === undefined) return this.#drop();
    this.#end("upstream_broke", error instanceof Error ? error.message : String(error));
  }

  onGivenUp(reason?: unknown): void {
    const isTimeout = codeOf(reason) === "upstream_timeout";
    if (this.#response === undefined && !(isTimeout && this.#sentMs >= 0)) return this.#drop();
    const error = reason instanceof Error ? reason.message : "";
    this.#end(isTimeout ? "timed_out" : "client_left", error);
  }

  /** Microseconds since the request's last byte; a head that came before it came with it. */
  get #nowUs(): number {
    if (this.#sentMs < 0) return 0;
    const us = Math.round((this.#recorder.deps.wheel.nowMs - this.#sentMs) * 1000);
    return this.#lastUs = Math.max(this.#lastUs, us);
  }

  #addSent(bytes: Uint8Array): void {
    if (this.#isOver) return;
    const { bodyMaxBytes } = this.#recorder.deps;
    this.#sentBytes += bytes.length;
    if (this.#sentBytes > bodyMaxBytes) {
      return this.#abandon(`its request has more than ${bodyMaxBytes} bytes (tape.body_max_bytes)`);
    }
    if (this.#hold(bytes.length)) this.#sent.push(bytes);
  }

  /** The upload begins anew. */
  #forgetSent(): void {
    this.#release(this.#sentBytes);
    this.#sentBytes = 0;
    this.#sent = [];
  }

  /** False: there is no room, and it is given up. */
  #hold(bytes: number): boolean {
    this.#bytes += bytes;
    this.#recorder.heldBytes += bytes;
    if (this.#recorder.heldBytes <= HELD_BYTES_MAX) return true;
    this.#abandon(`all that is being recorded has more than ${HELD_BYTES_MAX} bytes`);
    return false;
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    this.#recorder.heldBytes -= bytes;
  }

  #abandon(cause: string): void {
    this.#recorder.deps.watch({ kind: "tape_abandoned", cause });
    this.#drop();
  }

  /** Nothing of it is kept. */
  #drop(): void {
    if (this.#isOver) return;
    this.#free();
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#recorder.run(async () => {
      const { file } = await begun.catch(() => NOTHING_BEGUN);
      await file?.drop();
    });
  }

  #free(): void {
    this.#isOver = true;
    this.#release(this.#bytes);
    this.#reads = [];
    this.#sent = [];
  }

  /** Writes the request, once it has left. */
  #open(): void {
    if (this.#begun !== undefined) return;
    const sent = Buffer.concat(this.#sent);
    this.#begun = this.#begin(sent);
    this.#begun.catch(() => {}); // whoever ends it tells
  }

  async #begin(sent: Buffer<ArrayBuffer>): Promise<Begun> {
    const { folder, version } = this.#recorder.deps;
    const { method, path, fields } = this.#request;
    const redactor = this.#recorder.deps.redactor.withFields(fields);
    const encoding = fields.find(([name]) => name.toLowerCase() === "content-encoding")?.[1];
    const isClear = await this.#isClear(sent, encoding, redactor);
    if (!isClear) return NOTHING_BEGUN;
    const places = await redactor.find(sent);
    const cleanPath = redactor.path(path);
    const cleanFields = redactor.fields(fields, "request.field");
    const id = this.#recorder.id();
    const when = new Date(this.#when).toISOString();
    const writer = this.#writer;
    const file = await folder.begin(tapeFile(id));
    try {
      await file.append(
        writer.head({ id, when, weir: version, ...this.#place, dialect: this.#dialect }) +
          writer.request({ method, path: cleanPath.path, fields: cleanFields.fields }),
      );
      for (const piece of linesOf(starred(sent, places))) await file.append(writer.sent(piece));
    } catch (error) {
      await file.drop().catch(() => {}); // what was wrong with it is told
      throw error;
    }
    return {
      id,
      file,
      redactor,
      redactions: [
        ...cleanPath.redactions,
        ...cleanFields.redactions,
        ...inBody("request.body", places),
      ],
    };
  }

  #end(how: TapeEnd, error: string): void {
    if (this.#isOver) return;
    const ending = { how, atUs: this.#nowUs, error };
    this.#open();
    const begun = this.#begun!;
    const reads = this.#reads;
    const response = this.#response;
    const bytes = this.#bytes;
    this.#free();
    // What is still to be written is held until it is.
    this.#recorder.heldBytes += bytes;
    this.#recorder.run(async () => {
      try {
        await this.#finish(await begun, response, reads, ending);
      } finally {
        this.#recorder.heldBytes -= bytes;
      }
    });
  }

  /** Writes the answer and the end. */
  async #finish(
    { id, file, redactor, redactions }: Begun,
    response: TapeResponse | undefined,
    reads: readonly TapeRead[],
    ending: TapeEnding,
  ): Promise<void> {
    if (file === undefined) return;
    try {
      const body = Buffer.concat(reads.map(({ bytes }) => bytes));
      const encoding = response?.fields.find(([name]) => name.toLowerCase() === "content-encoding");
      if (!await this.#isClear(body, encoding?.[1], redactor)) return await file.drop();
      const places = await redactor.find(body);
      const clean = places.length === 0 ? body : starred(body, places);
      const writer = this.#writer;
      let text = "";
      let all = redactions;
      if (response !== undefined) {
        const fields = redactor.fields(response.fields, "response.field");
        all = [...all, ...fields.redactions, ...inBody("response.body", places)];
        text += writer.response({ ...response, fields: fields.fields });
      }
      let at = 0;
      for (const { bytes, atUs } of reads) {
        text += writer.read({ bytes: clean.subarray(at, at += bytes.length), atUs });
        if (text.length < WRITE_CHARS) continue;
        await file.append(text);
        text = "";
      }
      const error = Buffer.from(ending.error);
      const sentence = starred(error, redactor.findNow(error)).toString();
      await file.append(text + writer.end({ ...ending, error: sentence }, all));
      await file.finish();
    } catch (error) {
      await file.drop().catch(() => {}); // what was wrong with it is told
      throw error;
    }
    this.#recorder.done(tapeFile(id));
  }

  /** False: it is encoded, and something secret is in it that cannot be taken out; that is told. */
  async #isClear(
    body: Uint8Array,
    encoding: string | undefined,
    redactor: Redactor,
  ): Promise<boolean> {
    if (encoding === undefined || body.length === 0 || redactor.isIdle) return true;
    const plain = await decode(body, encoding.trim().toLowerCase());
    if (plain === undefined || (await redactor.find(plain)).length === 0) return true;
    const cause = "a secret stands in a compressed body, which it cannot be taken out of";
    this.#recorder.deps.watch({ kind: "tape_abandoned", cause });
    return false;
  }
}

/** A tape whose request is written. */
interface Begun {
  readonly id: string;
  /** undefined = it will be none. */
  readonly file: TapeFile | undefined;
  readonly redactor: Redactor;
  readonly redactions: readonly Redaction[];
}

const NOTHING_BEGUN = { id: "", file: undefined, redactor: undefined as never, redactions: [] };

/** So much is written at once, in characters or bytes: a millisecond's work. */
const WRITE_CHARS = 262_144;

/** `bytes` in pieces for a line each. No character of UTF-8 is cut. */
function* linesOf(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    let end = Math.min(bytes.length, at + WRITE_CHARS);
    for (let i = 0; i < 3 && end < bytes.length && (bytes[end]! & 0xc0) === 0x80; i++) end--;
    yield bytes.subarray(at, end);
    at = end;
  }
}

function inBody(
  where: "request.body" | "response.body",
  places: readonly Place[],
): readonly Redaction[] {
  return places.map((place) => ({ where, ...place }));
}

function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof AppError ? error.code : undefined;
}

/** What can be decoded of `bytes`; undefined = they are not encoded so. */
function decode(bytes: Uint8Array, encoding: string): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const make = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (make === undefined) return Promise.resolve(undefined);
  const decoder = make();
  const pieces: Uint8Array[] = [];
  let left = PLAIN_BYTES_MAX;
  const settle = () => resolve(Buffer.concat(pieces));
  decoder.on("data", (piece: Uint8Array) => {
    left -= piece.length;
    if (left < 0) decoder.destroy(new Error("too long"));
    else pieces.push(piece);
  });
  decoder.on("error", settle); // a body that broke off
  decoder.on("end", settle);
  decoder.end(bytes);
  return promise;
}

/** Sees an upload. */
interface UploadTap {
  /** It begins, perhaps anew. */
  onStart(): void;
  onPiece(piece: Uint8Array): void;
}

/** An upload whose pieces somebody sees. */
class TappedUpload implements Http1Upload {
  readonly #upload: Http1Upload;
  readonly #tap: UploadTap;

  constructor(upload: Http1Upload, tap: UploadTap) {
    this.#upload = upload;
    this.#tap = tap;
  }

  get lengthBytes(): number | undefined {
    return this.#upload.lengthBytes;
  }

  get canStart(): boolean {
    return this.#upload.canStart;
  }

  start(listener: UploadListener): void {
    this.#tap.onStart();
    this.#upload.start(listener);
  }

  next(): Uint8Array | null | undefined {
    const piece = this.#upload.next();
    if (piece instanceof Uint8Array) this.#tap.onPiece(new Uint8Array(piece));
    return piece;
  }

  stop(): void {
    this.#upload.stop();
  }
}
