/**
 * Fills a shipped file in: each filled line is one that the file has.
 *
 * @module
 */

/** A line of a file by its beginning (blanks before it do not count), and what stands there then. */
export interface Filled {
  readonly start: string;
  /** The whole lines instead of it, without the blanks before them; none = it goes. */
  readonly lines: readonly string[];
}

/**
 * `text` with its lines filled in.
 *
 * @throws {Error} when a line is not there, or twice: the shipped file and its filling have come
 * apart.
 */
export function fill(text: string, filled: readonly Filled[]): string {
  const lines = text.split("\n");
  for (const { start, lines: values } of filled) {
    const found = lines.filter((line) => line.trimStart().startsWith(start));
    if (found.length !== 1) throw new Error(`Cannot fill "${start}": ${found.length} such lines`);
    const at = lines.indexOf(found[0]!);
    const indent = found[0]!.slice(0, found[0]!.length - found[0]!.trimStart().length);
    lines.splice(at, 1, ...values.map((value) => `${indent}${value}`));
  }
  return lines.join("\n");
}
