/**
 * What differs between two tapes: what was asked, what was answered, how it ended; and when it came,
 * which is never the same twice.
 *
 * @module
 */

import { parseExactJson } from "../../lib/exact_json.ts";
import { differenceText, jsonDifferences } from "../../lib/json_differences.ts";
import type { Field } from "../../lib/http1/fields.ts";
import { shown } from "../../lib/shown.ts";
import { SseParser } from "../../lib/sse.ts";
import type { Tape } from "./format.ts";

/** Of one body, so many places are told. */
const PLACES_MAX = 20;

/** A tape, and the body of its answer without its content encoding. */
export interface Compared {
  readonly tape: Tape;
  readonly answer: Uint8Array;
}

/** What differs between two tapes, a line each, with what the first one has first. */
export interface TapeDifferences {
  /** Of the request. */
  readonly asked: readonly string[];
  /** Of the answer and its ending. */
  readonly answered: readonly string[];
  /** In how many pieces it came. */
  readonly pieces: readonly string[];
  /** When. */
  readonly times: readonly string[];
}

/** Compares two tapes. */
export function tapeDifferences(one: Compared, other: Compared): TapeDifferences {
  const [a, b] = [one.tape, other.tape];
  return {
    asked: [
      ...value("method", a.request.method, b.request.method),
      ...value("path", a.base + a.request.path, b.base + b.request.path),
      ...fieldLines(a.request.fields, b.request.fields),
      ...bodyLines(a.request.body, b.request.body),
    ],
    answered: [
      ...value("status", a.response?.status, b.response?.status),
      ...fieldLines(a.response?.fields ?? [], b.response?.fields ?? []),
      ...bodyLines(one.answer, other.answer),
      ...value("ending", a.ending.how, b.ending.how),
      ...value("error", a.ending.error, b.ending.error),
    ],
    pieces: pieceLines(a, b),
    times: [
      ...time("head", a.response?.atUs, b.response?.atUs),
      ...time("first byte", a.reads[0]?.atUs, b.reads[0]?.atUs),
      ...time("longest gap", longestGap(a), longestGap(b)),
      ...time("end", a.ending.atUs, b.ending.atUs),
    ],
  };
}

function value(path: string, one: unknown, other: unknown): readonly string[] {
  return one === other ? [] : [differenceText({ path, one, other })];
}

function time(what: string, one: number | undefined, other: number | undefined): readonly string[] {
  const ms = (us: number | undefined) => us === undefined ? "never" : `${us / 1000} ms`;
  return one === other ? [] : [`${what}: ${ms(one)} instead of ${ms(other)}`];
}

/** Header fields by their names, whatever their order. */
function fieldLines(one: readonly Field[], other: readonly Field[]): readonly string[] {
  const [a, b] = [byName(one), byName(other)];
  return [...new Set([...a.keys(), ...b.keys()])].flatMap((name) =>
    value(name, a.get(name), b.get(name))
  );
}

function byName(fields: readonly Field[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of fields) {
    const small = name.toLowerCase();
    const before = values.get(small);
    values.set(small, before === undefined ? value : `${before}, ${value}`);
  }
  return values;
}

/** JSON by its places, streams event by event, anything else as a whole. */
function bodyLines(one: Uint8Array, other: Uint8Array): readonly string[] {
  if (Buffer.compare(one, other) === 0) return [];
  const [a, b] = [partsOf(one), partsOf(other)];
  if (a === undefined || b === undefined || a.isStream !== b.isStream) {
    return [`body: ${bytesText(one)} instead of ${bytesText(other)}`];
  }
  const lines: string[] = [];
  for (let at = 0; at < Math.max(a.parts.length, b.parts.length); at++) {
    const place = a.isStream ? `event ${at + 1}` : "body";
    for (const found of jsonDifferences(a.parts[at], b.parts[at], PLACES_MAX)) {
      const line = differenceText(found, place);
      lines.push(a.isStream && found.path !== "" ? `${place}: ${line}` : line);
    }
    if (lines.length > PLACES_MAX) return [...lines.slice(0, PLACES_MAX), "and more places"];
  }
  return lines.length > 0 ? lines : ["body: other bytes that say the same"];
}

/** The JSON of a body, or the data of its events; undefined = it is neither. */
function partsOf(body: Uint8Array) {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return undefined;
  }
  const json = jsonIn(text);
  if (json !== undefined) return { isStream: false, parts: [json] };
  const events = new SseParser(body.length + 2).feed(new TextEncoder().encode(`${text}\n\n`));
  if (events.length === 0) return undefined;
  return { isStream: true, parts: events.map(({ data }) => jsonIn(data) ?? data) };
}

function jsonIn(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

function bytesText(bytes: Uint8Array): string {
  try {
    return shown(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return `${bytes.length} bytes`;
  }
}

function pieceLines({ reads: a }: Tape, { reads: b }: Tape): readonly string[] {
  if (a.length !== b.length) return [`pieces: ${a.length} instead of ${b.length}`];
  const at = a.findIndex(({ bytes }, i) => bytes.length !== b[i]!.bytes.length);
  if (at < 0) return [];
  const [one, other] = [a[at]!.bytes.length, b[at]!.bytes.length];
  return [`piece ${at + 1}: ${one} bytes instead of ${other} bytes`];
}

function longestGap({ reads }: Tape): number | undefined {
  if (reads.length < 2) return undefined;
  return Math.max(...reads.slice(1).map(({ atUs }, at) => atUs - reads[at]!.atUs));
}
