/**
 * Is an input what its workflow takes? What is missing, unknown, or no file would make a run that
 * is completed and wrong.
 *
 * @module
 */

import { shownKey, unknown } from "../config/problems.ts";
import { AppError } from "../core/errors.ts";
import { Attachment } from "../core/workflow.ts";
import { ExactNumber } from "../lib/exact_json.ts";
import { nearest } from "../lib/nearest.ts";
import { type Expression, isFile } from "./expression.ts";
import { follow } from "./interpolate.ts";
import type { InputUse } from "./schema.ts";

/** Faults that one refusal tells. */
const FAULTS_MAX = 5;

/** What may stand at one place of an input. */
interface Place {
  /** Anything: the place is read as a whole. */
  isOpen: boolean;
  readonly keys: Map<string, Place>;
  /** Each item of a list; null = it is not read as a list. */
  items: Place | null;
}

/** Checks inputs of one workflow, which reads `uses` of them. */
export class InputCheck {
  readonly #required: readonly Expression[];
  readonly #files: readonly Expression[];
  readonly #root = place();

  constructor(uses: readonly InputUse[]) {
    const byName = new Map<string, Expression>();
    for (const { expression, isRequired } of uses) {
      if (isRequired) byName.set(expression.pathText, expression);
      let at = this.#root;
      for (const step of expression.path) {
        at = step.kind === "key"
          ? at.keys.getOrInsertComputed(step.key, place)
          : at.items ??= place();
      }
      at.isOpen = true;
    }
    this.#required = [...byName.values()];
    this.#files = uses.map(({ expression }) => expression).filter(isFile);
  }

  /** @throws {AppError} `request_invalid`, with everything that is wrong. */
  check(input: unknown): void {
    const faults = [...this.#missing(input), ...this.#strange(input), ...this.#unread(input)];
    if (faults.length === 0) return;
    const told = faults.slice(0, FAULTS_MAX).join("; ");
    throw new AppError("request_invalid", `Invalid input: ${told}`);
  }

  *#missing(input: unknown): Generator<string> {
    for (const { path, pathText } of this.#required) {
      if (follow(input, path) === null) yield `${pathText} is missing`;
    }
  }

  /** What nobody reads. */
  *#strange(input: unknown): Generator<string> {
    const rest = [{ value: input, at: this.#root, path: "" }];
    let count = 0;
    for (let one = rest.pop(); one !== undefined; one = rest.pop()) {
      const { value, at, path } = one;
      if (at.isOpen || value === null || value === undefined) continue;
      const known = [...at.keys.keys()];
      if (Array.isArray(value) && at.items !== null) {
        for (const [i, item] of value.entries()) {
          rest.push({ value: item, at: at.items, path: `${path}[${i}]` });
        }
      } else if (!isMapping(value) || (at.items !== null && known.length === 0)) {
        const wanted = known.length > 0 ? `an object with ${known.join(", ")}` : "left out";
        yield `${path || "it"} must be ${at.items === null ? wanted : "a list"}`;
      } else {
        for (const [key, item] of Object.entries(value)) {
          const below = at.keys.get(key);
          const shown = path === "" ? shownKey(key) : `${path}.${shownKey(key)}`;
          if (below !== undefined) rest.push({ value: item, at: below, path: shown });
          else {
            yield known.length === 0
              ? `${shown} is not a known key: there is none here`
              : `${shown} ${unknown("key", nearest(key, known), known)}`;
            if (++count > FAULTS_MAX) return;
          }
        }
      }
    }
  }

  /** Texts in the place of files. They may be names of files, and weir reads none of its machine. */
  *#unread(input: unknown): Generator<string> {
    for (const { path, pathText, conversion } of this.#files) {
      const value = follow(input, path);
      const files: readonly unknown[] = conversion!.isList && Array.isArray(value)
        ? value
        : [value];
      if (files.every((file) => file === null || file instanceof Attachment)) continue;
      const shown = pathText || "it";
      yield `${shown} must be a file: send a multipart form with a field for the file, ` +
        `and name the field in the input, as in "@photo"`;
    }
  }
}

function place(): Place {
  return { isOpen: false, keys: new Map(), items: null };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Attachment) && !(value instanceof ExactNumber);
}
