/**
 * The tables of docs/fault_clients.md: which dialect has which fault, and what clients make of each.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FAULT_NAMES } from "../../src/core/fault_plan.ts";
import { SAMPLES } from "../dialects/fault_streams.ts";
import { launch, REPOSITORY, type Weir } from "./launch.ts";
// @deno-types="./fault_readers.d.ts"
import { type Read, type Reader, READERS } from "./fault_readers.js";
import { FAULT_ROWS, faultAt, type FaultRow, outcomeOf, REPLY } from "./fault_outcomes.ts";

/** The page, below the repository. */
export const PAGE = "docs/fault_clients.md";

/** Where the dialect has no such fault. */
const NONE = "–";

/** The dialects of clients, and how their tables are called. */
export const TABLES: readonly (readonly [dialect: Reader["dialect"], title: string])[] = [
  ["openai_chat", "Chat completions"],
  ["openai_responses", "Responses"],
  ["anthropic_messages", "Anthropic's messages"],
];

/** The clients of a dialect: the columns of its table. */
export function readersOf(dialect: Reader["dialect"]): readonly Reader[] {
  return READERS.filter((reader) => reader.dialect === dialect);
}

/** What is measured on: a weir, and what each client reads there without a fault. */
export interface Bench {
  readonly weir: Weir;
  readonly texts: ReadonlyMap<Reader, Read>;
  readonly calls: ReadonlyMap<Reader, Read>;
}

/** Starts it. */
export async function startBench(): Promise<Bench> {
  const weir = await launch({ set: { "mock.reply": REPLY, "mock.tools": "auto" } });
  const all = async (isCalling: boolean) =>
    new Map(
      await Promise.all(READERS.map(async (reader) =>
        [
          reader,
          await reader.read({
            url: weir.url,
            headers: {},
            retries: 0,
            isCalling,
            client: reader.name,
          }),
        ] as const
      )),
    );
  return { weir, texts: await all(false), calls: await all(true) };
}

/** The cells of a row for all clients of `dialect`. */
export async function cellsOf(
  row: FaultRow,
  dialect: Reader["dialect"],
  { weir, texts, calls }: Bench,
): Promise<readonly string[]> {
  const readers = readersOf(dialect);
  if (!hasFault(dialect, row)) return readers.map(() => NONE);
  const usual = row.isCalling ? calls : texts;
  return await Promise.all(
    readers.map((reader) => outcomeOf(reader, row, weir, usual.get(reader)!)),
  );
}

function hasFault(dialect: string, { fault }: FaultRow): boolean {
  const name = /^[a-z0-9-]+/.exec(fault)![0];
  const edits: Readonly<Record<string, { readonly why?: string } | undefined>> =
    SAMPLES.find((sample) => sample.dialect === dialect)!.edits;
  return edits[name]?.why === undefined;
}

/** A table in Markdown. */
function table(rows: readonly (readonly string[])[]): string {
  const [head, ...body] = rows.map((cells) => `| ${cells.join(" | ")} |`);
  const rule = `|${rows[0]!.map(() => " --- ").join("|")}|`;
  return [head, rule, ...body].join("\n");
}

/** The first cell of a row. */
export function labelOf(row: FaultRow, dialect: Reader["dialect"]): string {
  const retries = row.retries === undefined ? "" : `, ${row.retries} retries`;
  return `\`${faultAt(row, dialect)}\`${row.isCalling ? ", of a call" : ""}${retries}`;
}

/** The table of the clients of `dialect`, measured. */
export async function clientTable(dialect: Reader["dialect"], bench: Bench): Promise<string> {
  const rows: (readonly string[])[] = [["fault", ...readersOf(dialect).map(({ name }) => name)]];
  for (const row of FAULT_ROWS) {
    rows.push([labelOf(row, dialect), ...await cellsOf(row, dialect, bench)]);
  }
  return table(rows);
}

/** The packages of the clients. */
const PACKAGES = [
  "openai",
  "@anthropic-ai/sdk",
  "ai",
  "@ai-sdk/openai",
  "@openai/agents",
  "@langchain/openai",
] as const;

/** The versions that are measured. */
export function versionTable(): string {
  const text = readFileSync(join(REPOSITORY, "package.json"), "utf8");
  const { devDependencies } = JSON.parse(text) as {
    readonly devDependencies: Readonly<Record<string, string>>;
  };
  return table([
    ["package", "version"],
    ...PACKAGES.map((name) => [name, devDependencies[name]!]),
    ["bun", Bun.version],
  ]);
}

/** Which dialect has which of the faults that need its words, and why one has not. */
export function dialectTables(): string {
  const names = FAULT_NAMES.filter((name) => name in SAMPLES[0]!.edits);
  const waysOf = (edits: object, name: string) =>
    (edits as Readonly<Record<string, { stream?: unknown; whole?: unknown; why?: string }>>)[name]!;
  const has = names.map((name) => [
    `\`${name}\``,
    ...SAMPLES.map(({ edits }) => {
      const { stream, whole } = waysOf(edits, name);
      if (stream === undefined) return NONE;
      return whole === undefined ? "streams" : "all";
    }),
  ]);
  const whys = SAMPLES.flatMap(({ dialect, edits }) => {
    const byReason = Map.groupBy(
      names.filter((name) => waysOf(edits, name).why !== undefined),
      (name) => waysOf(edits, name).why!,
    );
    return [...byReason].map((
      [why, lacked],
    ) => [dialect, lacked.map((name) => `\`${name}\``).join(" "), why]);
  });
  return `${table([["fault", ...SAMPLES.map(({ dialect }) => dialect)], ...has])}\n\n${
    table([["dialect", "has no", "because"], ...whys])
  }`;
}

/** The rows of the tables of `markdown` below `title`, cell by cell; the head of each is among them. */
export function rowsBelow(markdown: string, title: string): readonly (readonly string[])[] {
  const [, section = ""] = markdown.split(`\n## ${title}\n`);
  const [own = ""] = section.split("\n## ");
  return own.split("\n").filter((line) => /^\| (?!---)/.test(line))
    .map((line) => line.slice(2, -2).split(" | "));
}

/** `markdown` with `tables` in place of those below `title`. */
export function withTables(markdown: string, title: string, tables: string): string {
  const start = markdown.indexOf(`\n## ${title}\n`);
  if (start < 0) throw new Error(`The page has no heading ${title}`);
  const next = markdown.indexOf("\n## ", start + 1);
  const end = next < 0 ? markdown.length : next;
  const section = markdown.slice(start, end);
  const from = section.indexOf("\n|");
  const to = section.lastIndexOf("|\n") + 1;
  const text = from < 0
    ? `${section.trimEnd()}\n\n${tables}\n`
    : `${section.slice(0, from + 1)}${tables}${section.slice(to)}`;
  return markdown.slice(0, start) + text + markdown.slice(end);
}
