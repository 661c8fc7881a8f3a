/**
 * Values from a JSON Schema: small, always valid, the same for the same schema and seed.
 *
 * They are made from the inside of the schema outwards, and judged by a validator before they are
 * given: what is not valid is made again by chance, and what never is, is told.
 *
 * @module
 */

import { isDeeper } from "../../lib/depth.ts";
import { type Choose, chooser, FIRST } from "./choose.ts";
import { type Fields, fieldsOf, GUARDED, listOf, typesOf } from "./fields.ts";
import { type Flat, flatten, join, type Sight, Stuck } from "./flatten.ts";
import { triedCharsMax } from "./guard.ts";
import { Judge } from "./judge.ts";
import { textOfPattern } from "./pattern.ts";
import { numberOf, plainText, textOfFormat } from "./scalars.ts";
import { CHARS_MAX, Steps, Work } from "./work.ts";

/** Objects and lists inside one another: of a schema that is looked at, and of a value. */
const DEPTH_MAX = 64;
/** Characters that are put together for a pattern cost as much as a place. */
const CHARS_PER_PLACE = 100;
/** How often a value is made: first the plainest one, then by chance. */
const ATTEMPTS_MAX = 12;
/** How often it is made of what is said less often, where none of these was valid. */
const BOLD_ATTEMPTS_MAX = 6;
/** How often a text is made of a pattern, and something that differs from its neighbours. */
const TRIES_MAX = 64;
/** Names that are tried for properties that the schema does not name. */
const NAMES_MAX = 10_000;
/** A longer pattern is not made texts of. */
const PATTERN_CHARS_MAX = 1024;

/** True when `schema` is nested too deeply for a value to be made of it, or even to be written. */
export function isTooDeep(schema: unknown): boolean {
  return isDeeper(schema, DEPTH_MAX);
}

/** A value, or why there is none. */
export type Generated = { readonly value: unknown } | { readonly problem: string };

/**
 * A value of `schema`. `seed` decides where it leaves a choice; undefined = the plainest everywhere.
 * `name` is what a text says that may say anything. `steps`: what the request may still cost.
 */
export function generate(
  schema: unknown,
  seed: number | undefined,
  name: string,
  steps = new Steps(),
): Generated {
  if (isTooDeep(schema)) return { problem: `it is nested more than ${DEPTH_MAX} deep` };
  let first: Stuck | undefined;
  let last: Stuck | undefined;
  try {
    const judge = new Judge(schema, steps);
    const work = new Work(steps);
    for (let attempt = 0; attempt < ATTEMPTS_MAX + BOLD_ATTEMPTS_MAX; attempt++) {
      if (steps.isLow) attempt = Math.max(attempt, ATTEMPTS_MAX);
      const isBold = attempt >= ATTEMPTS_MAX;
      const isPlain = seed === undefined && attempt % ATTEMPTS_MAX === 0;
      const choose = isPlain ? FIRST : chooser((seed ?? 0) * ATTEMPTS_MAX + attempt);
      try {
        const value = new Generator(judge, choose, work, attempt > 0, isBold).value(name);
        if (judge.isValid(value, judge.root)) return { value };
        first ??= new Stuck("", "it joins rules that the mock cannot keep together");
      } catch (error) {
        if (!(error instanceof Stuck)) throw error;
        last = error;
      }
    }
  } catch (error) {
    // What is no schema (a reference into nowhere, a bad pattern), and what takes too long.
    if (!steps.isSpent || last === undefined) {
      return { problem: (error as Error).message.split("\n")[0]! };
    }
  }
  const { at, reason } = (last ?? first)!;
  return { problem: at === "" ? reason : `at '${at}', ${reason}` };
}

/**
 * True when `value`, which somebody wrote with `chars`, keeps `schema`; false also when the schema is
 * none, or it takes too long.
 */
export function isValid(value: unknown, schema: unknown, chars = 0): boolean {
  try {
    if (isTooDeep(schema) || isTooDeep(value)) return false;
    const judge = new Judge(schema, new Steps(chars));
    return judge.isValid(value, judge.root);
  } catch {
    return false;
  }
}

/** Why `value`, which somebody wrote with `chars`, does not keep `schema`, and where; undefined = it does. */
export function misfitOf(value: unknown, schema: unknown, chars = 0): string | undefined {
  if (isTooDeep(schema)) return `the schema is nested more than ${DEPTH_MAX} deep`;
  if (isTooDeep(value)) return `it is nested more than ${DEPTH_MAX} deep`;
  try {
    return new Judge(schema, new Steps(chars)).misfit(value);
  } catch (error) {
    const told = (error as Error).message.split("\n")[0]!;
    return error instanceof RangeError
      ? `the schema cannot be checked: ${told}`
      : `the schema is none: ${told}`;
  }
}

/** Whoever refers to the whole schema is within it already. */
const WHOLE: ReadonlySet<string> = new Set(["#"]);

/** Where a value goes. */
interface Place {
  /** "a.b.0"; "" = the whole. */
  readonly at: string;
  /** The name of the property, or of the list that it stands in. */
  readonly name: string;
  /** How many of its kind stand before it, and must not be the same. */
  readonly nth: number;
  /** Objects and lists around it. */
  readonly depth: number;
  readonly refs: ReadonlySet<string>;
}

class Generator {
  readonly #judge: Judge;
  readonly #choose: Choose;
  /** True: texts of patterns are made by chance. */
  readonly #isLoose: boolean;
  /** True: what is said less often is tried, too. */
  readonly #isBold: boolean;
  readonly #work: Work;

  constructor(judge: Judge, choose: Choose, work: Work, isLoose: boolean, isBold: boolean) {
    this.#judge = judge;
    this.#choose = choose;
    this.#work = work;
    this.#isLoose = isLoose;
    this.#isBold = isBold;
  }

  value(name: string): unknown {
    return this.#make(this.#judge.root, { at: "", name, nth: 0, depth: 0, refs: WHOLE });
  }

  #make(schema: unknown, place: Place): unknown {
    const { at, refs, depth } = place;
    this.#work.place();
    if (depth > DEPTH_MAX) throw new Stuck(at, "it is nested too deeply");
    const flat = flatten(schema, refs, this.#sight(at));
    const lists = this.#isBold ? [...flat.lists, ...dependentLists(flat.fields)] : flat.lists;
    return this.#example(flat.fields, schema) ?? this.#ofFlat({ ...flat, lists }, schema, place);
  }

  #sight(at: string): Sight {
    const { references, steps } = this.#judge;
    return { references, steps, at };
  }

  /** Whether `value` keeps `schema`, and that can be found out. */
  #fits(value: unknown, schema: unknown): boolean {
    try {
      return this.#judge.isValid(value, schema);
    } catch (error) {
      if (!(error instanceof RangeError) || this.#work.steps.isSpent) throw error;
      return false;
    }
  }

  /** What the schema itself gives as an example. */
  #example(fields: Fields, schema: unknown): unknown {
    const { examples, default: usual } = fields;
    return [...listOf(examples), usual].find((value) => {
      if (value === undefined || value === null) return false;
      if (typeof value === "object" && this.#judge.isGuarded) return false;
      return this.#fits(value, schema);
    });
  }

  /** One of each list is taken, then what they are all together is made. */
  #ofFlat({ fields, lists, refs }: Flat, schema: unknown, place: Place): unknown {
    const [list, ...others] = lists;
    if (list === undefined) return this.#ofFields(fields, { ...place, refs });
    const flat = { fields, lists: others, refs };
    let stuck = new Stuck(place.at, "no alternative fits");
    for (const branch of nullLast(this.#turned(list, place.nth), isNullSchema)) {
      try {
        const joined = join(flat, flatten(branch, refs, this.#sight(place.at)));
        const value = this.#ofFlat(joined, schema, place);
        if (this.#judge.isValid(value, schema)) return value;
      } catch (error) {
        if (!(error instanceof Stuck)) throw error;
        stuck = error;
      }
    }
    throw stuck;
  }

  #ofFields(fields: Fields, place: Place): unknown {
    if (Array.isArray(fields["enum"])) {
      const fitting = this.#turned(fields["enum"], place.nth)
        .find((value) => this.#judge.isValid(value, fields));
      if (fitting === undefined) throw new Stuck(place.at, "no value of its enum fits");
      return fitting;
    }
    let stuck = new Stuck(place.at, "no type is left");
    for (const type of nullLast(kindsOf(fields), (kind) => kind === "null")) {
      try {
        const value = this.#ofType(type, fields, place);
        if (!("not" in fields) || this.#judge.isValid(value, fields)) return value;
      } catch (error) {
        if (!(error instanceof Stuck)) throw error;
        stuck = error;
      }
    }
    throw stuck;
  }

  #ofType(type: unknown, fields: Fields, place: Place): unknown {
    const { at, nth } = place;
    switch (type) {
      case "null":
        return null;
      case "boolean":
        return (this.#choose(2) + nth) % 2 === 1;
      case "integer":
      case "number": {
        const isWhole = type === "integer";
        const offset = this.#isBold ? boldOffset(fields, isWhole) : this.#choose(9);
        const isBelow = this.#isBold && this.#choose(2) === 1;
        const number = numberOf(fields, isWhole, isBelow ? -2 - offset - nth : offset + nth);
        if (number === undefined) throw new Stuck(at, "no number is within its bounds");
        return number;
      }
      case "string":
        return this.#text(fields, place);
      case "array":
        return this.#list(fields, place);
      case "object":
        return this.#object(fields, place);
      default:
        throw new Stuck(at, `'${String(type)}' is no type of JSON Schema`);
    }
  }

  #text(fields: Fields, { at, name, nth }: Place): string {
    const { pattern = listOf(fields[GUARDED])[0] } = fields;
    const text = this.#boldText(fields, nth) ??
      (typeof pattern === "string"
        ? this.#textOfPattern(pattern, fields, at, nth)
        : textOfFormat(fields["format"], this.#choose(9) + nth) ??
          plainText(fields, name, this.#isBold ? nth + this.#choose(9) : nth, CHARS_MAX));
    this.#work.text(text?.length ?? Infinity);
    return text!;
  }

  /** A text of the format that keeps the pattern as well; undefined = there is none. */
  #boldText(fields: Fields, nth: number): string | undefined {
    if (!this.#isBold) return undefined;
    const text = textOfFormat(fields["format"], nth);
    return text !== undefined && this.#fits(text, fields) ? text : undefined;
  }

  #textOfPattern(pattern: string, fields: Fields, at: string, nth: number): string {
    if (pattern.length > PATTERN_CHARS_MAX) {
      throw new Stuck(at, `its pattern has more than ${PATTERN_CHARS_MAX} characters`);
    }
    const { minLength = 0 } = fields;
    const guarded = listOf(fields[GUARDED]) as readonly string[];
    const most = this.#isBold ? CHARS_MAX : Math.min(...guarded.map(triedCharsMax), CHARS_MAX);
    const partsMax = this.#isBold ? CHARS_MAX : undefined;
    const fits = (text: string) => text.length <= most && this.#fits(text, fields);
    const { steps } = this.#work;
    const short = this.#isLoose && !this.#isBold
      ? undefined
      : textOfPattern(pattern, FIRST, 0, steps, partsMax);
    if (short !== undefined) {
      const text = nth === 0 ? short : `${short}${nth + 1}`;
      if (fits(text)) return text;
    }
    const chance = chooser(this.#choose(2 ** 31) + nth);
    for (let more = 0; more < TRIES_MAX; more++) {
      const repeats = more + Math.min(Number(minLength), CHARS_MAX);
      const text = textOfPattern(pattern, chance, repeats, steps, partsMax);
      if (text === undefined) break;
      this.#work.place(Math.ceil(text.length / CHARS_PER_PLACE));
      if (fits(text)) return text;
    }
    throw new Stuck(at, `the mock finds no text for the pattern '${pattern}'`);
  }

  #list(fields: Fields, place: Place): readonly unknown[] {
    const { items, contains, minItems, maxItems, uniqueItems } = fields;
    const first = Array.isArray(items) ? items : listOf(fields["prefixItems"]);
    const rest = Array.isArray(items) ? fields["additionalItems"] : items;
    const wanted = contains === undefined ? 0 : countOf(fields["minContains"], 1);
    const least = Math.max(countOf(minItems, 0), wanted);
    const most = countOf(maxItems, Infinity);
    const usual = Math.min(Math.max(least, first.length, rest === false ? 0 : 1), most);
    const list: unknown[] = [];
    const seen = new Set<string>();
    while (list.length < usual) {
      const i = list.length;
      const schema = i < first.length
        ? first[i]
        : i < first.length + wanted
        ? { allOf: [contains, rest ?? true] }
        : rest ?? true;
      try {
        const at = below(place.at, i);
        const inner = {
          ...place,
          at,
          nth: place.nth + Math.max(0, i - first.length),
          depth: place.depth + 1,
        };
        list.push(this.#item(schema, inner, uniqueItems === true, seen));
      } catch (error) {
        if (!(error instanceof Stuck) || i < least) throw error;
        break;
      }
    }
    return list;
  }

  /** An item; of unique ones it is another one than those before it. */
  #item(schema: unknown, place: Place, isUnique: boolean, seen: Set<string>): unknown {
    for (let tries = 0; tries < (isUnique ? TRIES_MAX : 1); tries++) {
      const item = this.#make(schema, { ...place, nth: place.nth + tries });
      const text = JSON.stringify(item);
      if (isUnique && seen.has(text)) continue;
      seen.add(text);
      return item;
    }
    throw new Stuck(place.at, "there are not enough different values");
  }

  #object(fields: Fields, place: Place): Fields {
    const { at } = place;
    const depth = place.depth + 1;
    const properties = fieldsOf(fields["properties"]);
    const required = new Set(listOf(fields["required"]).filter(isText));
    const isOpen = required.size === 0;
    const made = new Map<string, unknown>();
    const least = countOf(fields["minProperties"], 0);
    const most = countOf(fields["maxProperties"], Infinity);

    const add = (name: string, schema: unknown, isNeeded: boolean) => {
      if (made.has(name)) return;
      try {
        made.set(name, this.#make(schema, { ...place, at: below(at, name), name, depth }));
      } catch (error) {
        if (!(error instanceof Stuck) || isNeeded) throw error;
        return;
      }
      for (const other of dependentsOf(fields, name)) {
        add(other, this.#schemaOf(other, fields), isNeeded || made.has(name));
      }
    };
    for (const [name, schema] of Object.entries(properties)) {
      const isNeeded = required.has(name);
      if (isNeeded || (isOpen && made.size < most)) add(name, schema, isNeeded);
    }
    for (const name of required) add(name, this.#schemaOf(name, fields), true);
    for (const [name, schema] of Object.entries(properties)) {
      if (made.size < least) add(name, schema, false);
    }
    for (let more = 0; made.size < least && more < NAMES_MAX; more++) {
      const name = this.#newName(fields, { ...place, name: "key", nth: more });
      add(name, this.#schemaOf(name, fields), true);
    }
    return Object.fromEntries(inOrder(made, properties));
  }

  /** A name for a property that the schema does not name. */
  #newName(fields: Fields, place: Place): string {
    const [pattern] = Object.keys(fieldsOf(fields["patternProperties"]));
    const names = fields["propertyNames"] ?? (pattern === undefined ? {} : { pattern });
    const flat = flatten(names, place.refs, this.#sight(place.at));
    const text = { fields: { type: "string" }, lists: [], refs: flat.refs };
    return String(this.#ofFlat(join(flat, text), names, place));
  }

  /** The schema of a property that `properties` may not name. */
  #schemaOf(name: string, fields: Fields): unknown {
    const properties = fieldsOf(fields["properties"]);
    if (Object.hasOwn(properties, name)) return properties[name];
    for (const [pattern, schema] of Object.entries(fieldsOf(fields["patternProperties"]))) {
      if (this.#judge.patterns.matches(pattern, name)) return schema;
    }
    return fields["additionalProperties"] ?? true;
  }

  /** `values`, from the chosen one on. */
  #turned<T>(values: readonly T[], nth: number): readonly T[] {
    if (values.length === 0) return values;
    this.#work.steps.take(values.length / 4);
    const from = (this.#choose(values.length) + nth) % values.length;
    return [...values.slice(from), ...values.slice(0, from)];
  }
}

/** null says the least: it is taken where nothing else can be. */
function nullLast<T>(values: readonly T[], isNull: (value: T) => boolean): readonly T[] {
  return [...values.filter((value) => !isNull(value)), ...values.filter(isNull)];
}

function isNullSchema(schema: unknown): boolean {
  const { type, const: only } = fieldsOf(schema);
  return type === "null" || only === null;
}

/** What tells the type of a value where the schema does not. */
const TELLING: readonly (readonly [type: string, keywords: readonly string[]])[] = [
  ["object", [
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
  ]],
  ["array", ["items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems"]],
  ["string", ["pattern", "format", "minLength", "maxLength"]],
  ["number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]],
];

const ANY_TYPE: readonly string[] = ["string", "object", "array", "number", "boolean", "null"];

function kindsOf(fields: Fields): readonly unknown[] {
  if (fields["type"] !== undefined) return typesOf(fields["type"]);
  const told = TELLING.find(([, keywords]) => keywords.some((keyword) => keyword in fields));
  return told === undefined ? ANY_TYPE : [told[0]];
}

/** From the least number on, so that each has its turn; a half where it need not be whole. */
function boldOffset({ minimum }: Fields, isWhole: boolean): number {
  const from = typeof minimum === "number" ? Math.max(0, Math.ceil(minimum) - 1) : 0;
  return isWhole ? from : from + 0.5;
}

/** What `dependentSchemas` want: each property with its schema, or not at all. */
function dependentLists({ dependentSchemas, dependencies }: Fields): readonly unknown[][] {
  return [dependentSchemas, dependencies].flatMap((map) =>
    Object.entries(fieldsOf(map)).filter(([, schema]) => !Array.isArray(schema))
      .map(([name, schema]) => [
        { allOf: [{ required: [name] }, schema] },
        { properties: { [name]: false } },
      ])
  );
}

/** The properties that must be there because `name` is. */
function dependentsOf(
  { dependentRequired, dependencies }: Fields,
  name: string,
): readonly string[] {
  return [dependentRequired, dependencies].flatMap((map) => {
    const names = fieldsOf(map);
    return Object.hasOwn(names, name) ? listOf(names[name]).filter(isText) : [];
  });
}

/** In the order in which the schema names them, what it does not name last. */
function inOrder(made: ReadonlyMap<string, unknown>, properties: Fields): [string, unknown][] {
  const named = Object.keys(properties).filter((name) => made.has(name));
  const others = [...made.keys()].filter((name) => !Object.hasOwn(properties, name));
  return [...named, ...others].map((name) => [name, made.get(name)]);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function countOf(value: unknown, otherwise: number): number {
  return typeof value === "number" && value >= 0 ? value : otherwise;
}

function below(at: string, step: string | number): string {
  return at === "" ? String(step) : `${at}.${step}`;
}
