/**
 * The text of a workflow file with its environment in place, and where each character came from.
 *
 * `${env.NAME}` and `${env.NAME | default}` are replaced in the whole text before anything reads
 * it as YAML, so that a value may be a port, a key, or stand inside another expression's default.
 *
 * @module
 */

/** Characters of one file, before and after the environment is in place. */
export const FILE_CHARS_MAX = 1024 * 1024;

/** A place in a file as its author sees it; both counted from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong with a file. */
export interface Problem {
  readonly place: Place;
  /** Where in the tree: "component.body.messages[0]"; "" = the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** `FILE:LINE:COL path: message`. */
export function problemText({ place, path, message }: Problem): string {
  const where = `${place.file}:${place.line}:${place.column}`;
  return path === "" ? `${where}: ${message}` : `${where} ${path}: ${message}`;
}

/** A piece that was replaced: where it is in the new text, and where it was. */
interface Seam {
  readonly from: number;
  readonly to: number;
  readonly originalFrom: number;
  readonly originalTo: number;
}

/** A file's text as YAML reads it. */
export class SourceText {
  readonly file: string;
  readonly text: string;
  readonly #seams: readonly Seam[];
  readonly #lineStarts: readonly number[];

  constructor(file: string, original: string, text: string, seams: readonly Seam[]) {
    this.file = file;
    this.text = text;
    this.#seams = seams;
    this.#lineStarts = [0, ...Array.from(original.matchAll(/\n/g), ({ index }) => index + 1)];
  }

  /** The author's place of character `offset` of `text`. What was replaced stands at its `${`. */
  place(offset: number): Place {
    const seam = this.#seams[lastAtMost(this.#seams, offset, ({ from }) => from)];
    let original = offset;
    if (seam !== undefined) {
      original = offset < seam.to ? seam.originalFrom : seam.originalTo + (offset - seam.to);
    }
    const line = lastAtMost(this.#lineStarts, original, (start) => start);
    return {
      file: this.file,
      line: line + 1,
      column: original - this.#lineStarts[line]! + 1,
    };
  }
}

/** Unset variables told at once. */
const UNSET_MAX = 50;

const OPEN = "${env.";
/** Characters between the braces of one reference; what is longer is none. */
const REFERENCE_CHARS_MAX = 4096;
const REFERENCE = /^([^\s|}]+)\s*(?:\|([^}]*))?$/;

/** One `${env.NAME | default}`, from `from` to before `to`. */
interface Reference {
  readonly from: number;
  readonly to: number;
  readonly name: string;
  readonly fallback: string | undefined;
}

/** The references of `text`, in linear time: a regular expression would look for each `}` anew. */
function* referencesIn(text: string): Generator<Reference> {
  let close = -1;
  for (let open = text.indexOf(OPEN); open >= 0; open = text.indexOf(OPEN, open + OPEN.length)) {
    if (close < open) close = text.indexOf("}", open);
    if (close < 0) return;
    if (close - open > REFERENCE_CHARS_MAX) continue;
    const match = REFERENCE.exec(text.slice(open + OPEN.length, close));
    if (match === null) continue;
    yield { from: open, to: close + 1, name: match[1]!, fallback: match[2]?.trim() };
    open = close + 1 - OPEN.length;
  }
}

/** Puts `env` into `original`. What is missing and has no default is a problem. */
export function putEnvironment(
  file: string,
  original: string,
  env: Readonly<Record<string, string>>,
): { readonly source: SourceText; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const seams: Seam[] = [];
  const plain = new SourceText(file, original, original, []);
  if (original.length > FILE_CHARS_MAX) {
    problems.push(tooLong(plain, original.length));
    return { source: new SourceText(file, "", "", []), problems };
  }
  let text = "";
  let at = 0;
  for (const { from: open, to, name, fallback } of referencesIn(original)) {
    text += original.slice(at, open);
    at = to;
    const value = Object.hasOwn(env, name) ? env[name]! : fallback;
    if (value === undefined && problems.length < UNSET_MAX && !isComment(original, open)) {
      problems.push({
        place: plain.place(open),
        path: "",
        message: `Environment variable '${name}' is not set and no default value provided. ` +
          `Set it in the environment, in .env, or with -e ${name}=…`,
      });
    }
    const from = text.length;
    text += value ?? "";
    seams.push({ from, to: text.length, originalFrom: open, originalTo: at });
    if (text.length > FILE_CHARS_MAX) {
      problems.push(tooLong(plain, text.length));
      return { source: new SourceText(file, "", "", []), problems };
    }
  }
  text += original.slice(at);
  return { source: new SourceText(file, original, text, seams), problems };
}

function tooLong(source: SourceText, chars: number): Problem {
  return {
    place: source.place(0),
    path: "",
    message: `The file has ${chars} characters; the limit is ${FILE_CHARS_MAX}`,
  };
}

/** True when only blanks and a # stand before `index` on its line: nobody needs that value. */
function isComment(text: string, index: number): boolean {
  return /^\s*#/.test(text.slice(text.lastIndexOf("\n", index) + 1, index));
}

/** The index of the last item whose key is at most `key`, or -1. Keys ascend. */
function lastAtMost<T>(items: readonly T[], key: number, keyOf: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keyOf(items[middle]!) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
