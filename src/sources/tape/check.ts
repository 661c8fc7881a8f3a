/**
 * Proves a tape: it is whole and unchanged, the asterisks stand where it says, and no secret stands
 * anywhere else.
 *
 * @module
 */

import type { Field } from "../../lib/http1/fields.ts";
import { plainPieces } from "../recordings/recording.ts";
import { recorded } from "../recordings/tape.ts";
import { readTape, REDACTED, type Redaction, type Tape, TapeFault } from "./format.ts";
import { type Forbidden, leaksIn, showsSecret } from "./leaks.ts";
import { bytesOf, valueIn } from "./summary.ts";

/** Something that is wrong with a tape. */
export interface TapeProblem {
  /** The number of the line, from 1. */
  readonly line: number;
  /** A sentence without a capital and a period. It shows nothing that may be secret. */
  readonly what: string;
}

/** So many asterisks of a header say that something was redacted. */
const REDACTED_CHARS_MIN = 8;
const ASTERISK = REDACTED.charCodeAt(0);

/**
 * What is wrong with `file`, the bytes of a whole tape's file; none = nothing is. A tape that cannot
 * be read is looked through for secrets all the same.
 */
export async function checkTape(
  file: Uint8Array,
  forbidden: Forbidden,
): Promise<readonly TapeProblem[]> {
  let tape: Tape;
  try {
    tape = readTape(file);
  } catch (error) {
    if (!(error instanceof TapeFault)) throw error;
    const what = error.message.replace(/^line \d+: /, "");
    return [{ line: error.line, what }, ...checkPartial(file, forbidden)];
  }
  return await new Check(tape, file, forbidden).problems();
}

/** The secrets in `file`, of which nothing else is known. */
export function checkPartial(file: Uint8Array, forbidden: Forbidden): readonly TapeProblem[] {
  const problems: TapeProblem[] = [];
  for (const [at, line] of new TextDecoder().decode(file).split("\n").entries()) {
    const value = valueIn(line);
    const bytes = bytesOf(value, "sent") ?? bytesOf(value, "read");
    const fields = Array.isArray(value["fields"]) ? value["fields"] as readonly unknown[] : [];
    const texts = [
      // A line that is cut off is no JSON, and its text says what it says.
      ...(bytes === undefined ? [line] : [bytes.toString()]),
      ...fields.flat().map(String),
    ];
    const whats = new Set(
      texts.flatMap((text) => leaksIn(text, forbidden)).map(({ what }) => what),
    );
    for (const field of fields) {
      if (!Array.isArray(field)) continue;
      const [name, content] = field.map(String);
      const small = name?.toLowerCase() ?? "";
      const open = content?.replaceAll(/\*+/g, "") ?? "";
      if (showsSecret(small, open, Object.hasOwn(value, "request"))) {
        whats.add(`the value of ${small}`);
      }
    }
    for (const what of whats) problems.push({ line: at + 1, what: `${what} stands in it` });
  }
  return problems;
}

/** Bytes of a body, and the line that holds them. */
interface Segment {
  readonly line: number;
  readonly from: number;
}

/** One tape that is whole. */
class Check {
  readonly #tape: Tape;
  readonly #forbidden: Forbidden;
  readonly #problems: TapeProblem[] = [];
  /** By the key that only lines of a kind have. */
  readonly #lines = new Map<string, number>();
  readonly #segments: Readonly<Record<"sent" | "read", Segment[]>> = { sent: [], read: [] };

  constructor(tape: Tape, file: Uint8Array, forbidden: Forbidden) {
    this.#tape = tape;
    this.#forbidden = forbidden;
    const bytes = { sent: 0, read: 0 };
    for (const [at, text] of new TextDecoder().decode(file).split("\n").entries()) {
      const line = at + 1;
      const value = valueIn(text);
      for (const key of ["request", "response", "redacted", "end"]) {
        if (Object.hasOwn(value, key)) this.#lines.set(key, line);
      }
      for (const key of ["sent", "read"] as const) {
        const part = bytesOf(value, key);
        if (part === undefined) continue;
        this.#segments[key].push({ line, from: bytes[key] });
        bytes[key] += part.length;
      }
    }
  }

  async problems(): Promise<readonly TapeProblem[]> {
    const { request, response, upstream, host, base, ending, redactions } = this.#tape;
    for (const redaction of redactions) this.#redaction(redaction);
    this.#text([upstream, host, base].join("\n"), "the first line", () => 1);
    this.#text(request.path, "the path", () => this.#line("request"));
    this.#fields("request", request.fields);
    this.#body("sent", "the request's body", request.body);
    if (response !== undefined) {
      this.#fields("response", response.fields);
      const pieces = await plainPieces(recorded(this.#tape, response, ""));
      if (pieces === undefined) {
        const what =
          "the content encoding of its answer cannot be undone: secrets would not be seen";
        this.#add(this.#line("response"), what);
      } else {
        const body = Buffer.concat(pieces.map(({ bytes }) => bytes));
        this.#body("read", "the answer's body", body, pieces !== this.#tape.reads);
      }
    }
    this.#text(ending.error, "the error", () => this.#line("end"));
    return this.#problems.sort((one, other) => one.line - other.line);
  }

  #add(line: number, what: string): void {
    this.#problems.push({ line, what });
  }

  #line(kind: string): number {
    return this.#lines.get(kind) ?? 1;
  }

  /** Where it says that asterisks stand, they must. */
  #redaction(redaction: Redaction): void {
    const { at, bytes } = redaction;
    const place = this.#placeOf(redaction);
    const name = redaction.name === undefined ? "" : ` ${redaction.name}`;
    const where = `${redaction.where}${name}, byte ${at}`;
    if (place === undefined) {
      this.#add(this.#line("redacted"), `it lists ${where}, and there is no such place`);
    } else if (at + bytes > place.length) {
      this.#add(this.#line("redacted"), `it lists ${where}, which is behind the end`);
    } else if (place.subarray(at, at + bytes).some((byte) => byte !== ASTERISK)) {
      this.#add(this.#line("redacted"), `it lists ${where}, where something else stands`);
    }
  }

  /** The bytes that a redaction counts in. */
  #placeOf({ where, name, index = 0 }: Redaction): Uint8Array | undefined {
    const { request, response, reads } = this.#tape;
    switch (where) {
      case "request.path":
        return Buffer.from(request.path);
      case "request.body":
        return request.body;
      case "response.body":
        return Buffer.concat(reads.map(({ bytes }) => bytes));
      case "request.field":
      case "response.field": {
        const fields = where === "request.field" ? request.fields : response?.fields ?? [];
        const found = fields.filter(([one]) => one.toLowerCase() === name)[index];
        return found && Buffer.from(found[1], "latin1");
      }
    }
  }

  #fields(side: "request" | "response", fields: readonly Field[]): void {
    const line = this.#line(side);
    const counts = new Map<string, number>();
    for (const [name, value] of fields) {
      const small = name.toLowerCase();
      const index = counts.get(small) ?? 0;
      counts.set(small, index + 1);
      const listed = this.#tape.redactions.filter((one) =>
        one.where === `${side}.field` && one.name === small && (one.index ?? 0) === index
      );
      const open = withoutRanges(value, listed);
      if (showsSecret(small, open, side === "request")) {
        this.#add(line, `the value of ${small} is not redacted`);
      } else if (open.includes(REDACTED.repeat(REDACTED_CHARS_MIN))) {
        this.#add(line, `the value of ${small} is redacted, and not listed`);
      }
      this.#text(value, `the header ${small}`, () => line);
    }
  }

  #body(kind: "sent" | "read", what: string, body: Uint8Array, isMoved = false): void {
    const segments = this.#segments[kind];
    const text = new TextDecoder().decode(body);
    this.#text(text, what, (at) => {
      const byte = isMoved ? 0 : Buffer.byteLength(text.slice(0, at));
      return segments.findLast(({ from }) => from <= byte)?.line ?? 1;
    });
  }

  #text(text: string, what: string, lineOf: (at: number) => number): void {
    for (const leak of leaksIn(text, this.#forbidden)) {
      this.#add(lineOf(leak.at), `${leak.what} stands in ${what}`);
    }
  }
}

/** `value` without what is listed as redacted. */
function withoutRanges(value: string, listed: readonly Redaction[]): string {
  let open = value;
  for (const { at, bytes } of [...listed].sort((one, other) => other.at - one.at)) {
    open = open.slice(0, at) + open.slice(at + bytes);
  }
  return open;
}
