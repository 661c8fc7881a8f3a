/**
 * Finds what must reach no tape: values of fields that open doors, the keys that weir knows wherever
 * they turn up, and what `tape.redact` says. Each byte of it becomes an asterisk, so that all else
 * keeps its place.
 *
 * @module
 */

import type { RE2JS } from "re2js";
import { isKeyHeader, isPrivateHeader } from "../../config/private_headers.ts";
import type { Field } from "../../lib/http1/fields.ts";
import { linearExpression } from "../../lib/linear_expression.ts";
import { REDACTED, type RedactedBy, type RedactedWhere, type Redaction } from "./format.ts";

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

/** An option of a URL, and names that tell of keys. */
const OPTION = /[?&]([^=&#]*=)([^&#]+)/g;
const SECRET_NAME = /pass|pwd|secret|token|key|sig/i;

/** What follows the scheme of a credential: "Bearer …". */
const SCHEME = /^[A-Za-z][\w-]* +/;

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
      ...(keys.length === 0 ? [] : [keysIn(expressionOf(keys))]),
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

  /** All places in `bytes`, in their order; none overlap. Lets the loop breathe. */
  async find(bytes: Uint8Array): Promise<readonly Place[]> {
    const places: Place[] = [];
    for (const look of this.#looks) {
      let size = WINDOW_BYTES;
      for (let from = 0; from < bytes.length;) {
        const to = Math.min(bytes.length, from + size);
        const found = look(bytes, from, to);
        const isCut = to < bytes.length && found.some(({ at, bytes }) => at + bytes === to);
        if (isCut) {
          size *= 2; // the match may go on
          continue;
        }
        places.push(...found);
        if (to === bytes.length) break;
        from = to - OVERLAP_BYTES;
        size = WINDOW_BYTES;
        await breath();
      }
    }
    return merged(places);
  }

  /** The same at once, for what is short. */
  findNow(bytes: Uint8Array): readonly Place[] {
    return merged(this.#looks.flatMap((look) => look(bytes, 0, bytes.length)));
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
      .filter(([, name]) => SECRET_NAME.test(name!))
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

/** What in the value of a request's field opens doors by itself. */
function secretsIn(name: string, value: string): readonly string[] {
  if (name.startsWith("cookie")) {
    return value.split(/;\s*/).map((one) => one.slice(one.indexOf("=") + 1));
  }
  return isKeyHeader(name) ? [value.replace(SCHEME, "")] : [];
}

/**
 * Finds `keys` in bytes as latin1, however each character of them is spelled: as it is, in a URL, or
 * with an escape of JSON. Longer keys first, as one may stand in another.
 */
function expressionOf(keys: readonly string[]): RegExp {
  const sorted = keys.toSorted((a, b) => b.length - a.length);
  const sources = sorted.map((key) =>
    Array.from(Buffer.from(key, "utf8"), (byte) => {
      const hex = byte.toString(16).padStart(2, "0");
      const anyCase = hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
      const slash = byte === 0x2f || byte === 0x22 || byte === 0x5c ? "\\\\?" : "";
      return `(?:${slash}\\x${hex}|%${anyCase}|\\\\u00${anyCase})`;
    }).join("")
  );
  return new RegExp(sources.join("|"), "g");
}

/** Finds places in `bytes` from `from` to before `to`. */
type Look = (bytes: Uint8Array, from: number, to: number) => Place[];

function keysIn(expression: RegExp): Look {
  return (bytes, from, to) =>
    [...latin1(bytes.subarray(from, to)).matchAll(expression)].map((match) => ({
      at: from + match.index,
      bytes: match[0].length,
      by: "key" as const,
    }));
}

function matchesIn(pattern: RE2JS): Look {
  return (bytes, from, to) => {
    const matcher = pattern.matcher(bytes.subarray(from, to));
    const places: Place[] = [];
    while (matcher.find()) {
      const length = matcher.end() - matcher.start();
      if (length > 0) places.push({ at: from + matcher.start(), bytes: length, by: "pattern" });
    }
    return places;
  };
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
