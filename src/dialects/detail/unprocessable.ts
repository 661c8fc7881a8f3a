/**
 * What is wrong with a body, as FastAPI says it: status 422 and one entry per fault in the words of
 * Pydantic. Looking ends with the last fault that is told, and no input is repeated that is large.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { Whole } from "../../core/surface.ts";
import { isLonger } from "../../lib/shown.ts";
import { type Fields, isObject, type Rule } from "../openai/check.ts";
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
  const detail = isLonger(inputs, INPUT_CHARS_MAX)
    ? error.details.map((one) => ({ ...one, input: null }))
    : error.details;
  return jsonAnswer({ detail }, error.status);
}

/** The faults of `body`, which should have `fields`; the first hundred. */
export function faultsOf(body: unknown, fields: Fields): readonly Detail[] {
  const survey = new Survey();
  survey.look(body, { kind: "object", fields });
  return survey.details;
}

type Words = Pick<Detail, "type" | "msg" | "ctx">;

/** The kinds of rules, as Pydantic names a value of another kind. */
const TYPES: Readonly<Partial<Record<Rule["kind"], readonly [type: string, msg: string]>>> = {
  string: ["string_type", "Input should be a valid string"],
  either: ["string_type", "Input should be a valid string"],
  decimal: ["float_type", "Input should be a valid number"],
  integer: ["int_type", "Input should be a valid integer"],
  list: ["list_type", "Input should be a valid list"],
  object: [
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
  ],
};

/** Walks a body by its rules. */
class Survey {
  readonly details: Detail[] = [];
  readonly #loc: (string | number)[] = ["body"];

  look(value: unknown, rule: Rule): void {
    if (value === null && rule.isNullable) return;
    switch (rule.kind) {
      case "string":
        if (typeof value !== "string") return this.#wrongType(value, rule);
        if (value.length > (rule.lengthMax ?? Infinity)) {
          this.#add(value, lengthWords(rule.lengthMax!));
        }
        return;
      case "decimal":
        if (typeof value !== "number") return this.#wrongType(value, rule);
        return this.#range(value, rule.min, rule.max);
      case "integer":
        if (typeof value !== "number") return this.#wrongType(value, rule);
        if (!Number.isInteger(value)) return this.#add(value, FRACTION);
        return this.#range(value, rule.min, rule.max);
      case "list":
        if (!Array.isArray(value)) return this.#wrongType(value, rule);
        return this.#items(value, rule);
      case "object":
        if (!isObject(value)) return this.#wrongType(value, rule);
        return this.#fields(value, rule.fields);
      case "either":
        return this.look(value, Array.isArray(value) ? rule.other : rule.text);
      default:
        throw new TypeError(`There are no words for the rule ${rule.kind}`);
    }
  }

  #fields(value: Readonly<Record<string, unknown>>, fields: Fields): void {
    for (const [name, rule] of fields) {
      const field = value[name];
      this.#loc.push(name);
      if (field !== undefined) this.look(field, rule);
      else if (rule.isRequired) this.#add(value, { type: "missing", msg: "Field required" });
      this.#loc.pop();
    }
  }

  #items(items: readonly unknown[], { min = 0, max = Infinity, item }: Rule & { kind: "list" }) {
    const { length } = items;
    if (length < min) return this.#add(items, countWords("too_short", "at least", min, length));
    if (length > max) return this.#add(items, countWords("too_long", "at most", max, length));
    for (let i = 0; i < length && this.details.length < DETAILS_MAX; i++) {
      this.#loc.push(i);
      this.look(items[i], item);
      this.#loc.pop();
    }
  }

  #range(value: number, min = -Infinity, max = Infinity): void {
    if (value < min) {
      this.#add(value, {
        type: "greater_than_equal",
        msg: `Input should be greater than or equal to ${min}`,
        ctx: { ge: min },
      });
    } else if (value > max) {
      this.#add(value, {
        type: "less_than_equal",
        msg: `Input should be less than or equal to ${max}`,
        ctx: { le: max },
      });
    }
  }

  #wrongType(input: unknown, { kind }: Rule): void {
    const [type, msg] = TYPES[kind]!;
    this.#add(input, { type, msg });
  }

  #add(input: unknown, { type, msg, ctx }: Words): void {
    if (this.details.length === DETAILS_MAX) return;
    this.details.push({
      type,
      loc: [...this.#loc],
      msg,
      input,
      ...(ctx === undefined ? {} : { ctx }),
    });
  }
}

const FRACTION: Words = {
  type: "int_from_float",
  msg: "Input should be a valid integer, got a number with a fractional part",
};

function lengthWords(max: number): Words {
  return {
    type: "string_too_long",
    msg: `String should have at most ${max} characters`,
    ctx: { max_length: max },
  };
}

function countWords(type: string, bound: string, limit: number, length: number): Words {
  const items = limit === 1 ? "item" : "items";
  const msg = `List should have ${bound} ${limit} ${items} after validation, not ${length}`;
  const key = type === "too_short" ? "min_length" : "max_length";
  return { type, msg, ctx: { field_type: "List", [key]: limit, actual_length: length } };
}
