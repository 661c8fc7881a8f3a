/**
 * When two requests have the same answer: as far as a cache may tell. JSON counts by what it says; and what
 * makes things at the upstream, or goes on from things there, is not cached at all.
 *
 * @module
 */

import type { Ask, DialectName, Wire } from "../../core/answer.ts";
import type { Call } from "../../core/exchange.ts";
import type { Key } from "../../core/keys.ts";
import { isDeeper } from "../../lib/depth.ts";
import { ExactNumber, parseExactJson } from "../../lib/exact_json.ts";
import type { Fields } from "../../lib/http1/fields.ts";
import { nameOfShown, shownKey } from "../shown_key.ts";
import { keyOf, Volatile } from "../tape/request_key.ts";

/** Who shares answers: the requests of one key, or all of a route. */
export type CacheScope = "key" | "all";

/** What is the same for all requests of one route. */
export interface CacheKeyRules {
  readonly scope: CacheScope;
  /** Headers that change the answer, besides the usual ones: names in lower case. */
  readonly headers: readonly string[];
  /** Fields of the body that do not, besides the usual ones. */
  readonly volatile: readonly string[];
  /** What the route is, and where it leads. */
  readonly route: string;
}

/** What a cache knows of one request. */
export interface CacheKey {
  /** The same for requests that may have the same answer. */
  readonly digest: string;
  /** Whose request it is; "" = nobody has shown a key. */
  readonly identity: string;
  readonly dialect: DialectName;
}

/** A larger request is not cached: it would have to be read as a whole for each look. */
export const QUESTION_BYTES_MAX = 1_048_576;
/** A longer one is read anew each time. */
const REMEMBERED_BYTES_MAX = 65_536;
/** Deeper JSON is compared byte by byte. */
const DEPTH_MAX = 1000;

/** What is asked on paths whose answers say nothing but an answer. */
const PATHS: Readonly<Partial<Record<DialectName, readonly string[]>>> = {
  openai_chat: ["/chat/completions"],
  openai_completions: ["/completions"],
  openai_responses: ["/responses"],
  anthropic_messages: ["/messages"],
  openai: ["/embeddings", "/moderations"],
};

/** Headers that change what is answered, or how it is written: in each key. */
export const KEYED_HEADERS: readonly string[] = [
  "accept",
  "accept-encoding",
  "accept-language",
  "anthropic-beta",
  "anthropic-version",
  "content-type",
  "openai-beta",
  "openai-organization",
  "openai-project",
];

/**
 * Fields that say who asks, and change nothing of what is answered. An answer of the Responses API repeats
 * all of them, so that there each one counts.
 */
const OPENAI_VOLATILE = ["user", "safety_identifier", "prompt_cache_key", "metadata"];
const VOLATILE: Readonly<Partial<Record<DialectName, readonly string[]>>> = {
  openai_chat: OPENAI_VOLATILE,
  openai_completions: OPENAI_VOLATILE,
  openai: ["user"],
  anthropic_messages: ["metadata"],
};

type Body = Readonly<Record<string, unknown>>;

/** True when a request makes something at the upstream that stays there, or goes on from it. */
const HAS_EFFECT: Readonly<Partial<Record<DialectName, (body: Body) => boolean>>> = {
  openai_chat: ({ store }) => store === true,
  // Unless it says otherwise, an answer is kept at the upstream, and others may go on from it.
  openai_responses: ({ store, background, previous_response_id, conversation, prompt, tools }) =>
    store !== false || background === true || isSaid(previous_response_id) ||
    isSaid(conversation) || isSaid(prompt) || hasHostedTools(tools),
  anthropic_messages: ({ container, mcp_servers }) => isSaid(container) || isSaid(mcp_servers),
};

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Those that the upstream carries out. */
function hasHostedTools(tools: unknown): boolean {
  return Array.isArray(tools) &&
    tools.some((tool) => tool?.type !== "function" && tool?.type !== "custom");
}

/** What was asked last: who tests asks the same again and again. */
interface Remembered {
  readonly path: string;
  readonly dialect: DialectName;
  readonly weirKey: Key | undefined;
  /** Its head as it came, and the fields that may go up. */
  readonly lines: Buffer;
  readonly linesUp: Buffer;
  readonly body: Buffer;
  readonly key: CacheKey;
}

/** The bytes of `fields`. */
function linesOf({ bytes, from, to }: Fields): Buffer {
  return Buffer.from(bytes.subarray(from, to));
}

function isSame(lines: Buffer, { bytes, from, to }: Fields): boolean {
  return to - from === lines.length && lines.compare(bytes, from, to) === 0;
}

/** Finds the keys of one route's requests. */
export class CacheKeys {
  readonly #rules: CacheKeyRules;
  readonly #headers: readonly string[];
  readonly #volatile = new Map<DialectName, Volatile>();
  #last: Remembered | undefined;
  #lastDigest = "";

  constructor(rules: CacheKeyRules) {
    this.#rules = rules;
    this.#headers = [...new Set([...KEYED_HEADERS, ...rules.headers])];
  }

  /** undefined = what is asked is not cached. */
  of({ wire }: Ask, call: Call): CacheKey | undefined {
    if (wire === undefined || wire.method !== "POST" || wire.upload !== undefined) return undefined;
    const { dialect, path, fields, body } = wire;
    if (body === null || body.length === 0 || body.length > QUESTION_BYTES_MAX) return undefined;
    const head = call.request?.head.fields ?? fields;
    const last = this.#last;
    const isLast = last?.path === path && last.dialect === dialect && last.weirKey === call.key &&
      last.body.length === body.length && isSame(last.lines, head) &&
      (head === fields || isSame(last.linesUp, fields)) && last.body.compare(body) === 0;
    if (isLast) return last.key;
    const key = this.#read(wire, body, call);
    // What is asked for the first time is not copied.
    const isAgain = key !== undefined && key.digest === this.#lastDigest;
    this.#lastDigest = key?.digest ?? "";
    if (isAgain && body.length <= REMEMBERED_BYTES_MAX) {
      const linesUp = linesOf(fields);
      this.#last = {
        ...{ path, dialect, weirKey: call.key, key, linesUp },
        lines: head === fields ? linesUp : linesOf(head),
        body: Buffer.from(body),
      };
    }
    return key;
  }

  #read({ dialect, path, fields }: Wire, body: Uint8Array, call: Call): CacheKey | undefined {
    const [plain] = path.split("?", 1);
    if (!PATHS[dialect]?.includes(plain!)) return undefined;
    const text = this.#textOf(dialect, body);
    if (text === undefined) return undefined;
    const identity = identityOf(call);
    const { scope, route } = this.#rules;
    const values = this.#headers.map((name) => valueOf(fields, name));
    const head = [route, scope === "key" ? identity : "", dialect, path, values];
    return { digest: keyOf(`${JSON.stringify(head)}\n${text}`), identity, dialect };
  }

  /** What `body` says, the same for all ways to write it; undefined = it is not cached. */
  #textOf(dialect: DialectName, body: Uint8Array): string | undefined {
    try {
      const text = UTF8.decode(body);
      const value = parseExactJson(text);
      if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      if (isDeeper(value, DEPTH_MAX)) return undefined;
      if (HAS_EFFECT[dialect]?.(value as Body) === true) return undefined;
      // Servers differ in which one they read of two fields of one name.
      if (pairsIn(value) !== colonsIn(text)) return `\0${text}`;
      return JSON.stringify(this.#ignored(dialect).without(value));
    } catch {
      return undefined; // what is wrong with it, the upstream says
    }
  }

  #ignored(dialect: DialectName): Volatile {
    let made = this.#volatile.get(dialect);
    if (made === undefined) {
      made = new Volatile([...VOLATILE[dialect] ?? [], ...this.#rules.volatile]);
      this.#volatile.set(dialect, made);
    }
    return made;
  }
}

/** Whose request it is: weir's own key by its name, else what was shown. */
function identityOf(call: Call): string {
  if (call.key !== undefined) return `key ${call.key.name}`;
  const shown = call.request?.head.fields.get("api-key") ?? shownKey(call);
  // Kept for as long as the answer takes: not as a text that opens something.
  return shown === "" ? "" : `shown ${keyOf(nameOfShown(shown))}`;
}

function valueOf(fields: Fields, name: string): string {
  const value = fields.get(name) ?? "";
  return name === "accept-encoding" ? value.toLowerCase().replaceAll(" ", "") : value;
}

/** Fields of all objects in `value`. */
function pairsIn(value: unknown): number {
  if (typeof value !== "object" || value === null || value instanceof ExactNumber) return 0;
  let count = 0;
  if (Array.isArray(value)) { for (const item of value) count += pairsIn(item); }
  else {
    for (const key of Object.keys(value)) count += 1 + pairsIn((value as Body)[key]);
  }
  return count;
}

/** Texts in JSON that a colon follows: the names of its fields. */
function colonsIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at >= 0;) {
    let end = text.indexOf('"', at + 1);
    while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
    let next = end + 1;
    while (text.charCodeAt(next) <= BLANK) next++;
    if (text.charCodeAt(next) === COLON) count++;
    at = text.indexOf('"', end + 1);
  }
  return count;
}

/** True when what stands at `at` is behind an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let start = at;
  while (text.charCodeAt(start - 1) === BACKSLASH) start--;
  return (at - start) % 2 === 1;
}

const BACKSLASH = 0x5c;
const COLON = 0x3a;
const BLANK = 0x20;
const UTF8 = new TextDecoder("utf-8", { fatal: true });
