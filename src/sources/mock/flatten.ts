/**
 * A JSON Schema with its references followed and its `allOf` joined, so that one look tells what is
 * wanted at a place.
 *
 * @module
 */

/** Where a schema's own patterns stand that the validator must not see (`guard`): a list of them. */
export const GUARDED = "weir:patterns";

/** A JSON object whose keys are not known. */
export type Fields = Readonly<Record<string, unknown>>;

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

/**
 * `schema`, a part of `root`, seen at the place `at`.
 *
 * @throws {Stuck} when it allows nothing, refers to what is not there, or to itself.
 */
export function flatten(
  schema: unknown,
  root: unknown,
  refs: ReadonlySet<string>,
  at: string,
): Flat {
  if (schema === false) throw new Stuck(at, "the schema allows none");
  const { $ref, allOf, anyOf, oneOf, if: condition, then: met, else: unmet, ...fields } = fieldsOf(
    schema,
  );
  const lists = [anyOf, oneOf].filter((list): list is unknown[] => Array.isArray(list));
  if (condition !== undefined) {
    lists.push([{ allOf: [condition, met ?? {}] }, unmet ?? {}]);
  }
  let flat: Flat = { fields: normal(fields), lists, refs };
  if (typeof $ref === "string") {
    if (refs.has($ref)) throw new Stuck(at, `${$ref} refers to itself`);
    const target = resolve($ref, root);
    if (target === undefined) throw new Stuck(at, `${$ref} is not in the schema`);
    flat = join(flat, flatten(target, root, new Set([...refs, $ref]), at));
  }
  for (const part of listOf(allOf)) flat = join(flat, flatten(part, root, flat.refs, at));
  return flat;
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

/** The schema that `ref` names in `root`: a pointer, an anchor or an id. */
function resolve(ref: string, root: unknown): unknown {
  if (ref === "#") return root;
  if (!ref.startsWith("#/")) return find(ref, root);
  let target = root;
  for (const step of decoded(ref.slice(2)).split("/")) {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof target !== "object" || target === null || !Object.hasOwn(target, key)) {
      return undefined;
    }
    target = (target as Fields)[key];
  }
  return target;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function find(ref: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const { $id, $anchor } = value as Fields;
  if ($id === ref || (typeof $anchor === "string" && ref === `#${$anchor}`)) return value;
  for (const inner of Object.values(value)) {
    const found = find(ref, inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `value` as an object; of anything else the empty one. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Fields
    : {};
}

/** `value` as a list; of anything else the empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The names in a `type`. */
export function typesOf(type: unknown): readonly unknown[] {
  return Array.isArray(type) ? type : type === undefined ? [] : [type];
}
