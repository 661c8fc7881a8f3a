/**
 * URLs with values in them. What a file's author wrote is the URL; a value is one piece of it, and
 * cannot change where the URL leads.
 *
 * @module
 */

import { failed } from "./call.ts";
import { textOfValue } from "./convert.ts";
import { type Pattern, render, renderText, type Scope } from "./interpolate.ts";

/** A URL of which so much is written that what follows belongs to its host. */
const IN_HOST = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*$/i;
/** `.` and `..` in every spelling that a URL parser takes for a step along the path. */
const DOTS = /^(?:\.|%2e){1,2}$/i;

/**
 * `pattern` as a URL, or as the path behind one. Each value in it is one segment, percent-encoded;
 * only what begins an `endpoint` stands there as it is: it is the URL itself.
 *
 * @throws {AppError} `workflow_failed` when a value makes a step such as `..` along the path.
 */
export function renderUrl(pattern: Pattern, scope: Scope, kind: "endpoint" | "path"): string {
  if (pattern.kind !== "template") return textOfValue(render(pattern, scope));
  /** Where values stand in the text. */
  const spans: { readonly from: number; readonly to: number }[] = [];
  const url = renderText(pattern.template, scope, (value, before) => {
    const text = textOfValue(value);
    if (before === "" && kind === "endpoint") return text;
    const encoded = encodeURIComponent(text.toWellFormed());
    const part = IN_HOST.test(before) ? encoded.replace(/%3A(?=\d+$)/, ":") : encoded;
    spans.push({ from: before.length, to: before.length + part.length });
    return part;
  });
  let from = 0;
  for (const step of url.split(/[?#]/, 1)[0]!.split("/")) {
    const to = from + step.length;
    // Also a value of nothing between two dots of the author's.
    if (DOTS.test(step) && spans.some((span) => span.from <= to && span.to >= from)) {
      throw failed(`Cannot call ${JSON.stringify(url)}: a value in a path must not be . or ..`);
    }
    from = to + 1;
  }
  return url;
}
