/**
 * How the events of a stream are edited for faults on purpose: what is the same in all dialects that
 * send events. A dialect says which of its events is which, and brings the edits that are its own.
 *
 * Only the events that a fault is about are written anew, and of those only what it says: an upstream's
 * own spelling, keys that nobody knows and other choices stay as they are.
 *
 * @module
 */

import { JSON_DEPTH_MAX } from "../core/depth.ts";
import type {
  EditedFault,
  EventEdit,
  FaultEdit,
  FaultEdits,
  PlannedFault,
} from "../core/fault_plan.ts";
import { wordOf } from "../core/fault_plan.ts";
import { isDeeper } from "../lib/depth.ts";
import { jsonPlaces } from "../lib/json_places.ts";
import { JsonSplice, placeAt } from "../lib/json_splice.ts";
import { SseBlock, type SseLine } from "../lib/sse_block.ts";

/** A JSON object as it was read. */
export type Json = Readonly<Record<string, unknown>>;

/** One event on its way. */
export class WireEvent extends SseBlock {
  #value: Json | null | undefined = undefined;

  /** What the data says; undefined = it is no JSON object, or one that nests too deep to be edited. */
  get json(): Json | undefined {
    this.#value ??= objectIn(this.data ?? "") ?? null;
    return this.#value ?? undefined;
  }

  /** Its text after `change`; undefined = it is no JSON object, or there was nothing to change. */
  spliced(change: (splice: JsonSplice, json: Json) => void): string | undefined {
    const { data = "", json } = this;
    if (json === undefined) return undefined;
    const splice = new JsonSplice(data);
    change(splice, json);
    return splice.hasChanged ? this.withData(splice.toString()) : undefined;
  }
}

/** The JSON of the field `key`, as it is written. `event` must have it. */
export function fieldText({ data = "" }: WireEvent, key: string): string {
  const { at, end } = placeAt(jsonPlaces(data), key)!;
  return data.slice(at, end);
}

/** The JSON object that `text` is; undefined = it is none, or nests too deep to be edited. */
export function objectIn(text: string): Json | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isDeeper(value, JSON_DEPTH_MAX) ? undefined : value as Json;
  } catch {
    return undefined;
  }
}

/** `value` where it is an object and no list. */
export function asObject(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Json
    : undefined;
}

/** The objects in `value`, if it is a list; what else it holds stands there as an empty one. */
export function objectsIn(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map((item) => asObject(item) ?? {}) : [];
}

/** The words of an error that somebody wants to see. Undefined: what is usual in the dialect. */
export interface ToldError {
  readonly message: string | undefined;
  readonly type: string | undefined;
  readonly code: string | undefined;
}

/** The first event of an answer, and the one behind which an error stands. */
export interface SentEvents {
  readonly first: WireEvent;
  readonly last: WireEvent;
}

/** What a dialect says of its streams. */
export interface StreamWords {
  /** Is it the last event of a whole answer? Absent = the dialect has none. */
  isLast?(event: WireEvent): boolean;
  /** Does it say a piece of the answer's text or of a call? */
  isPiece(event: WireEvent): boolean;
  /** `error` as whole events, behind what was sent. Absent = the dialect has no such thing. */
  errorEvents?(error: ToldError, sent: SentEvents): string;
}

/** An edit while it goes on. */
export abstract class Edit implements EventEdit {
  hasHappened = false;
  isOver = false;

  event(text: string, isHere: boolean): string {
    return this.take(new WireEvent(text), isHere);
  }

  /** What is sent in place of `event`. */
  protected abstract take(event: WireEvent, isHere: boolean): string;

  end(): string {
    return "";
  }

  /** It has happened: `text` is sent. */
  protected done(text: string): string {
    this.hasHappened = true;
    return text;
  }
}

/** What becomes of one event; undefined = the fault is not about it. */
type Change = (event: WireEvent) => string | undefined;

/** Changes every event that `change` is about; behind the fault's place, where it has one. */
class EachEvent extends Edit {
  readonly #change: Change;
  #isWaiting: boolean;

  constructor(change: Change, hasPlace: boolean) {
    super();
    this.#change = change;
    this.#isWaiting = hasPlace;
  }

  protected take(event: WireEvent, isHere: boolean): string {
    if (isHere) this.#isWaiting = false;
    const text = this.#isWaiting ? undefined : this.#change(event);
    return text === undefined ? event.text : this.done(text);
  }
}

/** Changes the event at the fault's place, or the first one behind it that `change` is about. */
class OneEvent extends Edit {
  readonly #change: Change;
  #isWaiting = true;

  constructor(change: Change) {
    super();
    this.#change = change;
  }

  protected take(event: WireEvent, isHere: boolean): string {
    if (isHere) this.#isWaiting = false;
    if (this.#isWaiting || this.hasHappened) return event.text;
    const text = this.#change(event);
    return text === undefined ? event.text : this.done(text);
  }
}

/** The edit of a stream that changes each event for itself. `make`: once for each stream. */
export function each(make: (fault: PlannedFault) => Change): FaultEdit {
  return { stream: (fault) => new EachEvent(make(fault), fault.place !== undefined) };
}

/** The edit that changes one event. */
export function one(change: Change): FaultEdit {
  return { stream: () => new OneEvent(change) };
}

/** `edit`, and what it does to an answer in one piece, whose body is a JSON object. */
export function alsoWhole(
  edit: FaultEdit,
  change: (splice: JsonSplice, json: Json, fault: PlannedFault) => void,
): FaultEdit {
  return {
    ...edit,
    whole(body, fault) {
      const json = objectIn(body);
      if (json === undefined) return body;
      const splice = new JsonSplice(body);
      change(splice, json, fault);
      return splice.toString();
    },
  };
}

/** An event changes places with the one behind it. */
class Reorder extends Edit {
  #held: string | undefined = undefined;

  protected take({ text }: WireEvent, isHere: boolean): string {
    if (isHere) {
      this.#held = text;
      return "";
    }
    const held = this.#held;
    if (held === undefined) return text;
    this.#held = undefined;
    return this.done(text + held);
  }

  override end(): string {
    return this.#held ?? "";
  }
}

/** Tells of an error behind an event, and ends. */
class ErrorEvent extends Edit {
  readonly #say: (sent: SentEvents) => string;
  #first: WireEvent | undefined = undefined;

  constructor(say: (sent: SentEvents) => string) {
    super();
    this.#say = say;
  }

  protected take(event: WireEvent, isHere: boolean): string {
    this.#first ??= event;
    if (!isHere) return event.text;
    this.isOver = true;
    return this.done(event.text + this.#say({ first: this.#first, last: event }));
  }
}

/** Says a piece of the answer again behind the end mark. */
class AfterLast extends Edit {
  readonly #words: StreamWords;
  #piece: string | undefined = undefined;

  constructor(words: StreamWords) {
    super();
    this.#words = words;
  }

  protected take(event: WireEvent): string {
    const { text } = event;
    if (this.#words.isLast?.(event) === true && this.#piece !== undefined) {
      return this.done(text + this.#piece);
    }
    if (this.#words.isPiece(event)) this.#piece = text;
    return text;
  }
}

/** A JSON object without its last brace. */
function withoutBrace(text: string): string {
  const end = text.lastIndexOf("}");
  return text.slice(0, end) + text.slice(end + 1);
}

/**
 * Spellings of an event that the standard of server-sent events (HTML, 9.2.6) allows, by their names.
 * `number`: of the event, from 1; undefined = this event cannot be spelled so.
 */
const SPELLINGS: Readonly<
  Record<string, (event: WireEvent, number: number) => string | undefined>
> = {
  crlf: ({ lines }) => spelled(lines, { end: "\r\n" }),
  cr: ({ lines }) => spelled(lines, { end: "\r" }),
  comment: ({ text }) => `: a comment\n${text}`,
  // An event without a name is a "message"; the name of another one may stand behind its data.
  event({ event, lines, text }) {
    if (event === "") return `event: message\n${text}`;
    const rank = ({ field }: SseLine) => field === "" ? 2 : field === "event" ? 1 : 0;
    return spelled(lines.toSorted((a, b) => rank(a) - rank(b)));
  },
  id: ({ text }, number) => `id: ${number}\n${text}`,
  retry: ({ text }) => `retry: 3000\n${text}`,
  // The line feeds are white space of the JSON.
  lines(event) {
    const { data = "", json } = event;
    if (json === undefined) return undefined;
    const [first, last] = [data.indexOf("{") + 1, data.lastIndexOf("}")];
    return event.withData(
      `${data.slice(0, first)}\n${data.slice(first, last)}\n${data.slice(last)}`,
    );
  },
  "no-space": ({ lines }) => spelled(lines, { space: "" }),
};

/** The lines with other ends, or other blanks behind their colons. */
function spelled(
  lines: readonly SseLine[],
  spelling: { readonly end?: string; readonly space?: string } = {},
): string {
  return lines.map(({ lead, value, end }) => {
    const told = spelling.space === undefined ? lead : lead.replace(/ $/, spelling.space);
    return told + value + (spelling.end ?? end);
  }).join("");
}

/** Spells events in one of the ways that the standard allows, or in all of them in turn. */
class Framing extends Edit {
  readonly #way: string;
  readonly #isLast: StreamWords["isLast"];
  #count = 0;
  /** Held back, where nobody can tell which event is the last. */
  #held = "";

  constructor(way: string, isLast: StreamWords["isLast"]) {
    super();
    this.#way = way;
    this.#isLast = isLast;
  }

  protected take(event: WireEvent): string {
    const number = ++this.#count;
    const isAll = this.#way === "all";
    if (number === 1 && (isAll || this.#way === "bom")) return this.done(`\ufeff${event.text}`);
    if (isAll || this.#way === "no-end") {
      if (this.#isLast?.(event) === true) return this.done(withoutEnd(event.text));
      if (!isAll && this.#isLast === undefined) {
        const held = this.#held;
        this.#held = event.text;
        return held;
      }
    }
    const ways = Object.keys(SPELLINGS);
    const way = isAll ? ways[(number - 2) % ways.length]! : this.#way;
    const text = SPELLINGS[way]?.(event, number);
    return text === undefined ? event.text : this.done(text);
  }

  override end(): string {
    return this.#held === "" ? "" : this.done(withoutEnd(this.#held));
  }
}

/** Without the empty line that ends an event. */
function withoutEnd(text: string): string {
  return text.replace(/(?:\r\n|\r|\n)$/, "");
}

/** Is it the end mark of most dialects? */
export function isDoneMark({ data }: WireEvent): boolean {
  return data?.trim() === "[DONE]";
}

/** OpenAI's sentence, where nobody says what went wrong. */
export const ERROR_MESSAGE =
  "The server had an error while processing your request. Sorry about that!";

const NO_MARK = lacking("its streams have no end mark", "no-done", "double-done", "after-done");
const NO_ERRORS = lacking("its streams break off for an error", "error-event");

/** For dialects whose events say nothing but a text, or for which nobody knows what they say. */
export function withoutWords(why: string) {
  const usage = ["usage-late", "usage-missing", "usage-twice"] as const;
  return lacking(why, "index-gap", ...usage, "no-finish", "no-role", "filter");
}

/** For dialects that send texts and nothing else. */
export const NO_WORDS = withoutWords("its events have no index, role, usage or reason for the end");

/** How a dialect has each fault, or why it has it not. */
export type DialectEdits = Required<FaultEdits>;

/** The faults of every stream. */
type CommonFault =
  | "error-event"
  | "malformed"
  | "framing"
  | "no-done"
  | "double-done"
  | "after-done"
  | "dup"
  | "reorder";

/** The dialect cannot have `names`, and says why. */
export function lacking<Name extends EditedFault>(
  why: string,
  ...names: readonly Name[]
): Readonly<Record<Name, FaultEdit>> {
  return Object.fromEntries(names.map((name) => [name, { why }])) as Record<Name, FaultEdit>;
}

/** The edits that need no more than `words`. */
export function commonEdits(words: StreamWords): Pick<DialectEdits, CommonFault> {
  const { errorEvents, isLast } = words;
  const atLast = (change: (text: string) => string) =>
    each(() => (event) => isLast?.(event) === true ? change(event.text) : undefined);
  return {
    malformed: {
      ...one((event) =>
        event.json === undefined ? undefined : event.withData(withoutBrace(event.data!))
      ),
      whole: (body) => objectIn(body) === undefined ? body : withoutBrace(body),
    },
    framing: { stream: (fault) => new Framing(wordOf(fault, "with") ?? "all", isLast) },
    dup: one(({ text }) => text + text),
    reorder: { stream: () => new Reorder() },
    ...(isLast === undefined ? NO_MARK : {
      "no-done": atLast(() => ""),
      "double-done": atLast((text) => text + text),
      "after-done": { stream: () => new AfterLast(words) },
    }),
    ...(errorEvents === undefined ? NO_ERRORS : {
      "error-event": {
        stream: (fault) =>
          new ErrorEvent((sent) =>
            errorEvents({
              message: wordOf(fault, "message"),
              type: wordOf(fault, "type"),
              code: wordOf(fault, "error-code"),
            }, sent)
          ),
      },
    }),
  };
}
