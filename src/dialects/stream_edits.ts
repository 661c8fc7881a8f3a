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
import type { SentSoFar } from "../core/surface.ts";
import { isDeeper } from "../lib/depth.ts";
import { JsonSplice } from "../lib/json_splice.ts";
import { SseBlock } from "../lib/sse_block.ts";

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

/** The words of an error that somebody wants to see. */
export interface ToldError {
  readonly message: string;
  /** Undefined: what is usual. */
  readonly type: string | undefined;
  readonly code: string | undefined;
}

/** What a dialect says of its streams. */
export interface StreamWords {
  /** Is it the last event of a whole answer? Absent = the dialect has none. */
  isLast?(event: WireEvent): boolean;
  /** Does it say a piece of the answer's text or of a call? */
  isPiece(event: WireEvent): boolean;
  /** `error` as whole events, behind what was sent. Absent = the dialect has no such thing. */
  errorEvents?(error: ToldError, sent: SentSoFar): string;
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

/** Tells of an error in place of an event, and ends. */
class ErrorEvent extends Edit {
  readonly #say: (sent: SentSoFar) => string;
  #first: string | undefined = undefined;
  #last = "";

  constructor(say: (sent: SentSoFar) => string) {
    super();
    this.#say = say;
  }

  protected take({ text }: WireEvent, isHere: boolean): string {
    if (isHere) {
      this.isOver = true;
      return this.done(this.#say({ first: this.#first ?? "", last: this.#last }));
    }
    this.#first ??= text;
    this.#last = text;
    return text;
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

/** What is told where nobody says what went wrong. */
const ERROR_MESSAGE = "The server had an error while processing your request. Sorry about that!";

/** The edits that need no more than `words`. */
export function commonEdits(words: StreamWords): FaultEdits {
  const { errorEvents, isLast } = words;
  const atLast = (change: (text: string) => string) =>
    each(() => (event) => isLast?.(event) === true ? change(event.text) : undefined);
  return {
    malformed: {
      ...one(({ json, data = "", ...event }) => json === undefined ? undefined : ""),
      whole: (body) => objectIn(body) === undefined ? body : withoutBrace(body),
    },
    framing: { stream: (fault) => new Framing(words, String(fault.keys["with"])) },
    dup: one(({ text }) => text + text),
    reorder: { stream: () => new Reorder() },
    ...(isLast === undefined ? {} : {
      "no-done": atLast(() => ""),
      "double-done": atLast((text) => text + text),
      "after-done": { stream: () => new AfterLast(words) },
    }),
    ...(errorEvents === undefined ? {} : {
      "error-event": {
        stream: (fault) =>
          new ErrorEvent((sent) =>
            errorEvents({
              message: wordOf(fault, "message") ?? ERROR_MESSAGE,
              type: wordOf(fault, "type"),
              code: wordOf(fault, "code"),
            }, sent)
          ),
      },
    }),
  };
}
