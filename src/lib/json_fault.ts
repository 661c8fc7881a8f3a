/**
 * Where a text stops being JSON.
 *
 * @module
 */

/** The tokens of JSON (RFC 8259); a string is taken to its end or not at all. */
const TOKEN =
  // deno-lint-ignore no-control-regex
  /[ \t\n\r]*(?:([{}[\],:])|("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/y;

/** What may come next. */
type Awaited = "value" | "value or ]" | "key or }" | "key" | ":" | "more" | "nothing";

/**
 * The offset of the first thing in `text` that cannot stand there, its length when something is
 * missing at its end; undefined = it is JSON.
 */
export function jsonFault(text: string): number | undefined {
  const open: ("{" | "[")[] = [];
  let awaited: Awaited = "value";
  let at = 0;
  const ended = (): Awaited => open.length === 0 ? "nothing" : "more";
  for (;;) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) break;
    const [token, mark, string] = match;
    const isValue = awaited === "value" || awaited === "value or ]";
    const start = TOKEN.lastIndex - token.trimStart().length;
    if (mark === "{" || mark === "[") {
      if (!isValue) return start;
      open.push(mark);
      awaited = mark === "{" ? "key or }" : "value or ]";
    } else if (mark === "}" || mark === "]") {
      const inner = mark === "}" ? "key or }" : "value or ]";
      const isOpen = open.at(-1) === (mark === "}" ? "{" : "[");
      if (!isOpen || (awaited !== inner && awaited !== "more")) return start;
      open.pop();
      awaited = ended();
    } else if (mark === ",") {
      if (awaited !== "more") return start;
      awaited = open.at(-1) === "{" ? "key" : "value";
    } else if (mark === ":") {
      if (awaited !== ":") return start;
      awaited = "value";
    } else if (string !== undefined && (awaited === "key" || awaited === "key or }")) {
      awaited = ":";
    } else {
      if (!isValue) return start;
      awaited = ended();
    }
    at = TOKEN.lastIndex;
  }
  const rest = text.slice(at).search(/[^ \t\n\r]/);
  if (rest >= 0) return at + rest;
  return awaited === "nothing" ? undefined : text.length;
}
