/**
 * URLs with values in them. What a file's author wrote is the URL; a value is one piece of it, and
 * cannot change where the URL leads.
 *
 * @module
 */

import { failed } from "./call.ts";
import { textOfValue } from "./convert.ts";
import { type Pattern, render, renderText, type Scope } from "./interpolate.ts";

/**
 * A URL of which so much is written that what follows belongs to its host or port: [1] is what is
 * written of these. URL parsers take any number of slashes behind the scheme, and \ for a slash.
 */
const IN_HOST = /^\s*[a-z][a-z0-9+.-]*:[/\\]*([^/\\?#]*)$/i;
/** Behind these a value is a whole: the host, the port, an address in brackets. */
const WHOLE_BEHIND = /(?:^|[:@[])$/;
/** `.` and `..` in every spelling that a URL parser takes for a step along the path. */
const DOTS = /^(?:\.|%2e){1,2}$/i;

/** Where a value stands in a URL, as offsets. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * `pattern` as a URL, or as the path behind one. Each value in it is one segment, percent-encoded;
 * only what begins an `endpoint` stands there as it is: it is the URL itself. A value right behind
 * a host or a port is the path when it begins with a slash.
 *
 * @throws {AppError} `workflow_failed` when a value makes a step such as `..` along the path, or
 * would lengthen the host or the port.
 */
export function renderUrl(pattern: Pattern, scope: Scope, kind: "endpoint" | "path"): string {
  if (pattern.kind !== "template") return textOfValue(render(pattern, scope));
  const spans: Span[] = [];
  /** Those of `spans` that lengthen a host or a port. */
  const longer: Span[] = [];
  const url = renderText(pattern.template, scope, (value, before) => {
    const text = textOfValue(value);
    if (before === "" && kind === "endpoint") return text;
    const host = kind === "endpoint" ? IN_HOST.exec(before)?.[1] : undefined;
    const isBehind = host !== undefined && !WHOLE_BEHIND.test(host);
    const isPath = isBehind && text.startsWith("/");
    let part = isPath ? text.split("/").map(encoded).join("/") : encoded(text);
    if (host === "") part = part.replace(/%3A(?=\d+$)/, ":");
    const span = { from: before.length, to: before.length + part.length };
    spans.push(span);
    if (isBehind && !isPath && text !== "") longer.push(span);
    return part;
  });
  for (const { from, to } of longer) {
    if (isHostOfAuthor(url, to, spans)) continue;
    const place = JSON.stringify(withoutUserinfo(url.slice(0, from)));
    throw failed(
      `Cannot call ${place} with a value that would become part of its host or port: ` +
        "write a slash between them in the file",
    );
  }
  let from = 0;
  for (const step of url.split(/[?#]/, 1)[0]!.split("/")) {
    const to = from + step.length;
    // Also a value of nothing between two dots of the author's.
    if (DOTS.test(step) && spans.some((span) => span.from <= to && span.to >= from)) {
      const place = JSON.stringify(withoutUserinfo(url));
      throw failed(`Cannot call ${place}: a value in a path must not be . or ..`);
    }
    from = to + 1;
  }
  return url;
}

/** `url` as sentences show it: a password in it is nobody's matter. */
export function withoutUserinfo(url: string): string {
  return url.replace(/\/\/[^/?#]*@/, "//***@");
}

function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/**
 * True when the host of `url` goes on behind the offset `from` with what the author wrote, as in
 * `http://api-${input.region}.example.com`: then it ends as the author says.
 */
function isHostOfAuthor(url: string, from: number, spans: readonly Span[]): boolean {
  const rest = /^[^/\\?#]*/.exec(url.slice(from))![0];
  const authored = [...rest.split("").entries()]
    .filter(([i]) => !spans.some((span) => span.from <= from + i && from + i < span.to))
    .map(([, char]) => char).join("");
  return authored.includes("@") || /[\p{L}\p{N}]/u.test(authored.split(":", 1)[0]!);
}
