/**
 * A JSON Schema with its references followed and its `allOf` joined, so that one look tells what is
 * wanted at a place.
 *
 * @module
 */

import { type Fields, fieldsOf, GUARDED, listOf, typesOf } from "./fields.ts";
import type { References } from "./references.ts";
import type { Steps } from "./work.ts";

/** Steps for looking at one schema. */
const FLAT_STEPS = 50;

/** Nothing can be made here: whoever has another possibility takes that. */
export class Stuck {
  /** Where in the value, as "a.b.0"; "" = all of it. */
  readonly at: string;
  /** The rest of "there is no value: …". */
  readonly reason: string;

  constructor(at: string, reason: string) {
    this.at = at;
    this.reason = reason;
  }
}

/** What is wanted at one place. */
export interface Flat {
  /** All keywords but those that join schemas. */
  readonly fields: Fields;
  /** One of each list must hold, too: `anyOf`, `oneOf`, `if` with its branches. */
  readonly lists: readonly (readonly unknown[])[];
  /** The references that led here: to meet one again would be a way without end. */
  readonly refs: ReadonlySet<string>;
}

/** What a schema is seen with. */
export interface Sight {
  readonly references: References;
  readonly steps: Steps;
  /** The place that it is seen at. */
  readonly at: string;
}

/**
 * `schema`, seen on the way of `refs`.
 *
 * @throws {Stuck} when it allows nothing, refers to what is not there, or to itself.
 * @throws {RangeError} when it takes too long.
 */
export function flatten(schema: unknown, refs: ReadonlySet<string>, sight: Sight): Flat {
  const { references, steps, at } = sight;
  steps.take(FLAT_STEPS);
  if (schema === false) throw new Stuck(at, "the schema allows none");
  const whole = fieldsOf(schema);
  const {
    $ref,
    $dynamicRef,
    $recursiveRef,
    allOf,
    anyOf,
    oneOf,
    if: condition,
    then: met,
    else: unmet,
    ...fields
  } = whole;
  const lists = [anyOf, oneOf].filter((list): list is unknown[] => Array.isArray(list));
  if (condition !== undefined) {
    lists.push([{ allOf: [condition, met ?? {}] }, unmet ?? {}]);
  }
  let flat: Flat = { fields: normal(fields), lists, refs };
  for (
    const [ref, find] of [
      [$ref, (ref: string) => references.target(ref, whole)],
      [$dynamicRef, (ref: string) => references.dynamicTarget(ref, whole, references.scope)],
      [$recursiveRef, (_: string) => references.recursiveTarget(whole, references.scope)],
    ] as const
  ) {
    if (typeof ref !== "string") continue;
    if (refs.has(ref)) throw new Stuck(at, `${ref} refers to itself`);
    const target = find(ref);
    if (target === undefined) throw new Stuck(at, `${ref} is not in the schema`);
    steps.take(refs.size);
    flat = joined(flat, flatten(target, new Set([...flat.refs, ref]), sight), steps);
  }
  for (const part of listOf(allOf)) flat = joined(flat, flatten(part, flat.refs, sight), steps);
  return flat;
}

/** `join`, counted: what was joined is copied. */
function joined(one: Flat, other: Flat, steps: Steps): Flat {
  const { properties, required, enum: values } = one.fields;
  const names = Object.keys(fieldsOf(properties)).length;
  steps.take(FLAT_STEPS + 5 * (names + listOf(required).length + listOf(values).length));
  return join(one, other);
}

/** What both want. */
export function join(one: Flat, other: Flat): Flat {
  const fields: Record<string, unknown> = { ...one.fields };
  for (const [key, value] of Object.entries(other.fields)) {
    const mine = fields[key];
    fields[key] = mine === undefined ? value : (JOINTS[key] ?? second)(mine, value);
  }
  return {
    fields,
    lists: [...one.lists, ...other.lists],
    refs: other.refs.size > one.refs.size ? other.refs : one.refs,
  };
}

/** `const` is an `enum` of one. */
function normal(fields: Fields): Fields {
  const { const: only, ...rest } = fields;
  return only === undefined ? fields : { ...rest, enum: [only] };
}

type Joint = (one: unknown, other: unknown) => unknown;

const second: Joint = (_, other) => other;
const largest: Joint = (one, other) => Math.max(Number(one), Number(other));
const smallest: Joint = (one, other) => Math.min(Number(one), Number(other));
const both: Joint = (one, other) => ({ allOf: [one, other] });

/** How two wishes of one kind become one; of any other kind the second holds. */
const JOINTS: Readonly<Record<string, Joint>> = {
  type: (one, other) => {
    const types = typesOf(other);
    return typesOf(one).flatMap((type) => {
      if (types.includes(type)) return [type];
      if (type === "number" && types.includes("integer")) return ["integer"];
      return type === "integer" && types.includes("number") ? ["integer"] : [];
    });
  },
  enum: (one, other) => {
    const texts = new Set(listOf(other).map((value) => JSON.stringify(value)));
    return listOf(one).filter((value) => texts.has(JSON.stringify(value)));
  },
  required: (one, other) => [...new Set([...listOf(one), ...listOf(other)])],
  properties: (one, other) => {
    const joined: Record<string, unknown> = { ...fieldsOf(one) };
    for (const [name, schema] of Object.entries(fieldsOf(other))) {
      joined[name] = Object.hasOwn(joined, name) ? both(joined[name], schema) : schema;
    }
    return joined;
  },
  additionalProperties: both,
  items: both,
  [GUARDED]: (one, other) => [...listOf(one), ...listOf(other)],
  prefixItems: (one, other) => {
    const [longer, shorter] = listOf(one).length < listOf(other).length
      ? [listOf(other), listOf(one)]
      : [listOf(one), listOf(other)];
    return longer.map((schema, i) => i < shorter.length ? both(schema, shorter[i]) : schema);
  },
  minimum: largest,
  exclusiveMinimum: largest,
  minLength: largest,
  minItems: largest,
  minProperties: largest,
  maximum: smallest,
  exclusiveMaximum: smallest,
  maxLength: smallest,
  maxItems: smallest,
  maxProperties: smallest,
};
