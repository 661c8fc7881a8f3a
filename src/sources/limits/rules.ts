/**
 * The limits of the config, and the buckets of each key and model that they are kept by.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { LIMIT_KINDS, type LimitKind } from "../../core/limits.ts";
import { Bucket, Gate } from "../../lib/limiter.ts";
import { type NameHash, nameHash } from "../../lib/name_table.ts";
import { globOf } from "../glob.ts";

/** An entry of the config. */
export type LimitEntry = Config["mock"]["limits"][number];

/** Who asks: what the entries' patterns are compared with, and what may be told of it. */
export interface Key {
  readonly name: string;
  /** No secret. "" = none was shown. */
  readonly id: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** The windows of buckets; a gate has none. */
export const WINDOWS_MS: Readonly<Record<Exclude<LimitKind, "concurrent_max">, number>> = {
  requests_per_min: MINUTE_MS,
  requests_per_day: DAY_MS,
  tokens_per_min: MINUTE_MS,
  tokens_per_day: DAY_MS,
};

export type BucketKind = keyof typeof WINDOWS_MS;
export const BUCKET_KINDS = LIMIT_KINDS.filter((kind): kind is BucketKind =>
  kind !== "concurrent_max"
);

/** What kinds are called in names, of which the page keeps only the beginning. */
const SHORT: Readonly<Record<LimitKind, string>> = {
  requests_per_min: "rm",
  requests_per_day: "rd",
  tokens_per_min: "tm",
  tokens_per_day: "td",
  concurrent_max: "c",
};
const KIND_OF = new Map(LIMIT_KINDS.map((kind) => [SHORT[kind], kind]));

/** The first word of all names: others may share the page. */
const TOPIC = "mock";
/** Behind its rest no client's key or model can stand: they are told in their own places. */
const REST = "\u0001rest";

/** One bucket, and what is taken from it. */
export interface Limited {
  readonly kind: BucketKind;
  readonly bucket: Bucket;
}

/** What one key and model is limited by. */
export interface Scope {
  readonly rule: Rule;
  readonly buckets: readonly Limited[];
  readonly gate: Gate | undefined;
  /** What headers tell of. */
  readonly requests: Limited | undefined;
  readonly tokens: Limited | undefined;
}

/** A name in the page, read again. */
export interface ReadName {
  readonly kind: LimitKind;
  readonly key: string;
  /** Perhaps its beginning. */
  readonly model: string;
  readonly isRest: boolean;
}

/** An entry, ready to be compared. */
export class Rule {
  readonly entry: LimitEntry;
  /** How names of its buckets begin: the same for all configs in which the entry matches the same. */
  readonly id: string;
  readonly stateName: string;
  readonly stateHash: NameHash;
  readonly #model: RegExp | undefined;
  readonly #key: RegExp | undefined;

  constructor(entry: LimitEntry) {
    this.entry = entry;
    const { model, key, per } = entry;
    const hash = nameHash(JSON.stringify([model, key, per]));
    this.id = (hash.low >>> 0).toString(16).padStart(8, "0");
    this.stateName = this.prefix("state");
    this.stateHash = nameHash(this.stateName);
    this.#model = model === "*" ? undefined : globOf(model);
    this.#key = key === "*" ? undefined : globOf(key);
  }

  fits(key: Key, model: string): boolean {
    return this.#model?.test(model) !== false && this.#key?.test(key.name) !== false;
  }

  /** What `key` and `model` are limited by. */
  scope(key: Key, model: string): Scope {
    const { per } = this.entry;
    const keyPart = per === "key" || per === "key_and_model" ? key.id : "";
    const modelPart = per === "model" || per === "key_and_model" ? model : "";
    const names = (kind: LimitKind): [string, string] => [
      `${this.prefix(SHORT[kind])}${keyPart}|${modelPart}`,
      this.rest(kind),
    ];
    const buckets = BUCKET_KINDS.filter((kind) => this.entry[kind] > 0).map((kind) => ({
      kind,
      bucket: new Bucket(...names(kind), this.entry[kind], WINDOWS_MS[kind]),
    }));
    const max = this.entry.concurrent_max;
    const first = (...kinds: BucketKind[]) =>
      kinds.map((kind) => buckets.find((one) => one.kind === kind)).find(Boolean);
    return {
      rule: this,
      buckets,
      gate: max === 0 ? undefined : new Gate(...names("concurrent_max"), max),
      requests: first("requests_per_day", "requests_per_min"),
      tokens: first("tokens_per_min", "tokens_per_day"),
    };
  }

  /** How names of one kind begin. */
  prefix(kind: string): string {
    return `${this.place}${kind}|`;
  }

  /** How all its names begin. */
  get place(): string {
    return `${TOPIC}|${this.id}|`;
  }

  /** All names that it reserves. */
  get reserved(): readonly string[] {
    const kinds = LIMIT_KINDS.filter((kind) => this.entry[kind] > 0);
    return [this.stateName, ...kinds.map((kind) => this.rest(kind))];
  }

  rest(kind: LimitKind): string {
    return `${this.prefix(SHORT[kind])}${REST}`;
  }

  /** What a name of its own says; undefined = it is no bucket's and no gate's. */
  read(name: string): ReadName | undefined {
    const [, , short = "", key = "", ...model] = name.split("|");
    const kind = KIND_OF.get(short);
    if (kind === undefined) return undefined;
    return { kind, key: key === REST ? "" : key, model: model.join("|"), isRest: key === REST };
  }
}

/** How all names of the rules begin. */
export const ALL_RULES = `${TOPIC}|`;
