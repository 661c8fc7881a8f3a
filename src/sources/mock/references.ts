/**
 * What the references in a JSON Schema name: pointers, anchors, ids, and what 2020-12 finds while a
 * value is looked at (`$dynamicRef`).
 *
 * @module
 */

import { type Fields, fieldsOf } from "./fields.ts";
import type { Steps } from "./work.ts";

/** The address of a schema that has none of its own. */
const ROOT = "weir://schema/";
/** Keywords whose values are no schemas. */
const VALUES = new Set(["enum", "const", "default", "examples"]);
const MAPS = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
  "dependentSchemas",
]);

/** The addresses of the schemas that were entered, the outermost first. */
export type Scope = readonly string[];

/** All that can be referred to in one schema. */
export class References {
  /** That of the whole. */
  readonly scope: Scope;
  readonly #root: unknown;
  readonly #steps: Steps;
  /** The address of the schema that each object stands in. */
  readonly #bases = new Map<unknown, string>();
  readonly #targets = new Map<string, unknown>();
  readonly #dynamic = new Set<unknown>();

  constructor(root: unknown, steps: Steps) {
    this.#root = root;
    this.#steps = steps;
    this.#targets.set(ROOT, root);
    this.#walk(root, ROOT, true);
    this.scope = [this.baseOf(root)];
  }

  /** The address of the schema that `schema` stands in. */
  baseOf(schema: unknown): string {
    return this.#bases.get(schema) ?? ROOT;
  }

  /** What `ref`, which stands in `schema`, names; undefined = nothing here. */
  target(ref: string, schema: unknown): unknown {
    if (ref === "#" && this.baseOf(schema) === ROOT) return this.#root;
    const address = addressOf(ref, this.baseOf(schema));
    if (address === undefined) return undefined;
    const known = this.#targets.get(address);
    if (known !== undefined) return known;
    const [base, fragment = ""] = address.split("#");
    const resource = this.#targets.get(base!);
    if (fragment !== "" && !fragment.startsWith("/")) return undefined;
    const target = fragment === "" ? resource : at(resource, decoded(fragment));
    if (target !== undefined) this.#targets.set(address, target);
    return target;
  }

  /** What a `$dynamicRef` names where `scope` was entered: its anchor in the outermost that has it. */
  dynamicTarget(ref: string, schema: unknown, scope: Scope): unknown {
    const target = this.target(ref, schema);
    const anchor = fieldsOf(target)["$dynamicAnchor"];
    if (!this.#dynamic.has(target) || !ref.endsWith(`#${anchor}`)) return target;
    return this.#outermost(scope, (base) => this.#targets.get(`${base}#${anchor}`)) ?? target;
  }

  /** What the `$recursiveRef` of 2019-09 names. */
  recursiveTarget(schema: unknown, scope: Scope): unknown {
    const target = this.target("#", schema);
    if (fieldsOf(target)["$recursiveAnchor"] !== true) return target;
    return scope.map((base) => this.#targets.get(base))
      .find((root) => fieldsOf(root)["$recursiveAnchor"] === true) ?? target;
  }

  #outermost(scope: Scope, find: (base: string) => unknown): unknown {
    return scope.map(find).find((target) => this.#dynamic.has(target));
  }

  #walk(value: unknown, base: string, isSchema: boolean): void {
    if (typeof value !== "object" || value === null) return;
    this.#steps.take(10);
    if (Array.isArray(value)) {
      for (const one of value) this.#walk(one, base, true);
      return;
    }
    const { $id, id, $anchor, $dynamicAnchor } = value as Fields;
    let inner = base;
    const name = $id ?? id;
    if (isSchema && typeof name === "string") {
      const address = addressOf(name, base);
      if (address !== undefined) {
        this.#targets.set(address, value);
        if (!address.includes("#")) inner = address;
      }
    }
    this.#bases.set(value, inner);
    for (const anchor of isSchema ? [$anchor, $dynamicAnchor] : []) {
      if (typeof anchor === "string") this.#targets.set(`${inner}#${anchor}`, value);
    }
    if (isSchema && typeof $dynamicAnchor === "string") this.#dynamic.add(value);
    for (const [key, one] of Object.entries(value)) {
      if (!isSchema || !VALUES.has(key)) this.#walk(one, inner, !isSchema || !MAPS.has(key));
    }
  }
}

/** `ref` as a whole address, without an empty fragment. */
function addressOf(ref: string, base: string): string | undefined {
  // Within one schema, without what an address would make of the characters.
  if (ref.startsWith("#")) return ref === "#" ? base : base + ref;
  return URL.canParse(ref, base) ? new URL(ref, base).href.replace(/#$/, "") : undefined;
}

/** What stands in `value` at a pointer (RFC 6901). */
function at(value: unknown, pointer: string): unknown {
  let target = value;
  for (const step of pointer.slice(1).split("/")) {
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
