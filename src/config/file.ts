/**
 * Reads the text of a configuration file into what it says about each setting, with line and column.
 * It also knows the keys of older files that weir accepts and does not need.
 *
 * Over 200 lines, as it is one walk over one document: syntax, sections, keys, values.
 *
 * @module
 */

import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLError,
} from "yaml";
import { type Given, type Layer, type Problem, shownKey, unknownKey } from "./problems.ts";
import { SETTING_ROWS, SETTINGS } from "./schema.ts";

/** Larger files are refused: a real one is 3 KiB. In UTF-16 code units. */
const FILE_LENGTH_MAX = 1_048_576;
/** Aliases (`*name`) in one file. None is needed; without a limit nine lines unfold to gigabytes. */
const ALIASES_MAX = 20;
/** Lists and mappings inside each other. A setting needs four; the parser's own walks are cubic. */
const NESTING_MAX = 64;
/** Syntax errors are reported for as many lines; those after the first few only follow from them. */
const SYNTAX_PROBLEMS_MAX = 20;
/** No setting is deeper than a list or a mapping of texts. */
const VALUE_DEPTH_MAX = 2;

/** A file, by the name that messages call it. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

/** Sections of the Go service whose config.yaml weir reads as it stands (facts 000.6). */
const UNUSED_SECTIONS: ReadonlySet<string> = new Set(["redis", "mongodb", "feishu"]);
/** Keys of the same service, in lower case as all keys are compared. The misspelling is its own. */
const UNUSED_KEYS: ReadonlySet<string> = new Set([
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

/** Sentences for the parser's codes: its own ones quote the file, and so perhaps a secret. */
const SYNTAX: Partial<Readonly<Record<YAMLError["code"], string>>> = {
  BAD_INDENT: "the indentation does not fit the lines around it, or a bracket is not closed",
  BAD_SCALAR_START: "a value cannot start with this character: put the value in quotes",
  BAD_DQ_ESCAPE: "an escape in a double-quoted text is unknown: write \\\\ for a backslash",
  BLOCK_AS_IMPLICIT_KEY:
    "a value and nested keys cannot share a place: put text with a colon in quotes",
  MISSING_CHAR: "something is missing: a colon after a key, a closing quote or a bracket",
  MULTILINE_IMPLICIT_KEY: "a key must be on one line: a colon or a closing quote is missing",
  MULTIPLE_DOCS: "the file must hold one document: take the line --- away",
  NON_STRING_KEY: "a key must be text",
  RESOURCE_EXHAUSTION: "the file is nested too deeply",
  TAB_AS_INDENT: "tabs cannot indent: use blanks",
  TAG_RESOLVE_FAILED: "tags (words that start with !) are unknown here: put the value in quotes",
  UNEXPECTED_TOKEN:
    "something stands here that does not belong here: quotes or a bracket may be missing",
};

/** One value, read as a flow of YAML: what an environment variable or a flag carries. */
export function readValue(text: string, isText: boolean): { readonly value: unknown } | undefined {
  if (text.length > FILE_LENGTH_MAX) return undefined;
  const { doc } = parse(text);
  if (doc.errors.length + doc.warnings.length > 0) return undefined;
  const survey = surveyOf(doc);
  if (survey.aliases.length > 0 || survey.tooDeep !== undefined) return undefined;
  return { value: plainValue(doc.contents, doc, isText) };
}

/** What `file` says. Nothing of a file with syntax errors counts: what follows them is guesswork. */
export function readFile(file: ConfigFile): Layer {
  if (file.text.length > FILE_LENGTH_MAX) {
    const text = `${file.name}:1:1 the file must have at most ${FILE_LENGTH_MAX} characters`;
    return { given: [], problems: [{ at: 0, text }], warnings: [] };
  }
  return new Walk(file).layer();
}

function parse(text: string): { doc: Document.Parsed; lines: LineCounter } {
  const lines = new LineCounter();
  const doc = parseDocument(text, {
    lineCounter: lines,
    logLevel: "error",
    prettyErrors: false, // they quote the file
    stringKeys: true,
    uniqueKeys: false, // Walk checks it: regardless of case, in linear time, and says where
  });
  return { doc, lines };
}

/** What has to be known of a document before anything may walk it freely. */
interface Survey {
  readonly aliases: Alias[];
  /** The first node below the deepest level allowed. */
  tooDeep: unknown;
}

function surveyOf(doc: Document.Parsed): Survey {
  const survey: Survey = { aliases: [], tooDeep: undefined };
  look(doc.contents, 0, survey);
  return survey;
}

function look(node: unknown, depth: number, survey: Survey): void {
  if (isAlias(node)) survey.aliases.push(node);
  if (!isMap(node) && !isSeq(node)) return;
  if (depth === NESTING_MAX) {
    survey.tooDeep ??= node;
    return;
  }
  for (const item of node.items) look(isPair(item) ? item.value : item, depth + 1, survey);
}

function resolved(node: unknown, doc: Document): unknown {
  return isAlias(node) ? node.resolve(doc) : node;
}

/** Is there no value at all? A key without one is a key that is not given. */
function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

/** `node` as plain data. With `isText`, scalars without quotes stay as they are written: 007. */
function plainValue(node: unknown, doc: Document, isText: boolean, depth = 0): unknown {
  const target = resolved(node, doc);
  if (isScalar(target)) {
    const isWritten = isText && typeof target.value !== "string" && target.value !== null;
    return isWritten ? target.source ?? String(target.value) : target.value;
  }
  if (isSeq(target)) {
    if (depth === VALUE_DEPTH_MAX) return [];
    return target.items.map((item) => plainValue(item, doc, isText, depth + 1));
  }
  if (!isMap(target)) return null;
  if (depth === VALUE_DEPTH_MAX) return {};
  return Object.fromEntries(
    target.items.map((pair) => [keyOf(pair), plainValue(pair.value, doc, isText, depth + 1)]),
  );
}

function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
}

function offsetOf(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}

/** One pass over one document. */
class Walk {
  readonly #name: string;
  readonly #doc: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #given: Given[] = [];
  readonly #problems: Problem[] = [];
  readonly #warnings: Problem[] = [];

  constructor(file: ConfigFile) {
    this.#name = file.name;
    const { doc, lines } = parse(file.text.replace(/^\uFEFF/, ""));
    this.#doc = doc;
    this.#lines = lines;
  }

  layer(): Layer {
    this.#checkSyntax();
    if (this.#problems.length === 0) this.#checkShape();
    if (this.#problems.length === 0) this.#readRoot();
    return { given: this.#given, problems: this.#problems, warnings: this.#warnings };
  }

  #where(at: number): string {
    const { line, col } = this.#lines.linePos(at);
    return `${this.#name}:${line}:${col}`;
  }

  #problem(at: number, text: string): void {
    this.#problems.push({ at, text: `${this.#where(at)} ${text}` });
  }

  /** One problem per line: the others on a line nearly always follow from the first. */
  #checkSyntax(): void {
    const lines = new Set<number>();
    const errors: YAMLError[] = [...this.#doc.errors, ...this.#doc.warnings];
    for (const error of errors.sort((a, b) => a.pos[0] - b.pos[0])) {
      const { line } = this.#lines.linePos(error.pos[0]);
      if (lines.has(line) || lines.size === SYNTAX_PROBLEMS_MAX) continue;
      lines.add(line);
      this.#problem(error.pos[0], SYNTAX[error.code] ?? "this is not YAML");
    }
  }

  #checkShape(): void {
    const { aliases, tooDeep } = surveyOf(this.#doc);
    if (tooDeep !== undefined) {
      this.#problem(
        offsetOf(tooDeep) ?? 0,
        `nothing may be nested deeper than ${NESTING_MAX} levels`,
      );
    } else if (aliases.length > ALIASES_MAX) {
      const at = offsetOf(aliases[0]) ?? 0;
      this.#problem(at, `the file must use at most ${ALIASES_MAX} aliases (*name)`);
    } else {
      for (const alias of aliases) {
        if (alias.resolve(this.#doc) !== undefined) continue;
        const at = offsetOf(alias) ?? 0;
        this.#problem(at, "an alias (*name) stands for nothing: put the value in quotes");
      }
    }
  }

  #readRoot(): void {
    const root = this.#doc.contents;
    if (isEmpty(root)) return;
    if (!isMap(root)) {
      this.#problem(offsetOf(root) ?? 0, "the file must be a mapping of sections, such as server:");
      return;
    }
    for (const { name, pair, at } of this.#pairs(root.items, "")) {
      const section = name.toLowerCase();
      if (UNUSED_SECTIONS.has(section)) this.#warnUnused(at, name);
      else if (Object.hasOwn(SETTINGS, section)) this.#readSection(section, pair, at);
      else this.#problem(at, `${shownKey(name)}: ${unknownKey(name, undefined)}`);
    }
  }

  #readSection(section: string, pair: Pair, sectionAt: number): void {
    const node = resolved(pair.value, this.#doc);
    if (isEmpty(node)) return;
    if (!isMap(node)) {
      // Not repeated in the message: whoever writes "llm: KEY" has written a secret.
      const at = offsetOf(pair.value) ?? sectionAt;
      this.#problem(
        at,
        `${section}: must be a mapping of keys: it is a ${isSeq(node) ? "list" : "single value"}`,
      );
      return;
    }
    let hasPort = false;
    let portAlias: { pair: Pair; at: number } | undefined;
    for (const { name, pair: inner, at } of this.#pairs(node.items, section)) {
      const path = `${section}.${name.toLowerCase()}`;
      if (path === PORT_PATH) hasPort = !isEmpty(resolved(inner.value, this.#doc));
      if (path === PORT_ALIAS) portAlias = { pair: inner, at };
      else if (UNUSED_KEYS.has(path)) this.#warnUnused(at, `${section}.${name}`);
      else if (SETTING_ROWS.has(path)) this.#readSetting(path, path, inner, at);
      else this.#problem(at, `${section}.${shownKey(name)}: ${unknownKey(name, section)}`);
    }
    if (portAlias === undefined) return;
    if (!hasPort) {
      this.#readSetting(PORT_PATH, PORT_ALIAS, portAlias.pair, portAlias.at);
    } else {
      const text = `${
        this.#where(portAlias.at)
      } ${PORT_ALIAS}: is not used, as ${PORT_PATH} is given`;
      this.#warnings.push({ at: portAlias.at, text });
    }
  }

  /** The pairs of a mapping; a key that comes twice, in whatever case, counts once. */
  *#pairs(
    items: readonly Pair[],
    section: string,
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
        const path = section === "" ? shownKey(name) : `${section}.${shownKey(name)}`;
        const { line } = this.#lines.linePos(seenAt);
        this.#problem(at, `${path}: is given twice: the first is in line ${line}`);
      }
    }
  }

  #warnUnused(at: number, path: string): void {
    const text = `${this.#where(at)} ${path}: weir has no use for it`;
    this.#warnings.push({ at, text });
  }

  #readSetting(path: string, writtenPath: string, pair: Pair, keyAt: number): void {
    const { setting } = SETTING_ROWS.get(path)!;
    const node = resolved(pair.value, this.#doc);
    if (isEmpty(node)) return;
    // Duplicates inside a mapping are reported by walking it; what it holds is read below.
    if (isMap(node)) { for (const _ of this.#pairs(node.items, path)); }
    const valueAt = offsetOf(pair.value) ?? keyAt;
    this.#given.push({
      path,
      value: plainValue(node, this.#doc, setting.reads !== "yaml"),
      origin: this.#where(valueAt),
      place: (inner) => {
        const at = innerOffset(node, inner) ?? valueAt;
        const label = [writtenPath, ...inner.map((key) => shownKey(String(key)))].join(".");
        return { at, label: `${this.#where(at)} ${label}` };
      },
    });
  }
}

/** Where the part of `node` under `inner` stands. */
function innerOffset(node: unknown, inner: readonly PropertyKey[]): number | undefined {
  let part = node;
  for (const key of inner) {
    if (isMap(part)) part = part.items.find((pair) => keyOf(pair) === key)?.value;
    else if (isSeq(part)) part = part.items[Number(key)];
    else return undefined;
  }
  return inner.length === 0 ? undefined : offsetOf(part);
}
