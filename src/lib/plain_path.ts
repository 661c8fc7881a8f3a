/**
 * Where a URL's path leads, whoever reads it: servers differ in what they decode, merge and leave
 * out before they look.
 *
 * @module
 */

/** How often escapes are undone: a path that still has some then is nobody's. */
const ROUNDS_MAX = 4;

/** A character of ASCII, escaped. */
const ESCAPE = /%[0-7][0-9a-f]/gi;

/** Control characters, which URL parsers leave out, and escapes that no UTF-8 has. */
// deno-lint-ignore no-control-regex
const UNCLEAR = /[\0-\x1f\x7f]|%c[01]/i;

/** A segment of dots: a step along the path. Windows reads no spaces or dots at its end. */
const CLIMBING = /^[. ]*\.[. ]*(?:[?#]|$)/;

/**
 * `path` with every escape of an ASCII character undone, however often it was escaped; undefined =
 * what it says depends on who reads it.
 */
export function decodedAscii(path: string): string | undefined {
  let text = path;
  for (let round = 0; text.search(ESCAPE) >= 0; round++) {
    if (round === ROUNDS_MAX) return undefined;
    text = text.replaceAll(ESCAPE, (escape) => String.fromCharCode(Number(`0x${escape.slice(1)}`)));
  }
  return UNCLEAR.test(text) ? undefined : text;
}

/**
 * `path` (begins with "/", without its query) as the most lenient of servers reads it: decoded,
 * backslashes as slashes, no parameters of segments (`;v=1`), slashes merged. undefined = it climbs,
 * or what it says depends on who reads it.
 */
export function plainPath(path: string): string | undefined {
  const plain = decodedAscii(path)?.replaceAll("\\", "/").replaceAll(/;[^/]*/g, "")
    .replaceAll(/\/{2,}/g, "/");
  return plain?.split("/").some((segment) => CLIMBING.test(segment)) ? undefined : plain;
}
