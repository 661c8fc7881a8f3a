/**
 * Form fields whose names are paths: `input[prompt]=…`, `input[tags][]=a`.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import { shown } from "../../lib/shown.ts";

/** Fields of one form. */
export const FORM_FIELDS_MAX = 1000;
/** Brackets in one name. */
export const FORM_DEPTH_MAX = 16;

/** Characters of one name. */
const FORM_NAME_CHARS_MAX = 1000;

/** Of a name an error repeats so much. */
const TOLD_CHARS_MAX = 200;

/** A mapping that is being filled; a `Map`, so that no name is special. */
type Level = Map<string, unknown>;

/**
 * The object that `fields` spell. A name that comes twice counts with its last value; `[]` at the
 * end of a name collects all of them.
 *
 * @throws {AppError} `request_invalid`
 */
export function objectOfFields(
  fields: Iterable<readonly [string, unknown]>,
): Record<string, unknown> {
  const root: Level = new Map();
  let count = 0;
  for (const [name, value] of fields) {
    if (++count > FORM_FIELDS_MAX) throw tooManyFields();
    put(root, stepsOf(name), value, name);
  }
  return plain(root);
}

/** A form has more fields than are taken. */
export function tooManyFields(): AppError {
  return invalid(`the form has more than ${FORM_FIELDS_MAX} fields`);
}

function stepsOf(name: string): readonly string[] {
  if (name.length > FORM_NAME_CHARS_MAX) {
    throw invalid(`a field name has more than ${FORM_NAME_CHARS_MAX} characters`);
  }
  const match = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name);
  if (match === null) throw invalid(`the field name ${shown(name)} is no path`);
  const [, head = "", brackets = ""] = match;
  const steps = [head, ...Array.from(brackets.matchAll(/\[([^\]]*)\]/g), ([, step]) => step!)];
  if (steps.length > FORM_DEPTH_MAX) {
    throw invalid(`a field name has more than ${FORM_DEPTH_MAX} brackets`);
  }
  if (steps.includes("__proto__")) throw invalid("the key __proto__ is not allowed");
  if (steps.slice(0, -1).includes("")) {
    throw invalid(`[] must stand last: ${name.slice(0, TOLD_CHARS_MAX)}`);
  }
  return steps;
}

function put(root: Level, steps: readonly string[], value: unknown, name: string): void {
  let level = root;
  const isList = steps.at(-1) === "";
  const path = isList ? steps.slice(0, -1) : steps;
  const contradiction = () =>
    invalid(`the field ${name.slice(0, TOLD_CHARS_MAX)} contradicts another one`);
  for (const step of path.slice(0, -1)) {
    const below = level.get(step) ?? new Map();
    if (!(below instanceof Map)) throw contradiction();
    level.set(step, below);
    level = below;
  }
  const last = path.at(-1)!;
  const before = level.get(last);
  if (before instanceof Map) throw contradiction();
  if (!isList) level.set(last, value);
  else if (before === undefined) level.set(last, [value]);
  else if (Array.isArray(before)) before.push(value);
  else throw contradiction();
}

function plain(level: Level): Record<string, unknown> {
  return Object.fromEntries(
    [...level].map(([key, value]) => [key, value instanceof Map ? plain(value) : value]),
  );
}

function invalid(reason: string): AppError {
  return new AppError("request_invalid", `Invalid request body: ${reason}`);
}
