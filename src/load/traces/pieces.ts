/**
 * Lines and JSON objects of a text that comes in pieces.
 *
 * @module
 */

/** Characters of one line or object at most. */
const TEXT_MAX = 64 * 1024 * 1024;

/** A line or an object, and on which line of the text it begins, from 1. */
export interface TextLine {
  readonly text: string;
  readonly number: number;
}

/**
 * The lines that are not empty.
 *
 * @throws {TypeError} when one is too long.
 */
export function* linesOf(pieces: Iterable<string>): Generator<TextLine, void, void> {
  let held = "";
  let number = 0;
  for (const piece of pieces) {
    let from = 0;
    for (let end = piece.indexOf("\n"); end >= 0; end = piece.indexOf("\n", from)) {
      number++;
      const text = (held + piece.slice(from, end)).trim();
      held = "";
      from = end + 1;
      if (text !== "") yield { text, number };
    }
    held += piece.slice(from);
    refuseLong(held, number + 1);
  }
  if (held.trim() !== "") yield { text: held.trim(), number: number + 1 };
}

/**
 * The objects of a JSON array, or of JSON lines; what stands between them is not looked at.
 *
 * @throws {TypeError} when one is too long, or has no end.
 */
export function* objectsOf(pieces: Iterable<string>): Generator<TextLine, void, void> {
  let held = "";
  let depth = 0;
  let isString = false;
  let isEscaped = false;
  let number = 1;
  let begun = 1;
  for (const piece of pieces) {
    let from = 0;
    for (let i = 0; i < piece.length; i++) {
      const mark = piece[i];
      if (mark === "\n") number++;
      if (isString) {
        if (isEscaped) isEscaped = false;
        else if (mark === "\\") isEscaped = true;
        else if (mark === '"') isString = false;
      } else if (mark === '"') isString = depth > 0;
      else if (mark === "{") {
        if (depth++ === 0) [from, begun] = [i, number];
      } else if (mark === "}" && depth > 0 && --depth === 0) {
        yield { text: held + piece.slice(from, i + 1), number: begun };
        held = "";
      }
    }
    if (depth > 0) held += piece.slice(from);
    refuseLong(held, begun);
  }
  if (depth > 0) throw new TypeError(`line ${begun} begins an object that does not end`);
}

function refuseLong(held: string, number: number): void {
  if (held.length > TEXT_MAX) throw new TypeError(`line ${number} is longer than 64 MiB`);
}
