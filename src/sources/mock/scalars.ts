/**
 * Numbers and texts within the bounds of a JSON Schema.
 *
 * @module
 */

import type { Fields } from "./fields.ts";

/** Multiples that are tried until one is exact: 0.1 × 3 is not 0.3. */
const TRIES_MAX = 100;

/**
 * The number that is nearest to 1 + `offset` within the bounds of `fields`; undefined = there is
 * none.
 */
export function numberOf(fields: Fields, isWhole: boolean, offset: number): number | undefined {
  const { multipleOf } = fields;
  const wanted = 1 + offset;
  const isBelow = (value: number) => !isOver(value, fields);
  if (typeof multipleOf !== "number" && !isWhole) {
    const [low, high] = boundsOf(fields);
    const near = Math.min(Math.max(wanted, low), high);
    const middle = (Math.max(low, -1e300) + Math.min(high, 1e300)) / 2;
    return [near, near + 1, near - 1, middle].find((value) =>
      Number.isFinite(value) && isBelow(value) && !isUnder(value, fields)
    );
  }
  const step = typeof multipleOf === "number" ? multipleOf : 1;
  if (!(step > 0)) return undefined;
  const [low, high] = boundsOf(fields);
  const fits = (count: number) => {
    const value = Number((count * step).toPrecision(15));
    const isExact = Number.isInteger(value / step) && (!isWhole || Number.isInteger(value));
    return isExact && isBelow(value) && !isUnder(value, fields) ? value : undefined;
  };
  const from = Math.ceil(Math.max(low, Math.min(wanted, high)) / step);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const value = fits(from + tries) ?? fits(from - tries);
    if (value !== undefined) return value === 0 ? 0 : value;
  }
  return undefined;
}

/** In draft 4 the exclusive bounds are true or false. */
function boundsOf(fields: Fields): readonly [low: number, high: number] {
  return [
    Math.max(bound(fields["minimum"], -Infinity), bound(fields["exclusiveMinimum"], -Infinity)),
    Math.min(bound(fields["maximum"], Infinity), bound(fields["exclusiveMaximum"], Infinity)),
  ];
}

function bound(value: unknown, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}

function isUnder(value: number, { minimum, exclusiveMinimum }: Fields): boolean {
  return value < bound(minimum, -Infinity) || value <= bound(exclusiveMinimum, -Infinity) ||
    (exclusiveMinimum === true && value === minimum);
}

function isOver(value: number, { maximum, exclusiveMaximum }: Fields): boolean {
  return value > bound(maximum, Infinity) || value >= bound(exclusiveMaximum, Infinity) ||
    (exclusiveMaximum === true && value === maximum);
}

/**
 * A text that may say anything: `name`, numbered from the second one on, cut or filled up to the
 * lengths of `fields`, in characters. undefined = it would be longer than `charsMax`.
 */
export function plainText(
  fields: Fields,
  name: string,
  nth: number,
  charsMax: number,
): string | undefined {
  const min = bound(fields["minLength"], 0);
  const max = bound(fields["maxLength"], Infinity);
  if (min > charsMax) return undefined;
  const number = nth === 0 ? "" : String(nth + 1);
  const chars = [...name.toWellFormed()];
  const kept = chars.slice(0, Math.max(0, max - number.length)).join("") + number;
  const length = [...kept].length;
  return length < min ? kept + "x".repeat(min - length) : [...kept].slice(0, max).join("");
}

/** A text of `format`, another one for each `nth`; undefined = the format is not known. */
export function textOfFormat(format: unknown, nth: number): string | undefined {
  return typeof format === "string" && Object.hasOwn(FORMATS, format)
    ? FORMATS[format]!(nth)
    : undefined;
}

function two(number: number): string {
  return String(number % 60).padStart(2, "0");
}

/** The minute and the second of `nth`. */
function clock(nth: number): string {
  return `00:${two(Math.floor(nth / 60))}:${two(nth)}`;
}

/** A day of the year 2026, of which 28 are in every month. */
function day(nth: number): string {
  return `2026-${two(1 + Math.floor(nth / 28) % 12)}-${two(1 + nth % 28)}`;
}

/** "", 2, 3 … */
function numbered(nth: number): string {
  return nth === 0 ? "" : String(nth + 1);
}

const email = (nth: number) => `user${numbered(nth)}@example.com`;
const hostname = (nth: number) => nth === 0 ? "example.com" : `host${nth + 1}.example.com`;
const uri = (nth: number) => `https://example.com/${numbered(nth)}`;
const reference = (nth: number) => `/path${numbered(nth)}`;

const FORMATS: Readonly<Record<string, (nth: number) => string>> = {
  "date-time": (nth) => `2026-01-01T${clock(nth)}Z`,
  date: day,
  time: (nth) => `${clock(nth)}Z`,
  duration: (nth) => `PT${nth + 1}S`,
  email,
  "idn-email": email,
  hostname,
  "idn-hostname": hostname,
  ipv4: (nth) => `192.0.2.${1 + nth % 254}`,
  ipv6: (nth) => `2001:db8::${(nth + 1).toString(16)}`,
  uri,
  iri: uri,
  url: uri,
  "uri-reference": reference,
  "iri-reference": reference,
  "uri-template": (nth) => `https://example.com/{id}${numbered(nth)}`,
  uuid: (nth) => `00000000-0000-4000-8000-${(nth + 1).toString(16).padStart(12, "0")}`,
  regex: (nth) => `^a${numbered(nth)}$`,
  "json-pointer": reference,
  "relative-json-pointer": (nth) => String(nth),
  byte: (nth) => btoa(`text${numbered(nth)}`),
};
