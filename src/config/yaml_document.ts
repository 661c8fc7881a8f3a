/**
 * One YAML document and everything that is wrong with it as YAML. What it means is nothing that is
 * known here.
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

/** Lists and mappings inside each other. A setting needs five; the parser's own walks are cubic. */
const NESTING_MAX = 64;
/** Syntax errors are reported for as many lines; those after the first few only follow from them. */
const SYNTAX_PROBLEMS_MAX = 20;

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

/** A parsed document. */
export interface Parsed {
  readonly doc: Document.Parsed;
  readonly lines: LineCounter;
  /** What is wrong with it; nothing may walk a document that has any. */
  readonly faults: readonly Fault[];
}

/** Something wrong, and where: an offset in the text. */
export interface Fault {
  readonly at: number;
  readonly text: string;
}

/** Parses `text`, which may use `aliasesMax` aliases: without a limit nine lines unfold to gigabytes. */
export function parseYaml(text: string, aliasesMax: number): Parsed {
  const lines = new LineCounter();
  const doc = parseDocument(text, {
    lineCounter: lines,
    logLevel: "error",
    prettyErrors: false, // they quote the file
    stringKeys: true,
    uniqueKeys: false, // whoever reads it checks it: regardless of case, in linear time
  });
  const syntax = syntaxFaults(doc, lines);
  return { doc, lines, faults: syntax.length > 0 ? syntax : shapeFaults(doc, aliasesMax) };
}

/** One fault per line: the others on a line nearly always follow from the first. */
function syntaxFaults(doc: Document.Parsed, lines: LineCounter): readonly Fault[] {
  const byLine = new Map<number, Fault>();
  const errors: YAMLError[] = [...doc.errors, ...doc.warnings];
  for (const { code, pos: [at] } of errors.sort((a, b) => a.pos[0] - b.pos[0])) {
    const { line } = lines.linePos(at);
    if (byLine.has(line) || byLine.size === SYNTAX_PROBLEMS_MAX) continue;
    byLine.set(line, { at, text: SYNTAX[code] ?? "this is not YAML" });
  }
  return [...byLine.values()];
}

/** What has to be known of a document before anything may walk it freely. */
interface Survey {
  readonly aliases: Alias[];
  /** The first node below the deepest level allowed. */
  tooDeep: unknown;
}

function shapeFaults(doc: Document.Parsed, aliasesMax: number): readonly Fault[] {
  const survey: Survey = { aliases: [], tooDeep: undefined };
  look(doc.contents, 0, survey);
  const { aliases, tooDeep } = survey;
  if (tooDeep !== undefined) {
    const text = `nothing may be nested deeper than ${NESTING_MAX} levels`;
    return [{ at: offsetOf(tooDeep) ?? 0, text }];
  }
  if (aliases.length > aliasesMax) {
    const text = `the file must use at most ${aliasesMax} aliases (*name)`;
    return [{ at: offsetOf(aliases[0]) ?? 0, text }];
  }
  const text = "an alias (*name) stands for nothing: put the value in quotes";
  return aliases.filter((alias) => alias.resolve(doc) === undefined)
    .map((alias) => ({ at: offsetOf(alias) ?? 0, text }));
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

/** What `node` stands for. */
export function resolved(node: unknown, doc: Document): unknown {
  return isAlias(node) ? node.resolve(doc) : node;
}

/** Is there no value at all? A key without one is a key that is not given. */
export function isEmpty(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

/** The key of `pair` as it is written. */
export function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
}

/** Where `node` begins. */
export function offsetOf(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}

/** Where the part of `node` under `inner` stands, or the innermost that there is of it. */
export function innerOffset(
  node: unknown,
  inner: readonly PropertyKey[],
  doc: Document,
): number | undefined {
  let part = node;
  let offset: number | undefined;
  for (const key of inner) {
    const word = String(key).toLowerCase();
    const next = isMap(part)
      ? part.items.find((pair) => keyOf(pair).toLowerCase() === word)?.value
      : isSeq(part)
      ? part.items[Number(key)]
      : undefined;
    offset = offsetOf(next) ?? offset;
    part = resolved(next, doc);
  }
  return offset;
}
