/**
 * How streams of chunks with `choices` are edited for faults on purpose: chat's, and those of the older
 * completions.
 *
 * @module
 */

import { dataEvent } from "../../core/dialect.ts";
import type { FaultEdit, PlannedFault } from "../../core/fault_plan.ts";
import type { JsonPlace } from "../../lib/json_places.ts";
import { type JsonSplice, placeAt } from "../../lib/json_splice.ts";
import {
  alsoWhole,
  asObject,
  commonEdits,
  type DialectEdits,
  each,
  Edit,
  ERROR_MESSAGE,
  fieldText,
  isDoneMark,
  type Json,
  objectsIn,
  type StreamWords,
  type ToldError,
  type WireEvent,
} from "../stream_edits.ts";

/** `error` as the one event that tells of it. */
export function toldErrorEvent({ message, type, code }: ToldError): string {
  return dataEvent({
    error: {
      message: message ?? ERROR_MESSAGE,
      type: type ?? "server_error",
      param: null,
      code: code ?? null,
    },
  });
}

/** How a dialect of chunks differs from another one. */
export interface ChunkWords {
  /** The fields of a choice that says nothing: what a filter puts there. */
  readonly nothing: string;
  /** Does `choice` say something? */
  readonly says: (choice: Json) => boolean;
}

/** The choices of a chunk; none where it is something else. */
function choicesOf(event: WireEvent): readonly Json[] {
  return objectsIn(event.json?.["choices"]);
}

/** Is it told why `choice` ends? */
function hasEnded({ finish_reason }: Json): boolean {
  return finish_reason !== null && finish_reason !== undefined;
}

/** Does the chunk tell the usage? */
function tellsUsage({ json }: WireEvent): boolean {
  return asObject(json?.["usage"]) !== undefined;
}

/** The place of each choice in a chunk or an answer, with what was read there. */
export function* choicePlaces(
  splice: JsonSplice,
  json: Json,
): Iterable<readonly [place: JsonPlace, choice: Json]> {
  for (const [i, choice] of objectsIn(json["choices"]).entries()) {
    const place = placeAt(splice.root, "choices", i);
    if (place !== undefined) yield [place, choice];
  }
}

/** Changes each choice. */
export function eachChoice(
  change: (splice: JsonSplice, place: JsonPlace, choice: Json, fault: PlannedFault) => void,
): FaultEdit {
  const changeAll = (splice: JsonSplice, json: Json, fault: PlannedFault) => {
    for (const [place, choice] of choicePlaces(splice, json)) change(splice, place, choice, fault);
  };
  return alsoWhole(
    each((fault) => (event) => event.spliced((splice, json) => changeAll(splice, json, fault))),
    changeAll,
  );
}

/** The number at `key` of the object at `place`, and one more. */
export function increase(splice: JsonSplice, place: JsonPlace, value: Json, key: string): void {
  const there = placeAt(place, key);
  const index = value[key];
  if (there !== undefined && Number.isSafeInteger(index)) {
    splice.replace(there, String(Number(index) + 1));
  }
}

/** The choices that have begun and not ended. */
class OpenChoices {
  readonly #open = new Set<unknown>();

  get indexes(): readonly unknown[] {
    return [...this.#open];
  }

  see(choices: readonly Json[]): void {
    for (const choice of choices) {
      if (hasEnded(choice)) this.#open.delete(choice["index"]);
      else this.#open.add(choice["index"]);
    }
  }
}

/** All choices that go on end behind an event. What is said later, but the usage, is left out. */
class Filter extends Edit {
  readonly #words: ChunkWords;
  readonly #choices = new OpenChoices();
  #isDue = false;

  constructor(words: ChunkWords) {
    super();
    this.#words = words;
  }

  protected take(event: WireEvent, isHere: boolean): string {
    const choices = choicesOf(event);
    this.#isDue ||= isHere;
    if (choices.length === 0) return event.text;
    if (this.hasHappened) return tellsUsage(event) ? withoutChoices(event) : "";
    this.#choices.see(choices);
    if (!this.#isDue) return event.text;
    const ends = this.#choices.indexes.map((index) => this.#ended(event, index)).join("");
    return ends === "" ? event.text : this.done(event.text + ends);
  }

  /** The chunk that says why the choice `index` ends, otherwise as `event` is. */
  #ended(event: WireEvent, index: unknown): string {
    const choice = `{"index":${JSON.stringify(index)},${this.#words.nothing},` +
      `"finish_reason":"content_filter"}`;
    return event.spliced((splice) => splice.set(splice.root, "choices", `[${choice}]`))!;
  }
}

function withoutChoices(event: WireEvent): string {
  return event.spliced((splice) => splice.set(splice.root, "choices", "[]"))!;
}

/** Events between the last choice's end and the usage: there is one at the most. */
const BETWEEN_MAX = 8;

/** The usage stands on the chunk that says why the last choice ends, and has none of its own. */
class UsageLate extends Edit {
  readonly #choices = new OpenChoices();
  /** That chunk, and what came behind it. */
  #held: WireEvent[] = [];

  protected take(event: WireEvent): string {
    const choices = choicesOf(event);
    const [ending, ...between] = this.#held;
    if (ending !== undefined && choices.length === 0 && tellsUsage(event)) {
      this.#held = between;
      const usage = fieldText(event, "usage");
      return this.done(
        ending.spliced((splice) => splice.set(splice.root, "usage", usage))! + this.end(),
      );
    }
    this.#choices.see(choices);
    if (choices.some(hasEnded) && !tellsUsage(event) && this.#choices.indexes.length === 0) {
      const before = this.end();
      this.#held = [event];
      return before;
    }
    if (ending === undefined) return event.text;
    this.#held.push(event);
    const isInVain = choices.length > 0 || event.json === undefined || between.length > BETWEEN_MAX;
    return isInVain ? this.end() : "";
  }

  override end(): string {
    const text = this.#held.map((event) => event.text).join("");
    this.#held = [];
    return text;
  }
}

/** No usage, wherever it stands. */
const USAGE_MISSING = alsoWhole(
  each(() => (event) => {
    if (!tellsUsage(event)) return undefined;
    if (choicesOf(event).length === 0) return "";
    return event.spliced((splice) => splice.remove(splice.root, "usage"));
  }),
  (splice) => splice.remove(splice.root, "usage"),
);

/** The usage on one more chunk. */
const USAGE_TWICE = each(() => (event) => {
  if (!tellsUsage(event)) return undefined;
  return event.text + (choicesOf(event).length === 0 ? event.text : withoutChoices(event));
});

/** Nobody says why a choice ends. */
const NO_FINISH = eachChoice((splice, place, choice) => {
  if (hasEnded(choice)) splice.set(place, "finish_reason", "null");
});

/** An answer in one piece ends for its content. */
function filterWhole(splice: JsonSplice, json: Json): void {
  for (const [place] of choicePlaces(splice, json)) {
    splice.set(place, "finish_reason", '"content_filter"');
  }
}

/** The edits of chunks, but for those of tools and roles. */
export function chunkEdits(words: ChunkWords): Omit<DialectEdits, "no-role"> {
  const stream: StreamWords = {
    isLast: isDoneMark,
    isPiece: (event) => choicesOf(event).some(words.says),
    errorEvents: toldErrorEvent,
  };
  return {
    ...commonEdits(stream),
    "index-gap": eachChoice((splice, place, choice) => increase(splice, place, choice, "index")),
    "usage-late": { stream: () => new UsageLate() },
    "usage-missing": USAGE_MISSING,
    "usage-twice": USAGE_TWICE,
    "no-finish": NO_FINISH,
    filter: alsoWhole({ stream: () => new Filter(words) }, filterWhole),
  };
}
