/**
 * YAML as a tree whose every value knows its place, so that each problem can name a line. Files are
 * merged as trees: mappings deeply, anything else replaced by the later file. Everything that has to
 * be known of the YAML library is in here.
 *
 * @module
 */

import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
} from "yaml";
import type { Node as YamlNode, Scalar } from "yaml";
import { type ExactNumber, exactNumber } from "../lib/exact_json.ts";
import type { Place, Problem, SourceText } from "./source_text.ts";

/** Values of one file after aliases are expanded: what stops a bomb of aliases. */
export const NODES_MAX = 50_000;
/** Mappings and lists inside one another. */
export const DEPTH_MAX = 64;

/** Faults of syntax told for one file: those behind them are mostly echoes. */
const SYNTAX_PROBLEMS_MAX = 5;
/** How the YAML parser reports that its recursion ran out of stack. */
const STACK_MESSAGE = "Maximum call stack";

/** A mapping and where it stands. */
export interface TreeMap {
  readonly kind: "map";
  readonly place: Place;
  readonly entries: ReadonlyMap<string, Tree>;
  /** Where each key stands. */
  readonly keyPlaces: ReadonlyMap<string, Place>;
}

/** A value and where it stands. */
export type Tree =
  | TreeMap
  | { readonly kind: "list"; readonly place: Place; readonly items: readonly Tree[] }
  | {
    readonly kind: "scalar";
    readonly place: Place;
    readonly value: string | number | boolean | null | ExactNumber;
    /** The place of character `offset` of a text. */
    readonly placeAt: (offset: number) => Place;
  };

/** What a file can say, as a value. */
export type TreeValue =
  | string
  | number
  | boolean
  | null
  | readonly TreeValue[]
  | { readonly [key: string]: TreeValue };

/** `value` as a tree, all of it at `place`. */
export function treeOf(value: { readonly [key: string]: TreeValue }, place: Place): TreeMap;
export function treeOf(value: TreeValue, place: Place): Tree;
export function treeOf(value: TreeValue, place: Place): Tree {
  if (isList(value)) {
    return { kind: "list", place, items: value.map((item) => treeOf(item, place)) };
  }
  if (typeof value !== "object" || value === null) {
    return { kind: "scalar", place, value, placeAt: () => place };
  }
  const entries = Object.entries(value).map(([key, item]) => [key, treeOf(item, place)] as const);
  const keyPlaces = new Map(entries.map(([key]) => [key, place] as const));
  return { kind: "map", place, entries: new Map(entries), keyPlaces };
}

function isList(value: TreeValue): value is readonly TreeValue[] {
  return Array.isArray(value);
}

/** Parses one file. The tree is null when the text is not YAML, or has no content. */
export function parseTree(
  source: SourceText,
): { readonly tree: Tree | null; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const lineCounter = new LineCounter();
  let document: Document;
  try {
    document = parseDocument(source.text, {
      lineCounter,
      merge: true,
      prettyErrors: false,
      uniqueKeys: false, // the library compares each key with all before it; see below
    });
  } catch (error) {
    // The parser recurses: brackets by the thousand exhaust its stack.
    if (!(error instanceof RangeError)) throw error;
    return { tree: null, problems: [tooDeep(source.place(0), "")] };
  }
  for (const { pos, message } of [...document.errors, ...document.warnings]) {
    if (message.startsWith(STACK_MESSAGE)) {
      return { tree: null, problems: [tooDeep(source.place(pos[0]), "")] };
    }
    if (problems.length >= SYNTAX_PROBLEMS_MAX) break;
    problems.push({
      place: source.place(pos[0]),
      path: "",
      message: `YAML parsing error: ${message}`,
    });
  }
  if (problems.length > 0 || document.contents === null) return { tree: null, problems };
  try {
    const tree = new TreeBuilder(source).build(document.contents as YamlNode, "", 0);
    return { tree, problems };
  } catch (error) {
    if (!(error instanceof TreeLimit)) throw error;
    return { tree: null, problems: [error.problem] };
  }
}

/** `base` with `over` on top. */
export function mergeTrees(base: Tree, over: Tree): Tree {
  if (base.kind !== "map" || over.kind !== "map") return over;
  const entries = new Map(base.entries);
  for (const [key, value] of over.entries) {
    const below = entries.get(key);
    entries.set(key, below === undefined ? value : mergeTrees(below, value));
  }
  return { ...over, entries, keyPlaces: new Map([...base.keyPlaces, ...over.keyPlaces]) };
}

/** A limit that ends the building of a tree. */
class TreeLimit extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

class TreeBuilder {
  readonly #source: SourceText;
  /** Anchors seen so far. The parser's own look-up walks the whole file for each alias. */
  readonly #anchors = new Map<string, YamlNode>();
  #nodes = 0;

  constructor(source: SourceText) {
    this.#source = source;
  }

  build(node: YamlNode | null, path: string, depth: number): Tree {
    const place = this.#source.place(node?.range?.[0] ?? 0);
    if (++this.#nodes > NODES_MAX) {
      this.#stop(place, path, `The file has more than ${NODES_MAX} values, aliases expanded`);
    }
    if (depth > DEPTH_MAX) throw new TreeLimit(tooDeep(place, path));
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target === undefined) this.#stop(place, path, `There is no anchor &${node.source}`);
      return this.build(target, path, depth + 1);
    }
    if (isNode(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isMap(node)) {
      const entries = new Map<string, Tree>();
      const keyPlaces = new Map<string, Place>();
      const merged: Tree[] = [];
      for (const { key, value } of node.items) {
        const name = this.#key(key as YamlNode | null, path);
        const keyPlace = this.#source.place((key as YamlNode | null)?.range?.[0] ?? 0);
        if (entries.has(name)) this.#stop(keyPlace, path, `'${name}' is here twice`);
        const valuePath = path === "" ? name : `${path}.${name}`;
        const tree = this.build(value as YamlNode | null, valuePath, depth + 1);
        if (name === "<<") merged.push(tree);
        else {
          entries.set(name, value === null ? { ...tree, place } : tree);
          keyPlaces.set(name, keyPlace);
        }
      }
      for (const tree of merged) mergeInto(entries, keyPlaces, tree);
      return { kind: "map", place, entries, keyPlaces };
    }
    if (isSeq(node)) {
      const items = node.items.map((item, i) =>
        this.build(item as YamlNode | null, `${path}[${i}]`, depth + 1)
      );
      return { kind: "list", place, items };
    }
    return this.#scalar(node as Scalar | null, place);
  }

  #key(key: YamlNode | null, path: string): string {
    const place = this.#source.place(key?.range?.[0] ?? 0);
    if (!isScalar(key)) this.#stop(place, path, "A key must be a plain text");
    const name = typeof key.value === "string" ? key.value : key.source ?? String(key.value);
    if (name === "__proto__") this.#stop(place, path, "The key __proto__ is not allowed");
    return name;
  }

  #scalar(node: Scalar | null, place: Place): Tree {
    const value = valueOf(node);
    const start = node?.range?.[0] ?? 0;
    const end = node?.range?.[1] ?? 0;
    const raw = this.#source.text.slice(start, end);
    const placeAt = (offset: number): Place => {
      if (typeof value !== "string") return place;
      if (raw === value) return this.#source.place(start + offset);
      if (raw.slice(1, -1) === value) return this.#source.place(start + 1 + offset);
      // A folded or escaped text: its line is found by the text around the fault, else its start.
      const piece = value.slice(offset, offset + 20).split("\n")[0]!;
      const found = piece === "" ? -1 : raw.indexOf(piece);
      return found < 0 ? place : this.#source.place(start + found);
    };
    return { kind: "scalar", place, value, placeAt };
  }

  #stop(place: Place, path: string, message: string): never {
    throw new TreeLimit({ place, path, message });
  }
}

/** YAML 1.1 words for booleans, as model-compose's parser reads them when they stand bare. */
const WORDS = new Map(
  [["yes", true], ["on", true], ["no", false], ["off", false]] as const,
);

function valueOf(node: Scalar | null): string | number | boolean | null | ExactNumber {
  const value: unknown = node?.value ?? null;
  if (node !== null && node.type === "PLAIN" && typeof value === "string") {
    const isWord = /^(?:[a-z]+|[A-Z][a-z]+|[A-Z]+)$/.test(value);
    const word = isWord ? WORDS.get(value.toLowerCase() as "yes") : undefined;
    if (word !== undefined) return word;
  }
  switch (typeof value) {
    case "number":
      return exactNumber(node?.source ?? "") ?? value;
    case "string":
    case "boolean":
      return value;
    case "bigint":
      return Number(value);
    default:
      return value === null ? null : String(value);
  }
}

/** YAML's merge key: what the mapping itself says wins. */
function mergeInto(entries: Map<string, Tree>, keyPlaces: Map<string, Place>, tree: Tree): void {
  if (tree.kind === "list") {
    for (const item of tree.items) mergeInto(entries, keyPlaces, item);
  } else if (tree.kind === "map") {
    for (const [key, value] of tree.entries) {
      if (entries.has(key)) continue;
      entries.set(key, value);
      keyPlaces.set(key, tree.keyPlaces.get(key) ?? tree.place);
    }
  }
}

function tooDeep(place: Place, path: string): Problem {
  return { place, path, message: `The file nests deeper than ${DEPTH_MAX} levels` };
}
