/**
 * Reads YAML into what it says about each setting: the text of a configuration file, with line and
 * column, and single values of the environment and of flags. It also knows the keys of older files
 * that weir accepts and does not need.
 *
 * @module
 */

import { type Document, isMap, isScalar, isSeq, type Pair } from "yaml";
import type { z } from "zod";
import { type Given, type Layer, type Problem, shownKey, unknownKey } from "./problems.ts";
import { SETTING_ROWS, type SettingRow } from "./schema.ts";
import { schemasAlong, shapeOf } from "./shape.ts";
import { TREE } from "./tree.ts";
import {
  type Fault,
  innerOffset,
  isEmpty,
  keyOf,
  offsetOf,
  parseYaml,
  resolved,
} from "./yaml_document.ts";

/** Larger files are refused: a real one is 3 KiB. In UTF-16 code units. */
const FILE_LENGTH_MAX = 1_048_576;
/** Aliases (`*name`) in one file. None is needed. */
const ALIASES_MAX = 20;

/** A file, by the name that messages call it. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

/**
 * Sections and keys of the streaming response service, whose config.yaml weir reads as it stands
 * (docs/facts/systems.md "Configuration file"), in lower case as all keys are compared. The
 * misspelling is its own.
 */
const UNUSED: ReadonlySet<string> = new Set([
  "redis",
  "mongodb",
  "feishu",
  "llm.serviceprovider",
  "llm.temperature",
  "llm.top_p",
  "llm.max_new_tokens",
  "server.session_messages",
  "server.user_poritrait",
  "server.topic_summary",
  "server.chat_event",
  "server.web",
]);
/** Its name for the port of what answers. */
const PORT_ALIAS = "server.openai";
const PORT_PATH = "server.port";

/**
 * What `text`, a variable or a flag, says about the setting `row`: text as it is, anything else
 * read as a flow of YAML. `origin` is what messages call it, and `at` its place among the others.
 */
export function readValue(row: SettingRow, text: string, origin: string, at: number): Layer {
  const { path, schema } = row;
  const from = origin === "--set" ? `--set ${path}` : origin;
  if (shapeOf(schema).kind !== "text" && text.length <= FILE_LENGTH_MAX) {
    const { doc, faults } = parseYaml(text, 0);
    const walk = new Walk(doc, () => ({ at, where: origin, line: undefined }));
    if (faults.length === 0) return walk.setting(row, from);
  }
  // What is no YAML either stays a string, which no setting of another type accepts.
  const place = () => ({ at, label: `${origin} ${path}` });
  const given = { path, schema, value: text, isPartial: false, origin: from, place };
  return { given: [given], problems: [], warnings: [] };
}

/**
 * What `file` says. Nothing of a file with syntax errors counts: what follows them is guesswork.
 */
export function readFile(file: ConfigFile): Layer {
  return walked(file, (walk, faults) => walk.file(faults));
}

/** What `file` says that holds one section, and nothing around it: the one that `keys` lead to. */
export function readSectionFile(file: ConfigFile, keys: readonly string[]): Layer {
  return walked(file, (walk, faults) => walk.section(keys, faults));
}

function walked(
  file: ConfigFile,
  take: (walk: Walk, faults: readonly Fault[]) => Layer,
): Layer {
  if (file.text.length > FILE_LENGTH_MAX) {
    const text = `${file.name}:1:1 the file must have at most ${FILE_LENGTH_MAX} characters`;
    return { given: [], problems: [{ at: 0, text }], warnings: [] };
  }
  const { doc, lines, faults } = parseYaml(file.text.replace(/^\uFEFF/, ""), ALIASES_MAX);
  const walk = new Walk(doc, (at) => {
    const { line, col } = lines.linePos(at);
    return { at, where: `${file.name}:${line}:${col}`, line };
  });
  return take(walk, faults);
}

/** Where something stands: its order among the others, how messages call the place, its line. */
interface Place {
  readonly at: number;
  readonly where: string;
  readonly line: number | undefined;
}

interface Field {
  /** As the tree writes it. */
  readonly key: string;
  readonly pair: Pair;
  readonly at: number;
}

/** One pass over one document. */
class Walk {
  readonly #doc: Document.Parsed;
  readonly #place: (offset: number) => Place;
  readonly #given: Given[] = [];
  readonly #problems: Problem[] = [];
  readonly #warnings: Problem[] = [];
  #unknownKeys = 0;

  constructor(doc: Document.Parsed, place: (offset: number) => Place) {
    this.#doc = doc;
    this.#place = place;
  }

  /** The whole document as sections and lists. */
  file(faults: readonly Fault[]): Layer {
    for (const { at, text } of faults) this.#problem(at, text);
    if (faults.length === 0) this.#readRoot();
    return this.#layer();
  }

  #layer(): Layer {
    return { given: this.#given, problems: this.#problems, warnings: this.#warnings };
  }

  /** The whole document as the section under `keys`. */
  section(keys: readonly string[], faults: readonly Fault[]): Layer {
    for (const { at, text } of faults) this.#problem(at, text);
    if (faults.length === 0) {
      const schema = schemasAlong(TREE, keys).at(-1)!;
      this.#readSection(keys, schema, this.#doc.contents, 0);
    }
    return this.#layer();
  }

  /** The whole document as the value of `row`. */
  setting(row: SettingRow, origin: string): Layer {
    this.#read(row, row.path, this.#doc.contents, 0, origin);
    return this.#layer();
  }

  #problem(at: number, text: string): void {
    const place = this.#place(at);
    this.#problems.push({ at: place.at, text: `${place.where} ${text}` });
  }

  #warn(at: number, text: string): void {
    const place = this.#place(at);
    this.#warnings.push({ at: place.at, text: `${place.where} ${text}` });
  }

  #readRoot(): void {
    const root = this.#doc.contents;
    if (isEmpty(root)) return;
    if (!isMap(root)) {
      this.#problem(offsetOf(root) ?? 0, "the file must be a mapping of sections, such as server:");
      return;
    }
    for (const { key, pair, at } of this.#fields(root.items, TREE.shape, [])) {
      const row = SETTING_ROWS.get(key);
      if (row === undefined) {
        this.#readSection([key], TREE.shape[key as keyof typeof TREE.shape], pair.value, at);
      } else this.#read(row, key, pair.value, at);
    }
  }

  #readSection(
    keys: readonly string[],
    schema: z.ZodType,
    value: unknown,
    sectionAt: number,
  ): void {
    const section = keys.join(".");
    const node = resolved(value, this.#doc);
    if (isEmpty(node)) return;
    if (!isMap(node)) {
      // Not repeated in the message: whoever writes "llm: KEY" has written a secret.
      const at = offsetOf(value) ?? sectionAt;
      this.#problem(
        at,
        `${section}: must be a mapping of keys: it is a ${isSeq(node) ? "list" : "single value"}`,
      );
      return;
    }
    let hasPort = false;
    let portAlias: Field | undefined;
    const shape = shapeOf(schema);
    const fields = shape.kind === "fields" ? shape.fields : {};
    for (const field of this.#fields(node.items, fields, keys)) {
      const path = `${section}.${field.key}`;
      const row = SETTING_ROWS.get(path);
      if (path === PORT_PATH) hasPort = !isEmpty(resolved(field.pair.value, this.#doc));
      if (path === PORT_ALIAS) portAlias = field;
      else if (row !== undefined) this.#read(row, path, field.pair.value, field.at);
      else this.#readSection([...keys, field.key], fields[field.key]!, field.pair.value, field.at);
    }
    if (portAlias === undefined) return;
    if (hasPort) this.#warn(portAlias.at, `${PORT_ALIAS}: is not used, as ${PORT_PATH} is given`);
    else this.#read(SETTING_ROWS.get(PORT_PATH)!, PORT_ALIAS, portAlias.pair.value, portAlias.at);
  }

  /** The pairs of a mapping that has `fields`; what else is in it is a problem or a warning. */
  *#fields(
    items: readonly Pair[],
    fields: Readonly<Record<string, z.ZodType>>,
    path: readonly string[],
  ): Generator<Field> {
    for (const { name, pair, at } of this.#pairs(items, path)) {
      const key = name.toLowerCase();
      const keyPath = [...path, key].join(".");
      if (Object.hasOwn(fields, key) || keyPath === PORT_ALIAS) {
        yield { key, pair, at };
      } else if (UNUSED.has(keyPath)) {
        this.#warn(at, `${[...path, name].join(".")}: weir has no use for it`);
      } else {
        this.#unknownKeys++;
        const label = [...path, shownKey(name)].join(".");
        this.#problem(at, `${label}: ${unknownKey(name, path, Object.keys(fields))}`);
      }
    }
  }

  /** The pairs of a mapping; a key that comes twice, in whatever case, counts once. */
  *#pairs(
    items: readonly Pair[],
    path: readonly string[],
  ): Generator<{ readonly name: string; readonly pair: Pair; readonly at: number }> {
    const firstAt = new Map<string, number>();
    for (const pair of items) {
      const name = keyOf(pair);
      const at = offsetOf(pair.key) ?? 0;
      const seenAt = firstAt.get(name.toLowerCase());
      if (seenAt === undefined) {
        firstAt.set(name.toLowerCase(), at);
        yield { name, pair, at };
      } else {
        const { line } = this.#place(seenAt);
        const first = line === undefined ? "" : `: the first is in line ${line}`;
        this.#problem(at, `${[...path, shownKey(name)].join(".")}: is given twice${first}`);
      }
    }
  }

  /** What `node` says about `row`, which the document calls `label`. A file skips empty ones. */
  #read(row: SettingRow, label: string, node: unknown, keyAt: number, origin?: string): void {
    const target = resolved(node, this.#doc);
    if (origin === undefined && isEmpty(target)) return;
    const valueAt = offsetOf(node) ?? keyAt;
    const before = this.#unknownKeys;
    const value = this.#plain(target, row.schema, label.split("."));
    this.#given.push({
      path: row.path,
      schema: row.schema,
      value,
      isPartial: this.#unknownKeys > before,
      origin: origin ?? this.#place(valueAt).where,
      place: (inner) => {
        const { at, where } = this.#place(innerOffset(target, inner, this.#doc) ?? valueAt);
        const words = [label, ...inner.map((key) => shownKey(String(key)))];
        return { at, label: `${where} ${words.join(".")}` };
      },
    });
  }

  /**
   * `node` as plain data of the shape that `schema` wants; what has another shape stays shallow.
   */
  #plain(node: unknown, schema: z.ZodType, path: readonly string[]): unknown {
    const target = resolved(node, this.#doc);
    const shape = shapeOf(schema);
    if (isSeq(target)) {
      if (shape.kind !== "list") return [];
      return target.items.map((item, i) => this.#plain(item, shape.item, [...path, String(i)]));
    }
    if (isMap(target)) return Object.fromEntries(this.#entries(target.items, schema, path));
    if (!isScalar(target)) return null;
    const { value, source } = target;
    const isTyped = shape.kind === "typed" || typeof value === "string" || value === null;
    return isTyped ? value : source ?? String(value);
  }

  *#entries(
    items: readonly Pair[],
    schema: z.ZodType,
    path: readonly string[],
  ): Generator<readonly [key: string, value: unknown]> {
    const shape = shapeOf(schema);
    if (shape.kind === "fields") {
      for (const { key, pair } of this.#fields(items, shape.fields, path)) {
        if (isEmpty(resolved(pair.value, this.#doc))) continue;
        yield [key, this.#plain(pair.value, shape.fields[key]!, [...path, key])];
      }
    } else if (shape.kind === "mapping") {
      for (const { name, pair } of this.#pairs(items, path)) {
        yield [name, this.#plain(pair.value, shape.value, [...path, name])];
      }
    }
  }
}
