/**
 * Says whether a value keeps a JSON Schema: all keywords of 2020-12, and those of older drafts that mean
 * something else. What it costs is counted, so that no schema holds up the process.
 *
 * @module
 */

import { format as library } from "@cfworker/json-schema";
import { type Fields, fieldsOf, GUARDED, listOf, typesOf } from "./fields.ts";
import { guard, Patterns } from "./guard.ts";
import { References, type Scope } from "./references.ts";
import type { Steps } from "./work.ts";

/** Schemas that are looked at within one another: more are references that run in circles. */
const NESTED_MAX = 2000;
/** Steps for looking at a value with a schema, with one of its keywords, and comparing with another value. */
const VISIT_STEPS = 30;
const KEYWORD_STEPS = 5;
const COMPARED_STEPS = 2;

/** Names of properties, and numbers of items, that a keyword has looked at. */
type Seen = Set<string | number>;

/** A keyword at a value: what is wrong, as a sentence; "" = that was said further within. */
type Rule<Value> = (visit: Visit, wanted: unknown, value: Value) => string | undefined;
type Rules<Value> = Readonly<Record<string, Rule<Value>>>;
type JsonObject = Readonly<Record<string, unknown>>;

/** What is wrong somewhere. */
interface Misfit {
  /** "" = the whole, "/a/0" = within it. */
  readonly at: string;
  readonly depth: number;
  readonly sentence: string;
}

/** Says what is valid. */
export class Judge {
  /** A copy, in which some patterns have another name. */
  readonly root: unknown;
  /** True: some have. */
  readonly isGuarded: boolean;
  readonly references: References;
  readonly patterns: Patterns;
  readonly steps: Steps;
  /** True: in draft 4 to 7 nothing counts beside a `$ref`. */
  readonly isRefAlone: boolean;
  /** True: some keyword asks what others have looked at. */
  readonly asksForSeen: boolean;
  /** What was wrong at the place that is looked at now, and within it; undefined = nobody asks. */
  misfits: Misfit[] | undefined;
  nested = 0;

  /** @throws {RangeError} when it takes too long. */
  constructor(schema: unknown, steps: Steps) {
    const text = schema === undefined ? "true" : JSON.stringify(schema);
    steps.take(text.length);
    this.steps = steps;
    this.root = JSON.parse(text);
    this.isGuarded = guard(this.root);
    this.references = new References(this.root, steps);
    this.patterns = new Patterns(steps);
    this.asksForSeen = text.includes('"unevaluated');
    const { $schema } = fieldsOf(this.root);
    this.isRefAlone = typeof $schema === "string" && /draft-0?[467]/.test($schema);
  }

  /**
   * Whether `value` keeps `schema`, a part of the root or made of its parts.
   *
   * @throws {SyntaxError} when it is none: a reference into nowhere, a bad pattern.
   * @throws {RangeError} when it takes too long.
   */
  isValid(value: unknown, schema: unknown): boolean {
    this.nested = 0;
    return this.keeps(value, schema, "", 0, [], undefined);
  }

  /** What is wrong with `value`, at the innermost place; undefined = nothing is. Throws as `isValid`. */
  misfit(value: unknown): string | undefined {
    this.misfits = [];
    if (this.isValid(value, this.root)) return undefined;
    const [first, ...rest] = this.misfits;
    const inner = rest.reduce((deep, one) => one.depth > deep.depth ? one : deep, first!);
    return `at '${inner.at}': ${inner.sentence.replace(/\.$/, "")}`;
  }

  /** `outer`: where what was looked at is noted, if the value is valid. */
  keeps(
    value: unknown,
    schema: unknown,
    at: string,
    depth: number,
    scope: Scope,
    outer: Seen | undefined,
  ): boolean {
    this.steps.take(VISIT_STEPS);
    if (schema === false) {
      this.misfits?.push({ at, depth, sentence: "False boolean schema." });
      return false;
    }
    if (schema === true) return true;
    if (++this.nested > NESTED_MAX) throw new RangeError("its references run in circles");
    const visit = new Visit(this, fieldsOf(schema), at, depth, scope);
    const sentence = visit.sentence(value, schema);
    this.nested--;
    if (sentence === undefined) {
      if (outer !== undefined) { for (const name of visit.seen ?? []) outer.add(name); }
      return true;
    }
    if (sentence !== "") this.misfits?.push({ at, depth, sentence });
    return false;
  }
}

/** One schema at one value. */
class Visit {
  readonly judge: Judge;
  readonly fields: Fields;
  readonly seen: Seen | undefined;
  readonly #at: string;
  readonly #depth: number;
  #scope: Scope;

  constructor(judge: Judge, fields: Fields, at: string, depth: number, scope: Scope) {
    this.judge = judge;
    this.fields = fields;
    this.#at = at;
    this.#depth = depth;
    this.#scope = scope;
    this.seen = judge.asksForSeen ? new Set() : undefined;
  }

  /** What is wrong; undefined = nothing is. */
  sentence(value: unknown, schema: unknown): string | undefined {
    const { judge, fields } = this;
    const base = judge.references.baseOf(schema);
    if (this.#scope.at(-1) !== base) this.#scope = [...this.#scope, base];
    const kind = kindOf(value);
    const isAlone = judge.isRefAlone && typeof fields["$ref"] === "string";
    const keywords = isAlone ? ["$ref"] : Object.keys(fields);
    for (const rules of [ANY, OF_KIND[kind], LAST[kind]]) {
      if (rules === undefined) continue;
      for (const keyword of keywords) {
        if (!Object.hasOwn(rules, keyword)) continue;
        judge.steps.take(KEYWORD_STEPS);
        const sentence = (rules[keyword] as Rule<unknown>)(this, fields[keyword], value);
        if (sentence !== undefined) return sentence;
      }
    }
    return undefined;
  }

  /** Whether `value`, the one that is looked at, keeps `schema`, too. */
  here(value: unknown, schema: unknown): boolean {
    return this.judge.keeps(value, schema, this.#at, this.#depth, this.#scope, this.seen);
  }

  /** Whether it keeps `schema`, of which nothing else is to be known. */
  apart(value: unknown, schema: unknown): boolean {
    return this.#quietly(() =>
      this.judge.keeps(value, schema, this.#at, this.#depth, this.#scope, undefined)
    );
  }

  /** What a keyword says that allows some of `schemas` to fail: nothing is wrong with what they say. */
  some(schemas: readonly unknown[], value: unknown, isRight: (count: number) => boolean): number {
    const before = this.judge.misfits?.length;
    let count = 0;
    for (const schema of schemas) if (this.here(value, schema)) count++;
    if (isRight(count) && before !== undefined) this.judge.misfits!.length = before;
    return count;
  }

  /** Whether what stands in the value under `step` keeps `schema`. */
  within(value: unknown, schema: unknown, step: string | number): boolean {
    const at = this.judge.misfits === undefined
      ? ""
      : `${this.#at}/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`;
    this.seen?.add(step);
    return this.judge.keeps(value, schema, at, this.#depth + 1, this.#scope, undefined);
  }

  /** The same, of which nobody hears. */
  holds(value: unknown, schema: unknown): boolean {
    return this.#quietly(() =>
      this.judge.keeps(value, schema, this.#at, this.#depth + 1, this.#scope, undefined)
    );
  }

  #quietly(look: () => boolean): boolean {
    const { misfits } = this.judge;
    this.judge.misfits = undefined;
    const isValid = look();
    this.judge.misfits = misfits;
    return isValid;
  }

  /** What a reference leads to. */
  led(value: unknown, ref: unknown, target: unknown): string | undefined {
    if (target === undefined) throw new SyntaxError(`${String(ref)} is not in the schema`);
    return this.here(value, target) ? undefined : "";
  }

  get scope(): Scope {
    return this.#scope;
  }

  /** Whether each of `entries` keeps its schema: "" = one does not. */
  each(entries: Iterable<readonly [step: string | number, value: unknown, schema: unknown]>) {
    for (const [step, value, schema] of entries) if (!this.within(value, schema, step)) return "";
    return undefined;
  }
}

type Kind = "null" | "boolean" | "number" | "string" | "array" | "object";

function kindOf(value: unknown): Kind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as Kind;
}

/** Keywords that look at any value. */
const ANY: Rules<unknown> = {
  $ref: (visit, ref, value) => {
    const { judge: { references }, fields } = visit;
    return visit.led(value, ref, references.target(String(ref), fields));
  },
  $dynamicRef: (visit, ref, value) => {
    const { judge: { references }, fields, scope } = visit;
    return visit.led(value, ref, references.dynamicTarget(String(ref), fields, scope));
  },
  $recursiveRef: (visit, ref, value) => {
    const { judge: { references }, fields, scope } = visit;
    return visit.led(value, ref, references.recursiveTarget(fields, scope));
  },
  type: (_, types, value) => {
    const kind = kindOf(value);
    const names = typesOf(types);
    const isWhole = Number.isInteger(value);
    if (names.some((name) => name === kind || (name === "integer" && isWhole))) return undefined;
    return `Instance type "${kind}" is invalid. Expected "${names.join('", "')}".`;
  },
  const: ({ judge: { steps } }, only, value) =>
    isSame(value, only, steps) ? undefined : `Instance does not match ${JSON.stringify(only)}.`,
  enum: ({ judge: { steps } }, values, value) =>
    listOf(values).some((one) => isSame(value, one, steps))
      ? undefined
      : `Instance does not match any of ${JSON.stringify(values)}.`,
  not: (visit, schema, value) =>
    visit.apart(value, schema) ? 'Instance matched "not" schema.' : undefined,
  allOf: (visit, schemas, value) =>
    listOf(schemas).every((schema) => visit.here(value, schema)) ? undefined : "",
  anyOf: (visit, schemas, value) =>
    visit.some(listOf(schemas), value, (count) => count > 0) > 0
      ? undefined
      : "Instance does not match any subschemas.",
  oneOf: (visit, schemas, value) => {
    const count = visit.some(listOf(schemas), value, (count) => count === 1);
    return count === 1
      ? undefined
      : `Instance does not match exactly one subschema (${count} matches).`;
  },
  if: (visit, condition, value) => {
    const isMet = visit.some([condition], value, () => true) === 1;
    const { then: met = true, else: unmet = true } = visit.fields;
    return visit.here(value, isMet ? met : unmet) ? undefined : "";
  },
};

const NUMBER: Rules<number> = {
  minimum: ({ fields }, least, value) =>
    isNumber(least) && (value < least || (fields["exclusiveMinimum"] === true && value === least))
      ? `${value} is less than ${least}.`
      : undefined,
  maximum: ({ fields }, most, value) =>
    isNumber(most) && (value > most || (fields["exclusiveMaximum"] === true && value === most))
      ? `${value} is greater than ${most}.`
      : undefined,
  exclusiveMinimum: (_, least, value) =>
    isNumber(least) && value <= least ? `${value} is not greater than ${least}.` : undefined,
  exclusiveMaximum: (_, most, value) =>
    isNumber(most) && value >= most ? `${value} is not less than ${most}.` : undefined,
  multipleOf: (_, divisor, value) =>
    isNumber(divisor) && !isMultiple(value, divisor)
      ? `${value} is not a multiple of ${divisor}.`
      : undefined,
};

const STRING: Rules<string> = {
  minLength: ({ judge: { steps } }, least, value) =>
    isNumber(least) && charsOf(value, steps) < least
      ? `String is too short (${charsOf(value, steps)} < ${least}).`
      : undefined,
  maxLength: ({ judge: { steps } }, most, value) =>
    isNumber(most) && charsOf(value, steps) > most
      ? `String is too long (${charsOf(value, steps)} > ${most}).`
      : undefined,
  pattern: ({ judge: { patterns } }, pattern, value) =>
    typeof pattern !== "string" || patterns.matches(pattern, value)
      ? undefined
      : "String does not match pattern.",
  [GUARDED]: ({ judge: { patterns } }, list, value) =>
    listOf(list).every((pattern) => patterns.matches(pattern as string, value))
      ? undefined
      : "String does not match pattern.",
  format: ({ judge: { steps } }, format, value) => {
    const check = FORMATS.get(String(format));
    if (check === undefined) return undefined;
    steps.take(value.length);
    return check(value) ? undefined : `String does not match format "${format}".`;
  },
};

const OBJECT: Rules<JsonObject> = {
  required: (_, names, value) => {
    const absent = listOf(names).find((name) => !Object.hasOwn(value, String(name)));
    return absent === undefined
      ? undefined
      : `Instance does not have required property "${absent}".`;
  },
  minProperties: (_, least, value) =>
    isNumber(least) && Object.keys(value).length < least
      ? `Instance does not have at least ${least} properties.`
      : undefined,
  maxProperties: (_, most, value) =>
    isNumber(most) && Object.keys(value).length > most
      ? `Instance does not have at most ${most} properties.`
      : undefined,
  propertyNames: (visit, schema, value) => {
    const bad = Object.keys(value).find((name) => !visit.holds(name, schema));
    return bad === undefined ? undefined : `Property name "${bad}" does not match schema.`;
  },
  dependentRequired: (_, names, value) => lacking(fieldsOf(names), value),
  dependentSchemas: (visit, schemas, value) => leaning(visit, fieldsOf(schemas), value),
  dependencies: (visit, both, value) =>
    lacking(fieldsOf(both), value) ?? leaning(visit, fieldsOf(both), value),
  properties: (visit, properties, value) =>
    visit.each(
      Object.entries(fieldsOf(properties)).filter(([name]) => Object.hasOwn(value, name))
        .map(([name, schema]) => [name, value[name], schema]),
    ),
  patternProperties: (visit, patterns, value) => {
    for (const [pattern, schema] of Object.entries(fieldsOf(patterns))) {
      const names = Object.keys(value).filter((name) =>
        visit.judge.patterns.matches(pattern, name)
      );
      const sentence = visit.each(names.map((name) => [name, value[name], schema]));
      if (sentence !== undefined) return sentence;
    }
    return undefined;
  },
  additionalProperties: (visit, schema, value) => {
    const { properties, patternProperties } = visit.fields;
    const named = fieldsOf(properties);
    const patterns = Object.keys(fieldsOf(patternProperties));
    const others = Object.keys(value).filter((name) =>
      !Object.hasOwn(named, name) &&
      !patterns.some((pattern) => visit.judge.patterns.matches(pattern, name))
    );
    return visit.each(others.map((name) => [name, value[name], schema]));
  },
};

const ARRAY: Rules<readonly unknown[]> = {
  minItems: (_, least, value) =>
    isNumber(least) && value.length < least
      ? `Array has too few items (${value.length} < ${least}).`
      : undefined,
  maxItems: (_, most, value) =>
    isNumber(most) && value.length > most
      ? `Array has too many items (${value.length} > ${most}).`
      : undefined,
  prefixItems: (visit, schemas, value) => eachOf(visit, value, listOf(schemas)),
  items: (visit, schema, value) =>
    Array.isArray(schema)
      ? eachOf(visit, value, schema)
      : rest(visit, value, schema, listOf(visit.fields["prefixItems"]).length),
  additionalItems: (visit, schema, value) =>
    Array.isArray(visit.fields["items"])
      ? rest(visit, value, schema, visit.fields["items"].length)
      : undefined,
  contains: (visit, schema, value) => {
    const { minContains: least = 1, maxContains: most = Infinity } = visit.fields;
    const holding = value.flatMap((item, i) => visit.holds(item, schema) ? [i] : []);
    for (const i of holding) visit.seen?.add(i);
    if (holding.length < Number(least)) {
      return `Array must contain at least ${least} items matching schema. Only ${holding.length} items were found.`;
    }
    return holding.length > Number(most)
      ? `Array may contain at most ${most} items matching schema. ${holding.length} items were found.`
      : undefined;
  },
  uniqueItems: ({ judge: { steps } }, isWanted, value) => {
    if (isWanted !== true) return undefined;
    const known = new Map<string, number>();
    for (const [i, item] of value.entries()) {
      const text = canonical(item);
      steps.take(KEYWORD_STEPS * text.length);
      const same = known.get(text);
      if (same !== undefined) return `Duplicate items at indexes ${same} and ${i}.`;
      known.set(text, i);
    }
    return undefined;
  },
};

const OF_KIND: Readonly<Record<Kind, Rules<never> | undefined>> = {
  null: undefined,
  boolean: undefined,
  number: NUMBER,
  string: STRING,
  array: ARRAY,
  object: OBJECT,
};

/** Keywords that look at what no other has looked at. */
const LAST: Readonly<Partial<Record<Kind, Rules<never>>>> = {
  object: {
    unevaluatedProperties: (visit: Visit, schema: unknown, value: JsonObject) =>
      visit.each(
        Object.keys(value).filter((name) => !visit.seen!.has(name))
          .map((name) => [name, value[name], schema]),
      ),
  },
  array: {
    unevaluatedItems: (visit: Visit, schema: unknown, value: readonly unknown[]) =>
      visit.each(
        value.map((item, i) => [i, item, schema] as const).filter(([i]) => !visit.seen!.has(i)),
      ),
  },
};

function eachOf(visit: Visit, value: readonly unknown[], schemas: readonly unknown[]) {
  return visit.each(
    value.slice(0, schemas.length).map((item, i) => [i, item, schemas[i]] as const),
  );
}

function rest(visit: Visit, value: readonly unknown[], schema: unknown, from: number) {
  return visit.each(value.slice(from).map((item, i) => [from + i, item, schema] as const));
}

/** Properties that must be there because another is. */
function lacking(names: Fields, value: JsonObject): string | undefined {
  for (const [name, others] of Object.entries(names)) {
    if (!Object.hasOwn(value, name)) continue;
    const absent = listOf(others).find((other) => !Object.hasOwn(value, String(other)));
    if (absent !== undefined) return `Instance has "${name}" but does not have "${absent}".`;
  }
  return undefined;
}

/** Schemas that count because a property is there. */
function leaning(visit: Visit, schemas: Fields, value: JsonObject): string | undefined {
  for (const [name, schema] of Object.entries(schemas)) {
    if (Array.isArray(schema) || !Object.hasOwn(value, name)) continue;
    if (!visit.here(value, schema)) return "";
  }
  return undefined;
}

const WEB_ADDRESS =
  /^(?:https?|ftp):\/\/(?:[^\s/@]+@)?(?:(?:[a-z0-9\xa1-\uffff-]+\.)+[a-z\xa1-\uffff]{2,}|\d+(?:\.\d+){3})(?::\d{2,5})?(?:\/\S*)?$/i;

/** What texts are of each format. The library's own rule for `url` takes years for some texts. */
const FORMATS: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ...Object.entries(library),
  ["url", (text: string) => WEB_ADDRESS.test(text)],
]);

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

/** Characters, a pair of surrogates as one. */
function charsOf(text: string, steps: Steps): number {
  steps.take(text.length / 4);
  let count = text.length;
  for (let i = 0; i < text.length - 1; i++) {
    const isPair = (text.charCodeAt(i) & 0xfc00) === 0xd800 &&
      (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00;
    if (!isPair) continue;
    count--;
    i++;
  }
  return count;
}

/** Whether both are the same JSON, whatever the order of properties. */
function isSame(one: unknown, other: unknown, steps: Steps): boolean {
  steps.take(COMPARED_STEPS);
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return false;
  }
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length &&
    names.every((name) =>
      Object.hasOwn(other, name) && isSame((one as Fields)[name], (other as Fields)[name], steps)
    );
}

/** The same text for the same JSON, whatever the order of properties. */
function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return JSON.stringify(value, (_, inner) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(
      Object.entries(inner).sort(([one], [other]) => one < other ? -1 : 1),
    );
  });
}

/** Exactly, as the decimals say: 0.3 is a multiple of 0.1. */
function isMultiple(value: number, divisor: number): boolean {
  if (!(divisor > 0)) return false;
  const [digits, exponent] = decimalOf(value);
  const [divisorDigits, divisorExponent] = decimalOf(divisor);
  const shift = exponent - divisorExponent;
  return shift >= 0
    ? digits * 10n ** BigInt(shift) % divisorDigits === 0n
    : digits % (divisorDigits * 10n ** BigInt(-shift)) === 0n;
}

/** Digits and the power of ten behind them. */
function decimalOf(value: number): readonly [digits: bigint, exponent: number] {
  const [number, exponent = "0"] = String(Math.abs(value)).split("e");
  const [whole, part = ""] = number!.split(".");
  return [BigInt(whole + part), Number(exponent) - part.length];
}
