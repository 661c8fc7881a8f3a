/**
 * Changes what is asked: the model gets another name, and parameters are set, removed or bounded. In
 * the client's bytes nothing else changes, and where nothing has to, they are passed as they are.
 *
 * @module
 */

import type { Ask, Source, Wire } from "../core/answer.ts";
import { checkDepth, checkSize } from "../core/depth.ts";
import { AppError } from "../core/errors.ts";
import type { Turn } from "../core/turn.ts";
import { folded } from "../lib/folded.ts";
import type { JsonField, JsonPlace } from "../lib/json_places.ts";
import { JsonSplice } from "../lib/json_splice.ts";
import { boundedGlob } from "./request_match.ts";
import { MODEL_CHARS_MAX } from "./route.ts";

/** A value of a parameter. */
export type ParamValue = string | number | boolean;

/** What is changed. Absent = nothing. */
export interface Edits {
  /** Names of models, in which `*` is any text → what they are called behind it. */
  readonly rename?: Readonly<Record<string, string>> | undefined;
  readonly params_set?: Readonly<Record<string, ParamValue>> | undefined;
  readonly params_remove?: readonly string[] | undefined;
  /** A larger number becomes this one; what is not there stays away. */
  readonly params_max?: Readonly<Record<string, number>> | undefined;
  readonly params_min?: Readonly<Record<string, number>> | undefined;
}

/** `source`, which is asked with `edits`; itself where there are none. */
export function edited(source: Source, edits: Edits): Source {
  const editor = new Editor(edits);
  if (editor.isIdle) return source;
  return { name: source.name, answer: (ask, call) => source.answer(editor.ask(ask), call) };
}

/** A change of one parameter: gives its new value, or undefined when it is to go. */
type Change = (value: unknown) => unknown;

class Editor {
  readonly #names: readonly { readonly fits: (model: string) => boolean; readonly to: string }[];
  /** Of parameters that are there, by their names without regard to case: some servers have none for it. */
  readonly #changes = new Map<string, Change>();
  readonly #set: ReadonlyMap<string, ParamValue>;

  constructor(
    { rename = {}, params_set = {}, params_remove = [], params_max = {}, params_min = {} }: Edits,
  ) {
    this.#names = Object.entries(rename).map(([glob, to]) => ({
      fits: boundedGlob(glob, MODEL_CHARS_MAX),
      to,
    }));
    for (const key of new Set([...Object.keys(params_max), ...Object.keys(params_min)])) {
      const most = params_max[key] ?? Infinity;
      const least = params_min[key] ?? -Infinity;
      this.#changes.set(
        folded(key),
        (value) => typeof value === "number" ? Math.max(least, Math.min(most, value)) : value,
      );
    }
    for (const key of params_remove) this.#changes.set(folded(key), () => undefined);
    this.#set = new Map(Object.entries(params_set));
    for (const [key, value] of this.#set) this.#changes.set(folded(key), () => value);
  }

  get isIdle(): boolean {
    return this.#names.length === 0 && this.#changes.size === 0;
  }

  ask(ask: Ask): Ask {
    const { wire, cutsAfterBlank, settlesTokens } = ask;
    let turn: Turn | undefined;
    return {
      model: () => this.#nameOf(ask.model()),
      turn: () => turn ??= this.#turn(ask.turn()),
      wire: wire && this.#wire(wire),
      cutsAfterBlank,
      settlesTokens,
    };
  }

  #nameOf(model: string): string {
    return this.#names.find(({ fits }) => model !== "" && fits(model))?.to ?? model;
  }

  #wire(wire: Wire): Wire {
    const { body, fields, upload } = wire;
    if (body === null || body.length === 0) return wire;
    // Whoever edits needs all of it: no body goes up here while it still comes.
    if (upload !== undefined) throw new TypeError("Cannot edit a body that is still coming");
    if (/^multipart\/form-data\b/i.test(fields.get("content-type") ?? "")) {
      throw new AppError(
        "request_invalid",
        "This route changes what is asked, which weir cannot do in a form",
      );
    }
    const text = this.#json(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
    return text === undefined ? wire : { ...wire, body: text };
  }

  /** The bytes of `body` with all changes; undefined = there are none, or it is no JSON object. */
  #json(body: Buffer): Uint8Array<ArrayBuffer> | undefined {
    // One character for each byte, so that none of them changes.
    const start = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
    const text = body.toString("latin1", start);
    checkSize(text);
    const value = parsed(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    checkDepth(text, value);
    const splice = new JsonSplice(text);
    const { root } = splice;
    this.#renameIn(root, text, splice);
    for (const [key, change] of this.#changes) {
      const fields = fieldsOf(root, key);
      const changed = fields.map(({ value: { at, end } }) =>
        change(JSON.parse(text.slice(at, end)))
      );
      if (changed.includes(undefined)) {
        for (const field of fields) splice.remove(root, field.key);
      } else {
        for (const [i, { value }] of fields.entries()) {
          const json = latin1(JSON.stringify(changed[i]));
          if (json !== text.slice(value.at, value.end)) splice.replace(value, json);
        }
      }
    }
    this.#add(root, splice);
    if (!splice.hasChanged) return undefined;
    const bytes = Buffer.from(splice.toString(), "latin1");
    return new Uint8Array(Buffer.concat([body.subarray(0, start), bytes]));
  }

  /** Each of them, should a request name several: servers differ in which one they read. */
  #renameIn(root: JsonPlace, text: string, splice: JsonSplice): void {
    for (const { value: place } of fieldsOf(root, "model")) {
      const name: unknown = JSON.parse(
        Buffer.from(text.slice(place.at, place.end), "latin1").toString(),
      );
      if (typeof name !== "string") continue;
      const to = this.#nameOf(name);
      if (to !== name) splice.replace(place, latin1(JSON.stringify(to)));
    }
  }

  /** Parameters that are set and not there. */
  #add(root: JsonPlace, splice: JsonSplice): void {
    for (const [key, value] of this.#set) {
      if (root.fields?.some((field) => field.key === key) !== true) {
        splice.set(root, key, latin1(JSON.stringify(value)));
      }
    }
  }

  #turn(turn: Turn): Turn {
    let { tokensMax } = turn;
    const params = { ...turn.params };
    for (const [key, change] of this.#changes) {
      if (TOKENS_KEYS.has(key)) {
        const changed = tokensMax === undefined ? undefined : change(tokensMax);
        tokensMax = typeof changed === "number" ? changed : undefined;
      }
      for (const name of Object.keys(params)) {
        if (folded(name) !== key) continue;
        const changed = change(params[name]);
        if (changed === undefined) delete params[name];
        else params[name] = changed;
      }
    }
    for (const [key, value] of this.#set) {
      if (!TOKENS_KEYS.has(folded(key))) params[key] = value;
      else if (typeof value === "number") tokensMax = value;
    }
    return { ...turn, model: this.#nameOf(turn.model), tokensMax, params };
  }
}

/** What the dialects call the most tokens that an answer may have. */
const TOKENS_KEYS: ReadonlySet<string> = new Set([
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
]);

/** Those that some server takes for `key`, which is folded. */
function fieldsOf({ fields = [] }: JsonPlace, key: string): readonly JsonField[] {
  return fields.filter((field) => folded(field.key) === key);
}

function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
