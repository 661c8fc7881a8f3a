/**
 * A JSON text of somebody else in which single values are changed: everything else stays as it is
 * written, its blanks, the order of its keys and the digits of its numbers.
 *
 * @module
 */

import { type JsonField, type JsonPlace, jsonPlaces } from "./json_places.ts";

/** A field or an item of what holds it. */
type Step = string | number;

/** What `path` leads to from `place`; undefined = there is no such thing. Of keys the last one counts. */
export function placeAt(
  place: JsonPlace | undefined,
  ...path: readonly Step[]
): JsonPlace | undefined {
  let found = place;
  for (const step of path) {
    found = typeof step === "number" ? found?.items?.[step] : fieldAt(found, step)?.value;
  }
  return found;
}

function fieldAt(place: JsonPlace | undefined, key: string): JsonField | undefined {
  return place?.fields?.findLast((field) => field.key === key);
}

/** One change. */
interface Cut {
  readonly from: number;
  readonly to: number;
  readonly text: string;
  /** True: a comma belongs before it. */
  readonly isBehind?: () => boolean;
}

/** The changes of one text. No two of them may lie inside one another. */
export class JsonSplice {
  readonly root: JsonPlace;
  readonly #text: string;
  readonly #cuts: Cut[] = [];
  /** Keys that were taken away, by what had them. */
  readonly #removed = new Map<JsonPlace, Set<string>>();
  /** How many fields each object has got. */
  readonly #added = new Map<JsonPlace, number>();

  /** `text` must be JSON, and not nest deeper than the stack is. */
  constructor(text: string) {
    this.#text = text;
    this.root = jsonPlaces(text);
  }

  /** True once there is a change. */
  get hasChanged(): boolean {
    return this.#cuts.length > 0 || this.#removed.size > 0;
  }

  /** `json` in place of a value. */
  replace({ at, end }: JsonPlace, json: string): void {
    this.#cuts.push({ from: at, to: end, text: json });
  }

  /** Takes each field `key` away from `object`. */
  remove(object: JsonPlace, key: string): void {
    if (fieldAt(object, key) === undefined) return;
    const removed = this.#removed.get(object) ?? new Set();
    this.#removed.set(object, removed.add(key));
  }

  /** `json` as the field `key` of `object`: in place of its value, or behind all other fields. */
  set(object: JsonPlace, key: string, json: string): void {
    const there = fieldAt(object, key);
    if (there !== undefined) return this.replace(there.value, json);
    const at = object.fields?.at(-1)?.value.end ?? object.at + 1;
    const nth = this.#added.get(object) ?? 0;
    this.#added.set(object, nth + 1);
    const field = `${JSON.stringify(key)}:${json}`;
    this.#cuts.push({
      from: at,
      to: at,
      text: field,
      isBehind: () => nth > 0 || this.#hasKept(object),
    });
  }

  /** True when some field of `object` stays. */
  #hasKept(object: JsonPlace): boolean {
    const removed = this.#removed.get(object);
    return object.fields?.some(({ key }) => removed?.has(key) !== true) === true;
  }

  /** What takes fields away: the comma before goes too; before all that is kept, the comma behind. */
  #removals(): Cut[] {
    return [...this.#removed].flatMap(([{ at, fields = [] }, keys]) => {
      const firstKept = fields.find(({ key }) => !keys.has(key))?.at ?? Infinity;
      return fields.flatMap((field, i) => {
        if (!keys.has(field.key)) return [];
        const [before, next] = [fields[i - 1], fields[i + 1]];
        const isLeading = field.at < firstKept;
        const from = isLeading ? (before === undefined ? at + 1 : field.at) : before!.value.end;
        const to = isLeading && next !== undefined ? next.at : field.value.end;
        return [{ from, to, text: "" }];
      });
    });
  }

  /** The text with all changes. */
  toString(): string {
    let out = "";
    let at = 0;
    const cuts: readonly Cut[] = [...this.#removals(), ...this.#cuts];
    for (const { from, to, text, isBehind } of cuts.toSorted((a, b) => a.from - b.from)) {
      out += this.#text.slice(at, from) + (isBehind?.() === true ? "," : "") + text;
      at = to;
    }
    return out + this.#text.slice(at);
  }
}
