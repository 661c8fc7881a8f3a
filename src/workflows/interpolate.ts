/**
 * Gives templates their values. Whatever is missing is null; only a conversion can fail.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { Attachment } from "../core/workflow.ts";
import { ExactNumber } from "../lib/exact_json.ts";
import { Chunks } from "./chunks.ts";
import { convert, textOfValue } from "./convert.ts";
import {
  type Expression,
  expressionsOf,
  type PathStep,
  type Template,
  wholeExpression,
} from "./expression.ts";

/** Characters of one rendered text. */
export const RENDERED_CHARS_MAX = 64 * 1024 * 1024;

/** What a workflow file says where a value may stand: parsed once, rendered for each run. */
export type Pattern =
  | { readonly kind: "constant"; readonly value: string | number | boolean | null | ExactNumber }
  | { readonly kind: "template"; readonly template: Template }
  | { readonly kind: "list"; readonly items: readonly Pattern[] }
  | { readonly kind: "map"; readonly entries: readonly (readonly [string, Pattern])[] };

/** The values that expressions refer to, by source; a stream's chunk under "response[]". */
export type Scope = Readonly<Record<string, unknown>>;

/**
 * `pattern` with its expressions replaced.
 *
 * @throws {AppError} `workflow_failed` when a conversion fails or a text grows too long.
 */
export function render(pattern: Pattern, scope: Scope): unknown {
  switch (pattern.kind) {
    case "constant":
      return pattern.value;
    case "template":
      return renderTemplate(pattern.template, scope);
    case "list":
      return pattern.items.map((item) => render(item, scope));
    case "map":
      // fromEntries defines own keys, so that "__proto__" stays a key like any other.
      return Object.fromEntries(
        pattern.entries.map(([key, item]) => [key, render(item, scope)] as const),
      );
  }
}

/** How a value becomes text behind the `text` that stands before it. */
export type TextOf = (value: unknown, text: string) => string;

/** A template: the typed value of an expression that stands alone, else text. */
export function renderTemplate(template: Template, scope: Scope): unknown {
  const whole = wholeExpression(template);
  return whole !== null ? evaluate(whole, scope) : renderText(template, scope, textOfValue);
}

/** A template as text. `textOf` writes what expressions find; what a file's author wrote stays. */
export function renderText(template: Template, scope: Scope, textOf: TextOf): string {
  let text = "";
  for (const part of template) {
    text += typeof part === "string" ? part : textOfExpression(part, scope, textOf, text);
    if (text.length > RENDERED_CHARS_MAX) {
      throw new AppError(
        "workflow_failed",
        `Cannot render a text of more than ${RENDERED_CHARS_MAX} characters`,
      );
    }
  }
  return text;
}

/** The value of one expression. */
export function evaluate(expression: Expression, scope: Scope): unknown {
  const { conversion, fallback } = expression;
  let value = found(expression, scope);
  if (value === null && fallback !== null) value = renderTemplate(fallback, scope);
  if (value === null || conversion === null) return value;
  return convert(value, conversion);
}

function textOfExpression(
  expression: Expression,
  scope: Scope,
  textOf: TextOf,
  before: string,
): string {
  const { conversion, fallback } = expression;
  const value = found(expression, scope);
  if (value === null && fallback !== null) {
    const text = renderText(fallback, scope, (inner, text) => textOf(inner, before + text));
    return conversion === null ? text : textOfValue(convert(text, conversion));
  }
  return textOf(conversion === null ? value : convert(value, conversion), before);
}

/** What `expression` refers to, without its default and its type; null = nothing. */
function found({ source, isChunk, path }: Expression, scope: Scope): unknown {
  const name = isChunk ? `${source}[]` : source;
  return Object.hasOwn(scope, name) ? follow(scope[name], path) : null;
}

/** Every expression of `pattern`, in the order of the file. */
export function* expressionsIn(pattern: Pattern): Generator<Expression> {
  switch (pattern.kind) {
    case "constant":
      return;
    case "template":
      return yield* expressionsOf(pattern.template);
    case "list":
      for (const item of pattern.items) yield* expressionsIn(item);
      return;
    case "map":
      for (const [, item] of pattern.entries) yield* expressionsIn(item);
  }
}

/** What `path` leads to from its step `at` on, through own properties only; null = nothing. */
export function follow(value: unknown, path: readonly PathStep[], at = 0): unknown {
  if (value === undefined || value === null) return null;
  const step = path[at];
  if (step === undefined) return value;
  if (step.kind === "key") {
    if (typeof value !== "object" || value instanceof Chunks) return null;
    if (value instanceof ExactNumber) return null;
    if (Array.isArray(value)) return null;
    if (value instanceof Attachment) return follow(fileField(value, step.key), path, at + 1);
    if (!Object.hasOwn(value, step.key)) return null;
    return follow((value as Record<string, unknown>)[step.key], path, at + 1);
  }
  if (!Array.isArray(value)) return null;
  switch (step.kind) {
    case "index":
      return follow(value.at(step.index), path, at + 1);
    case "slice":
      return value.slice(step.from ?? 0, step.to ?? value.length)
        .map((item) => follow(item, path, at + 1));
    case "each":
      return value.map((item) => follow(item, path, at + 1));
  }
}

function fileField(file: Attachment, key: string): unknown {
  if (key === "filename") return file.filename;
  return key === "content_type" ? file.contentType : null;
}
