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

/** The changes of one text. No two of them may lie inside one another. */
export class JsonSplice {
  readonly root: JsonPlace;
  readonly #text: string;
  readonly #cuts: { readonly from: number; readonly to: number; readonly text: string }[] = [];

  /** `text` must be JSON, and not nest deeper than the stack is. */
  constructor(text: string) {
    this.#text = text;
    this.root = jsonPlaces(text);
  }

  /** True once there is a change. */
  get hasChanged(): boolean {
    return this.#cuts.length > 0;
  }

  /** `json` in place of a value. */
  replace({ at, end }: JsonPlace, json: string): void {
    this.#cuts.push({ from: at, to: end, text: json });
  }

  /** Takes each field `key` away from `object`. */
  remove({ at, fields = [] }: JsonPlace, key: string): void {
    const kept = fields.filter((field) => field.key !== key);
    if (kept.length === fields.length) return;
    for (const [i, field] of fields.entries()) {
      if (field.key !== key) continue;
      const before = fields[i - 1];
      const next = fields[i + 1];
      // The comma before goes too; of what stands before all that is kept, the comma behind.
      const isLeading = kept[0] === undefined || field.at < kept[0].at;
      const from = isLeading ? (before === undefined ? at + 1 : field.at) : before!.value.end;
      const to = isLeading && next !== undefined ? next.at : field.value.end;
      this.#cuts.push({ from, to, text: "" });
    }
  }

  /** `json` as the field `key` of `object`: in place of its value, or behind all other fields. */
  set(object: JsonPlace, key: string, json: string): void {
    const there = fieldAt(object, key);
    if (there !== undefined) return this.replace(there.value, json);
    const last = object.fields?.at(-1);
    const at = last === undefined ? object.at + 1 : last.value.end;
    const comma = last === undefined ? "" : ",";
    this.#cuts.push({ from: at, to: at, text: `${comma}${JSON.stringify(key)}:${json}` });
  }

  /** The text with all changes. */
  toString(): string {
    let out = "";
    let at = 0;
    for (const { from, to, text } of this.#cuts.toSorted((a, b) => a.from - b.from)) {
      out += this.#text.slice(at, from) + text;
      at = to;
    }
    return out + this.#text.slice(at);
  }
}
