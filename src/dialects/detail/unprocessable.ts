/**
 * What is wrong with a body, as FastAPI says it: status 422 and one entry per fault in the words of
 * Pydantic, made from zod's issues.
 *
 * @module
 */

import type { z } from "zod";
import { AppError } from "../../core/errors.ts";
import { isDeeper } from "../../lib/depth.ts";
import type { Whole } from "../../core/surface.ts";
import { jsonAnswer } from "./errors.ts";

/** One fault. */
export interface Detail {
  readonly type: string;
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly input: unknown;
  readonly ctx?: Readonly<Record<string, unknown>>;
}

/** Faults that are told; a body of many wrong messages has as many. */
const DETAILS_MAX = 100;

/** Longest text of all inputs together, in characters; above it none is repeated. */
const INPUT_CHARS_MAX = 4096;

/**
 * Lists and objects inside one another in an input that is repeated: more would be a stack's end.
 */
const INPUT_DEPTH_MAX = 100;

/** A body with faults: 422. */
export class Unprocessable extends AppError {
  readonly details: readonly Detail[];

  constructor(details: readonly Detail[]) {
    const [first] = details;
    super("request_invalid", `${first?.loc.join(".")}: ${first?.msg}`, { status: 422 });
    this.details = details;
  }
}

/** The answer to such a body. */
export function unprocessableAnswer(error: Unprocessable): Whole {
  const inputs = error.details.map(({ input }) => input);
  const isShown = !isDeeper(inputs, INPUT_DEPTH_MAX) &&
    JSON.stringify(inputs).length <= INPUT_CHARS_MAX;
  const detail = isShown ? error.details : error.details.map((one) => ({ ...one, input: null }));
  return jsonAnswer({ detail }, error.status);
}

/** The error for `body`, in which zod found `issues`. */
export function unprocessable(body: unknown, issues: readonly z.core.$ZodIssue[]): Unprocessable {
  return new Unprocessable(
    issues.slice(0, DETAILS_MAX).map((issue) => detailOf(body, innermost(issue))),
  );
}

/** Of a union the branch that was meant: the one that failed for something else than its type. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const meant = issue.errors.find(([first]) =>
    first !== undefined && (first.path.length > 0 || first.code !== "invalid_type")
  );
  const inner = (meant ?? issue.errors[0])?.[0];
  if (inner === undefined) return issue;
  return innermost({ ...inner, path: [...issue.path, ...inner.path] });
}

function detailOf(body: unknown, issue: z.core.$ZodIssue): Detail {
  const path = issue.path as (string | number)[];
  const loc = ["body", ...path];
  const input = valueAt(body, path);
  if (input === undefined) {
    const parent = valueAt(body, path.slice(0, -1));
    return { type: "missing", loc, msg: "Field required", input: parent ?? null };
  }
  const { type, msg, ctx } = wordsOf(issue, input);
  return { type, loc, msg, input, ...(ctx === undefined ? {} : { ctx }) };
}

function wordsOf(issue: z.core.$ZodIssue, input: unknown): Pick<Detail, "type" | "msg" | "ctx"> {
  if (issue.code === "invalid_type") return typeWords(issue.expected, input);
  if (issue.code === "too_small") {
    const limit = Number(issue.minimum);
    return Array.isArray(input)
      ? countWords("too_short", "at least", limit, input.length)
      : { type: "greater_than_equal", msg: moreWords("greater", limit), ctx: { ge: limit } };
  }
  if (issue.code === "too_big") {
    const limit = Number(issue.maximum);
    return Array.isArray(input)
      ? countWords("too_long", "at most", limit, input.length)
      : { type: "less_than_equal", msg: moreWords("less", limit), ctx: { le: limit } };
  }
  return { type: "value_error", msg: issue.message };
}

function moreWords(side: "greater" | "less", limit: number): string {
  return `Input should be ${side} than or equal to ${limit}`;
}

function countWords(type: string, bound: string, limit: number, length: number) {
  const items = limit === 1 ? "item" : "items";
  const msg = `List should have ${bound} ${limit} ${items} after validation, not ${length}`;
  const key = type === "too_short" ? "min_length" : "max_length";
  return { type, msg, ctx: { field_type: "List", [key]: limit, actual_length: length } };
}

/** zod's name of a type → Pydantic's, and what it says of a value of another type. */
const TYPES: Readonly<Record<string, readonly [type: string, msg: string]>> = {
  string: ["string_type", "Input should be a valid string"],
  number: ["float_type", "Input should be a valid number"],
  int: ["int_type", "Input should be a valid integer"],
  boolean: ["bool_type", "Input should be a valid boolean"],
  array: ["list_type", "Input should be a valid list"],
  object: [
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
  ],
};

function typeWords(expected: string, input: unknown): Pick<Detail, "type" | "msg"> {
  if (expected === "int" && typeof input === "number") {
    return {
      type: "int_from_float",
      msg: "Input should be a valid integer, got a number with a fractional part",
    };
  }
  const [type, msg] = TYPES[expected] ?? ["value_error", `Input should be a valid ${expected}`];
  return { type, msg };
}

/** What lies at `path`; undefined = nothing does. */
function valueAt(body: unknown, path: readonly (string | number)[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Readonly<Record<string | number, unknown>>)[key];
  }
  return value;
}
