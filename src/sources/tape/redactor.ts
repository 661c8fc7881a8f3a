/**
 * Finds what must reach no tape: values of fields that open doors, the keys that weir knows wherever
 * they turn up, and what `tape.redact` says; however it is spelled, and also where a stream says it
 * piece by piece. Each byte of it becomes an asterisk, so that all else keeps its place.
 *
 * @module
 */

import type { RE2JS } from "re2js";
import { isKeyHeader, isPrivateHeader } from "../../config/private_headers.ts";
import type { Field } from "../../lib/http1/fields.ts";
import { linearExpression } from "../../lib/linear_expression.ts";
import { isSecretName } from "../../lib/secret_names.ts";
import { REDACTED, type RedactedBy, type RedactedWhere, type Redaction } from "./format.ts";
import { escapeAt, spellings } from "./spellings.ts";
import { type SpreadText, spreadTexts } from "./spread_texts.ts";

/** A shorter key is left: it would turn up inside ordinary words. In UTF-16 units. */
const KEY_CHARS_MIN = 4;
/** The same of what a client sends in a field: cookies have short values, such as "true". */
const VALUE_CHARS_MIN = 8;
/** So many bytes are looked at at a time: a millisecond, or some with patterns. */
const WINDOW_BYTES = 65_536;
/** Windows overlap by this: no match up to it is cut by the end of one. */
const OVERLAP_BYTES = 16_384;

const STAR = REDACTED.charCodeAt(0);

/** Fields of answers that say whose account it is, and that no key's name tells of. */
const ACCOUNT_FIELDS: ReadonlySet<string> = new Set([
  "set-cookie",
  "set-cookie2",
  "openai-organization",
  "openai-project",
  "anthropic-organization-id",
]);

/** An option of a URL. */
const OPTION = /[?&]([^=&#]*=)([^&#]+)/g;

/** What follows the scheme of a credential: "Bearer …". */
const SCHEME = /^[A-Za-z][\w-]* +/;

/** Why a body cannot be recorded: nothing takes what is secret out of it. */
export class StuckSecret extends Error {
  override readonly name = "StuckSecret";
}

/** A place in bytes. */
export interface Place {
  readonly at: number;
  readonly bytes: number;
  readonly by: RedactedBy;
}

/** Is the value of this field a secret? `name` is in lower case. */
export function isSecretField(name: string, isRequest: boolean): boolean {
  if (name.includes("ratelimit")) return false; // "tokens" are counted there
  if (isRequest) return isKeyHeader(name) || isPrivateHeader(name) || ACCOUNT_FIELDS.has(name);
  return isKeyHeader(name) || ACCOUNT_FIELDS.has(name);
}

/** Knows what to look for. */
export class Redactor {
  readonly #keys: readonly string[];
  readonly #patterns: readonly RE2JS[];
  /** Each finds something of what is looked for. */
  readonly #looks: readonly Look[];

  private constructor(keys: readonly string[], patterns: readonly RE2JS[]) {
    this.#keys = keys;
    this.#patterns = patterns;
    this.#looks = [
      ...(keys.length === 0 ? [] : [keysIn(keys)]),
      ...patterns.map(matchesIn),
    ];
  }

  /** One for `keys`, secrets of the config, and for `patterns`, those of `tape.redact`. */
  static of(keys: Iterable<string>, patterns: readonly string[]): Redactor {
    const known = [...new Set(keys)].filter(({ length }) => length >= KEY_CHARS_MIN);
    return new Redactor(known, patterns.map((source) => linearExpression(source, "")));
  }

  /** True: it looks for nothing in bodies. */
  get isIdle(): boolean {
    return this.#looks.length === 0;
  }

  /** One that also looks for what opens doors in the fields of a request. */
  withFields(fields: Iterable<Field>): Redactor {
    const values = [...fields].flatMap(([name, value]) => secretsIn(name.toLowerCase(), value))
      .filter((value) => value.length >= VALUE_CHARS_MIN && !this.#keys.includes(value));
    if (values.length === 0) return this;
    return new Redactor([...new Set([...this.#keys, ...values])], this.#patterns);
  }

  /**
   * All places in `bytes`, in their order; none overlap. Lets the loop breathe.
   *
   * @throws {StuckSecret} when something secret stands where no asterisk may.
   */
  async find(bytes: Uint8Array): Promise<readonly Place[]> {
    const search = this.#search(bytes);
    for (;;) {
      const { done, value } = search.next();
      if (done) return value;
      await breath();
    }
  }

  /** The same at once, for what is short; what is stuck stays. */
  findNow(bytes: Uint8Array): readonly Place[] {
    const search = this.#search(bytes, true);
    for (;;) {
      const { done, value } = search.next();
      if (done) return value;
    }
  }

  *#search(bytes: Uint8Array, isLenient = false): Generator<void, readonly Place[]> {
    if (this.isIdle) return [];
    const places = yield* this.#searchText(bytes);
    const texts = yield* spreadTexts(bytes);
    if (texts === undefined && !isLenient) {
      throw new StuckSecret("a body has too many pieces to look for secrets in all of them");
    }
    for (const text of texts ?? []) {
      const found = yield* this.#searchText(text.bytes);
      if (!text.isNumbers) places.push(...found.flatMap((place) => piecesOf(place, text)));
      else if (found.length > 0 && !isLenient) {
        throw new StuckSecret(
          "a secret stands in a list of bytes, which it cannot be taken out of",
        );
      }
    }
    return merged(places);
  }

  /** Places in what is read as one text, in no order. */
  *#searchText(bytes: Uint8Array): Generator<void, Place[]> {
    const places: Place[] = [];
    let size = WINDOW_BYTES;
    for (let from = 0; from < bytes.length;) {
      const to = Math.min(bytes.length, from + size);
      const found = this.#searchWindow(bytes, from, to);
      const isCut = to < bytes.length && found.some(({ at, bytes }) => at + bytes >= to);
      if (isCut) {
        size *= 2; // the match may go on
        continue;
      }
      places.push(...found);
      if (to === bytes.length) break;
      from = to - OVERLAP_BYTES;
      size = WINDOW_BYTES;
      yield;
    }
    return places;
  }

  #searchWindow(bytes: Uint8Array, from: number, to: number): readonly Place[] {
    const window = bytes.subarray(from, to);
    return spellings(window).flatMap((spelling) =>
      this.#looks.flatMap((look) =>
        look(spelling.bytes).map(({ at, bytes, by }): Place => {
          const span = spelling.source(at, at + bytes);
          // Of an escape all goes: half of one would be none, and the JSON around it broken.
          const start = escapeAt(window, span.at)?.at ?? span.at;
          const end = escapeAt(window, span.end - 1)?.end ?? span.end;
          return { at: from + start, bytes: Math.min(end, window.length) - start, by };
        })
      )
    );
  }

  /** `fields` without their secrets, and where those stood. */
  fields(
    fields: Iterable<Field>,
    where: Extract<RedactedWhere, `${string}.field`>,
  ): { readonly fields: readonly Field[]; readonly redactions: readonly Redaction[] } {
    const redactions: Redaction[] = [];
    const counts = new Map<string, number>();
    const clean = [...fields].map(([sent, value]): Field => {
      const name = sent.toLowerCase();
      const index = counts.get(name) ?? 0;
      counts.set(name, index + 1);
      const bytes = Buffer.from(value, "latin1");
      const places = isSecretField(name, where === "request.field")
        ? whole(value)
        : this.findNow(bytes);
      for (const { at, bytes, by } of places) {
        redactions.push({ where, name, ...(index === 0 ? {} : { index }), at, bytes, by });
      }
      return [sent, places.length === 0 ? value : starred(bytes, places).toString("latin1")];
    });
    return { fields: clean, redactions };
  }

  /** `path` without its secrets, and where those stood. */
  path(path: string): { readonly path: string; readonly redactions: readonly Redaction[] } {
    const bytes = Buffer.from(path, "latin1");
    const options = [...path.matchAll(OPTION)]
      .filter(([, name]) => isSecretName(plainName(name!.slice(0, -1))))
      .map(({ index, 1: name, 2: value }) => ({
        at: index + 1 + name!.length,
        bytes: value!.length,
        by: "name" as const,
      }));
    const places = merged([...options, ...this.findNow(bytes)]);
    return {
      path: places.length === 0 ? path : starred(bytes, places).toString("latin1"),
      redactions: places.map((place) => ({ where: "request.path", ...place })),
    };
  }
}

/** A copy of `bytes` with asterisks at `places`. */
export function starred(bytes: Uint8Array, places: readonly Place[]): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes);
  for (const { at, bytes } of places) copy.fill(STAR, at, at + bytes);
  return copy;
}

/** All of a field's value but for the scheme of a credential. */
function whole(value: string): readonly Place[] {
  const at = SCHEME.exec(value)?.[0].length ?? 0;
  return at === value.length ? [] : [{ at, bytes: value.length - at, by: "name" }];
}

/** The name of an option without the escapes of a URL. */
function plainName(name: string): string {
  const bytes = spellings(Buffer.from(name, "latin1")).at(-1)!.bytes;
  return Buffer.from(bytes).toString("latin1");
}

/** What in the value of a request's field opens doors by itself. */
function secretsIn(name: string, value: string): readonly string[] {
  if (name.startsWith("cookie")) {
    return value.split(/;\s*/).map((one) => one.slice(one.indexOf("=") + 1));
  }
  return isKeyHeader(name) ? [value.replace(SCHEME, "")] : [];
}

/** Finds places in `bytes`. */
type Look = (bytes: Uint8Array) => readonly Place[];

/** Finds `keys` in bytes as latin1. Longer ones first, as one may stand in another. */
function keysIn(keys: readonly string[]): Look {
  const sources = keys.toSorted((a, b) => b.length - a.length)
    .map((key) => Buffer.from(key, "utf8").toString("latin1").replaceAll(/[^\w-]/g, escaped));
  const expression = new RegExp(sources.join("|"), "g");
  return (bytes) =>
    [...latin1(bytes).matchAll(expression)].map((match) => ({
      at: match.index,
      bytes: match[0].length,
      by: "key" as const,
    }));
}

function escaped(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function matchesIn(pattern: RE2JS): Look {
  return (bytes) => {
    const matcher = pattern.matcher(bytes);
    const places: Place[] = [];
    while (matcher.find()) {
      const length = matcher.end() - matcher.start();
      if (length > 0) places.push({ at: matcher.start(), bytes: length, by: "pattern" });
    }
    return places;
  };
}

/** Where in the body a place in `text` stands. */
function piecesOf({ at, bytes, by }: Place, text: SpreadText): readonly Place[] {
  return [...text.source({ at, end: at + bytes })]
    .map((span) => ({ at: span.at, bytes: span.end - span.at, by }));
}

/** In their order, those that overlap as one. */
function merged(places: readonly Place[]): readonly Place[] {
  if (places.length < 2) return places;
  const sorted = places.toSorted((a, b) => a.at - b.at || b.bytes - a.bytes);
  const out: Place[] = [];
  for (const place of sorted) {
    const last = out.at(-1);
    if (last === undefined || place.at >= last.at + last.bytes) out.push(place);
    else {
      const end = Math.max(last.at + last.bytes, place.at + place.bytes);
      out[out.length - 1] = { ...last, bytes: end - last.at };
    }
  }
  return out;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
