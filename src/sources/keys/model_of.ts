/**
 * The models that a request names, for whoever may use only some: what weir reads must be what any upstream
 * reads, too, and gateways behind it read more than one.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import type { Ask } from "../../core/answer.ts";
import { checkDepth, checkSize } from "../../core/depth.ts";
import { AppError } from "../../core/errors.ts";
import { folded } from "../../lib/folded.ts";
import { type JsonField, type JsonPlace, jsonPlaces } from "../../lib/json_places.ts";

/** A model of a request. */
export interface NamedModel {
  /** "" = none is named. */
  readonly model: string;
  /** Where: "model", "models[0]", "tools[1].model". */
  readonly place: string;
}

/** A body that has it once names one model, and no escape spells another. With its Kelvin sign for a k. */
const WORDS = /model|fallbac[k\u212a]|\\u(?:00|212a)/gi;

/** Fields that name one: `model` of a tool, `models`, `fallback_model`, `model_name`. */
const NAMING = /(?:models?|model_?names?)$/;
/** Fields that name others for when it fails: a list of names, of questions, or of models and their names. */
const FALLBACKS = /fallbacks?$/;

/** What is said, and the shapes of answers: whatever is called a model there is none. */
const CONTENT: ReadonlySet<string> = new Set([
  "messages",
  "input",
  "prompt",
  "system",
  "instructions",
  "metadata",
  "functions",
  "input_schema",
  "response_format",
  "text",
  "json_schema",
  "guided_json",
  "stop",
]);
/** Where a tool of the client's own has the shape of what it is called with. */
const SHAPES: ReadonlySet<string> = new Set(["function", "parameters"]);
const OWN_TOOLS: ReadonlySet<unknown> = new Set(["function", "custom"]);

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The models that `ask` names: its own first, then those that some gateway would ask in its place, or beside it.
 *
 * @throws {AppError} when they cannot be told, or its own is named twice.
 */
export function modelsNamed(ask: Ask): readonly NamedModel[] {
  const { wire } = ask;
  if (wire === undefined) return [{ model: ask.model(), place: "model" }];
  if (wire.upload !== undefined) throw unreadable("its body is still coming: send it again");
  checkQuery(wire.path);
  if (wire.body === null) return [{ model: "", place: "model" }];
  if ((wire.fields.get("content-encoding") ?? "identity") !== "identity") {
    throw unreadable("its body is compressed");
  }
  const type = wire.fields.get("content-type") ?? "";
  checkType(type);
  const text = textOf(wire.body);
  // curl's `-d` calls all a form: with no "&" in it, it has no field that is called model.
  if (/urlencoded/i.test(type) && /[&;]/.test(text)) {
    throw unreadable("its content-type is that of a form: send application/json");
  }
  checkSize(text);
  const value = parsed(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw unreadable("its body is no JSON object");
  }
  checkDepth(text, value);
  if ("model" in value && typeof value.model === "string" && text.match(WORDS)?.length === 1) {
    return [{ model: value.model, place: "model" }];
  }
  const { fields } = jsonPlaces(text);
  const others: NamedModel[] = [];
  const rest = fields!.filter(({ key }) => folded(key) !== "model");
  new Names(text, others).ofFields(rest, "", false);
  return [{ model: ownOf(fields!, text), place: "model" }, ...others];
}

/** The one that each server would read. */
function ownOf(fields: readonly JsonField[], text: string): string {
  const own = fields.filter(({ key }) => folded(key) === "model");
  const [first] = own;
  if (first === undefined) return "";
  if (own.length > 1) throw unreadable("it names several");
  if (first.key !== "model") throw unreadable(`it names it as ${JSON.stringify(first.key)}`);
  const told = valueOf(first.value, text);
  const model = told === null ? "" : told;
  if (typeof model !== "string") throw unreadable("its model is no text");
  return model;
}

/** Finds names of models: each of several fields of one name, since servers differ in which one they read. */
class Names {
  readonly #text: string;
  readonly #found: NamedModel[];

  constructor(text: string, found: NamedModel[]) {
    this.#text = text;
    this.#found = found;
  }

  /** `isEntry`: the fields are one of the others that are asked. */
  ofFields(fields: readonly JsonField[], path: string, isEntry: boolean): void {
    const isOwnTool = fields.filter(({ key }) => key === "type").every(({ value }) =>
      OWN_TOOLS.has(valueOf(value, this.#text))
    );
    const hasModel = fields.some(({ key }) => folded(key) === "model");
    for (const { key, value } of fields) {
      const name = folded(key);
      if (CONTENT.has(name) || (isOwnTool && path !== "" && SHAPES.has(name))) continue;
      const place = path === "" ? key : `${path}.${key}`;
      const isFallback = FALLBACKS.test(name);
      const isTold = isEntry && (value.items !== undefined || !hasModel);
      this.#of(value, place, isFallback || isTold || NAMING.test(name), isFallback);
    }
  }

  #of(value: JsonPlace, place: string, isName: boolean, isFallback: boolean): void {
    const { items, fields } = value;
    if (fields !== undefined) return this.ofFields(fields, place, isFallback);
    if (items !== undefined) {
      for (const [i, item] of items.entries()) this.#of(item, `${place}[${i}]`, isName, isFallback);
      return;
    }
    const model = isName ? valueOf(value, this.#text) : undefined;
    if (typeof model === "string" && model !== "") this.#found.push({ model, place });
  }
}

/** What may be that key in bytes: by an escape, too, and with the Kelvin sign for its k. */
const LATER = /"bac(?:k|\xe2\x84\xaa)ground"|\\u(?:00|212a)/i;
const lenient = new TextDecoder();

/** True when an upstream may answer `ask` later, where nobody counts what is said. */
export function isForLater({ wire }: Ask): boolean {
  const body = wire?.body ?? null;
  if (body === null) return false;
  if (!LATER.test(latin1Slice.call(body))) return false;
  const text = lenient.decode(body);
  try {
    checkSize(text);
    const value: unknown = JSON.parse(text);
    checkDepth(text, value);
    return jsonPlaces(text).fields?.some(({ key, value }) =>
      folded(key) === "background" && valueOf(value, text) === true
    ) === true;
  } catch {
    return false; // its upstream says what is wrong with it
  }
}

/** That of `Buffer` takes any bytes; a `Buffer` made around them costs more than it does. */
const { latin1Slice } = Buffer.prototype as unknown as {
  readonly latin1Slice: (this: Uint8Array) => string;
};

/** Some gateways take the model of the query in place of the body's. */
function checkQuery(path: string): void {
  const at = path.indexOf("?");
  if (at < 0) return;
  const names = [...new URLSearchParams(path.slice(at)).keys()].map(folded);
  if (names.some((name) => NAMING.test(name) || FALLBACKS.test(name))) {
    throw unreadable("its query has one: name the model in the body alone");
  }
}

/** JSON is in UTF-8, and a server that is told otherwise reads something else. */
function checkType(type: string): void {
  const charset = /;\s*charset\s*=\s*"?([^\s";]*)/i.exec(type)?.[1] ?? "utf-8";
  if (!/^utf-?8$/i.test(charset) || /charset.*charset/i.test(type)) {
    throw unreadable("its content-type has another charset than utf-8");
  }
}

function textOf(body: Uint8Array): string {
  try {
    return decoder.decode(body);
  } catch {
    throw unreadable("its body is no UTF-8");
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable("its body is no JSON");
  }
}

/** A text, a number, true, false or null; undefined = a list or an object. */
function valueOf({ at, end, items, fields }: JsonPlace, text: string): unknown {
  return items ?? fields ? undefined : JSON.parse(text.slice(at, end));
}

function unreadable(why: string): AppError {
  return new AppError(
    "key_forbidden",
    `This key may use some models only, and which one this request is for cannot be told: ${why}`,
    { param: "model" },
  );
}
