/**
 * Exchanges that another program has recorded, whatever the format of its files: what was asked, what
 * was answered, and when it came where that was noted. What is made of them is nothing that is known
 * here.
 *
 * @module
 */

import { DECODERS } from "../upstream/decoded.ts";

/** The most bytes of one answer whose content encoding is undone. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;

/** Headers of answers that are kept: nobody else's header gets in, and no secret is among these. */
const KEPT_FIELDS: ReadonlySet<string> = new Set([
  "content-type",
  "content-encoding",
  "retry-after",
]);

/** A piece of a body. */
export interface Piece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Microseconds since the request was there; 0 where no times were noted. */
  readonly atUs: number;
}

/** One exchange. */
export interface Recording {
  /** Where it was read, for people: "calls.yaml, interaction 3". */
  readonly place: string;
  readonly method: string;
  /** Without host and query. */
  readonly path: string;
  /** The body of the request. */
  readonly request: Uint8Array<ArrayBuffer>;
  readonly status: number;
  /** By small names; those of `KEPT_FIELDS`. */
  readonly fields: ReadonlyMap<string, string>;
  /** The body of the answer, with its content encoding. */
  readonly pieces: readonly Piece[];
  /** True: the pieces came when they say. */
  readonly hasTimes: boolean;
}

/** What could not be taken, and why: a sentence without a capital and a period. */
export interface Untaken {
  readonly place: string;
  readonly why: string;
}

/** What is in a file. */
export interface Recordings {
  readonly recordings: readonly Recording[];
  readonly untaken: readonly Untaken[];
}

/** The headers that are kept of pairs of names and values. */
export function keptFields(
  pairs: Iterable<readonly [name: string, value: string]>,
): ReadonlyMap<string, string> {
  const kept = new Map<string, string>();
  for (const [name, value] of pairs) {
    const small = name.toLowerCase();
    if (KEPT_FIELDS.has(small)) kept.set(small, value);
  }
  return kept;
}

/** The path of a URL; undefined = it is none. */
export function pathOf(url: unknown): string | undefined {
  return typeof url === "string" ? URL.parse(url, "http://localhost")?.pathname : undefined;
}

/**
 * The pieces of `recording` with their content encoding undone; undefined = it cannot be. Recorders
 * often undo it themselves and leave the header as it was.
 */
export async function plainPieces(recording: Recording): Promise<readonly Piece[] | undefined> {
  const { pieces } = recording;
  const encoding = (recording.fields.get("content-encoding") ?? "").trim().toLowerCase();
  if (encoding === "" || encoding === "identity" || pieces.length === 0) return pieces;
  if (!Object.hasOwn(DECODERS, encoding)) return undefined;
  return await undone(pieces, encoding) ?? (isText(pieces) ? pieces : undefined);
}

/** Each piece gives what can be read when it is there. */
function undone(pieces: readonly Piece[], encoding: string): Promise<readonly Piece[] | undefined> {
  const { promise, resolve } = Promise.withResolvers<readonly Piece[] | undefined>();
  const decoder = DECODERS[encoding]!();
  const plain: Piece[] = [];
  let atUs = 0;
  let bytesLeft = BODY_BYTES_MAX;
  decoder.on("data", (bytes: Uint8Array<ArrayBuffer>) => {
    bytesLeft -= bytes.length;
    if (bytesLeft < 0) decoder.destroy(new Error("too long"));
    else plain.push({ bytes, atUs });
  });
  decoder.on("error", () => resolve(undefined));
  decoder.on("end", () => resolve(plain));
  let next = 0;
  const feed = () => {
    const piece = pieces[next++];
    if (piece === undefined) return void decoder.end();
    atUs = piece.atUs;
    decoder.write(piece.bytes, feed);
  };
  feed();
  return promise;
}

function isText(pieces: readonly Piece[]): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(
      Buffer.concat(pieces.map(({ bytes }) => bytes)),
    );
    return true;
  } catch {
    return false;
  }
}
