/**
 * The text of a template as a small tree: literal text, and expressions `${…}`.
 *
 *   ${ input.model as select/a,b;fmt | fallback @(description A name) }
 *      ───── ───── ────── ─── ───     ────────    ───────────────────
 *      source path  type subtype format default    annotation
 *
 * The parser is balanced: an expression ends at its own `}`, whatever its default nests, and no
 * blank is needed around `|`. It reads each character once and recurses `NESTING_MAX` deep at most.
 *
 * One file, since the tree and the parser that makes it are one grammar.
 *
 * @module
 */

/** Characters of one template. A prompt is some hundreds; more is data, and belongs in the input. */
export const TEMPLATE_CHARS_MAX = 1024 * 1024;
/** Expressions inside the defaults of expressions. */
export const NESTING_MAX = 16;
/** Steps of one path, `a.b[0]` being three. */
export const PATH_STEPS_MAX = 64;

/** One step of a path: a key, an index (negative counts from the end), a slice, or every item. */
export type PathStep =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "index"; readonly index: number }
  | { readonly kind: "slice"; readonly from: number | null; readonly to: number | null }
  | { readonly kind: "each" };

/** What comes behind `as`. Absent parts are "". */
export interface Conversion {
  readonly type: string;
  readonly isList: boolean;
  readonly subtype: string;
  readonly format: string;
}

/** `@(name text)`. */
export interface Annotation {
  readonly name: string;
  readonly text: string;
}

/** One `${…}`. */
export interface Expression {
  /** "input", "response", "jobs", … */
  readonly source: string;
  /** True for `response[]`: the value is one chunk of a stream. */
  readonly isChunk: boolean;
  readonly path: readonly PathStep[];
  /** The path as it was written, without the dot in front: "messages[0].role". */
  readonly pathText: string;
  readonly conversion: Conversion | null;
  readonly fallback: Template | null;
  readonly annotations: readonly Annotation[];
}

/** A string of a workflow file, parsed once at load. Neighbouring texts are joined. */
export type Template = readonly (string | Expression)[];

/** The template cannot be read. `offset` is the character at fault. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/**
 * Parses `text`. A literal `${` is written `\${`.
 *
 * @throws {TemplateError}
 */
export function parseTemplate(text: string): Template {
  if (text.length > TEMPLATE_CHARS_MAX) {
    throw new TemplateError(
      `The text has ${text.length} characters; the limit is ${TEMPLATE_CHARS_MAX}`,
      0,
    );
  }
  const parts: (string | Expression)[] = [];
  let literal = "";
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf("${", at);
    if (open < 0) break;
    if (text[open - 1] === "\\" && open > at) {
      literal += text.slice(at, open - 1) + "${";
      at = open + 2;
      continue;
    }
    literal += text.slice(at, open);
    if (literal !== "") parts.push(literal);
    literal = "";
    const parser = new ExpressionParser(text, open, 0);
    parts.push(parser.expression());
    at = parser.at;
  }
  literal += text.slice(at);
  if (literal !== "") parts.push(literal);
  return parts;
}

/** The one expression that `template` consists of, or null: then it is text. */
export function wholeExpression(template: Template): Expression | null {
  const [only] = template;
  return template.length === 1 && typeof only === "object" ? only : null;
}

/** Formats in which a file is a text. */
const TEXT_FORMATS = ["base64", "url", "data-uri"];

/** True when what `expression` finds must be a file. */
export function isFile({ conversion }: Expression): boolean {
  return conversion !== null && isFileType(conversion.type, conversion.format);
}

/** True for `as TYPE;FORMAT` when it means a file. */
export function isFileType(type: string, format: string): boolean {
  return /^(?:image|audio|video|file)$/.test(type) && !TEXT_FORMATS.includes(format);
}

/** Every expression of `template`, those in defaults included. */
export function* expressionsOf(template: Template): Generator<Expression> {
  for (const part of template) {
    if (typeof part === "string") continue;
    yield part;
    if (part.fallback !== null) yield* expressionsOf(part.fallback);
  }
}

const BLANK = /\s/;
/** A source: no dot, no bracket, no blank; "gateway:8090" is one. */
const SOURCE = /[\p{L}_][\p{L}\p{N}_:-]*/uy;
/** A step's name. More than the original's [-_A-Za-z0-9]: keys in any script. */
const NAME = /[\p{L}\p{N}_-]+/uy;
const BRACKET = /\[\s*(?:(\*)|(-?\d{1,9})?\s*(:)?\s*(-?\d{1,9})?)\s*\]/y;
const TYPE = /[^\s/;}|[\]]+/y;
const SUBTYPE = /[^\s;}|]+/y;
const FORMAT = /[^\s}|]+/y;

/** Reads one `${…}` of `text` from `at` on. */
class ExpressionParser {
  at: number;
  readonly #text: string;
  readonly #start: number;
  readonly #depth: number;

  constructor(text: string, at: number, depth: number) {
    if (depth > NESTING_MAX) {
      throw new TemplateError(`Expressions nest deeper than ${NESTING_MAX}`, at);
    }
    this.#text = text;
    this.#start = at;
    this.#depth = depth;
    this.at = at;
  }

  expression(): Expression {
    this.at = this.#start + 2;
    this.#blanks();
    const source = this.#match(SOURCE);
    if (source === null) this.#fail("a name such as input or response must follow ${");
    let isChunk = false;
    if (this.#text.startsWith("[]", this.at)) {
      isChunk = true;
      this.at += 2;
    }
    const { path, pathText } = this.#path();
    this.#blanks();
    const conversion = this.#conversion();
    this.#blanks();
    let fallback: Template | null = null;
    if (this.#peek() === "|") {
      this.at++;
      fallback = this.#fallback();
    }
    const annotations = this.#annotations();
    if (this.#peek() !== "}") {
      this.#fail(
        this.at >= this.#text.length
          ? "the expression has no closing }"
          : `${JSON.stringify(this.#text[this.at])} cannot stand here`,
      );
    }
    this.at++;
    return { source, isChunk, path, pathText, conversion, fallback, annotations };
  }

  #path(): { readonly path: readonly PathStep[]; readonly pathText: string } {
    const path: PathStep[] = [];
    const start = this.at;
    for (;;) {
      if (path.length > PATH_STEPS_MAX) {
        this.#fail(`the path has more than ${PATH_STEPS_MAX} steps`);
      }
      if (this.#peek() === "[") {
        path.push(this.#bracket());
      } else if (this.#peek() === ".") {
        this.at++;
        if (this.#peek() === "[") continue;
        const key = this.#match(NAME);
        if (key === null) this.#fail("a name must follow the dot");
        path.push({ kind: "key", key });
      } else {
        const pathText = this.#text.slice(start, this.at);
        return { path, pathText: pathText.startsWith(".") ? pathText.slice(1) : pathText };
      }
    }
  }

  #bracket(): PathStep {
    BRACKET.lastIndex = this.at;
    const match = BRACKET.exec(this.#text);
    if (match === null) this.#fail("[…] takes an index, a slice such as 1:3, or *");
    const [whole, star, first, colon, second] = match;
    if (star === undefined && colon === undefined && (first === undefined || second)) {
      this.#fail("[…] takes an index, a slice such as 1:3, or *");
    }
    this.at += whole.length;
    if (star !== undefined) return { kind: "each" };
    if (colon === undefined) return { kind: "index", index: Number(first) };
    return {
      kind: "slice",
      from: first === undefined ? null : Number(first),
      to: second === undefined ? null : Number(second),
    };
  }

  #conversion(): Conversion | null {
    const isAs = this.#text.startsWith("as", this.at) &&
      BLANK.test(this.#text[this.at + 2] ?? "") && BLANK.test(this.#text[this.at - 1] ?? "");
    if (!isAs) return null;
    this.at += 2;
    this.#blanks();
    const type = this.#match(TYPE);
    if (type === null) this.#fail("a type must follow as");
    let isList = false;
    if (this.#text.startsWith("[]", this.at)) {
      isList = true;
      this.at += 2;
    }
    const subtype = this.#peek() === "/" ? this.#after(SUBTYPE, "a subtype must follow /") : "";
    const format = this.#peek() === ";" ? this.#after(FORMAT, "a format must follow ;") : "";
    return { type, isList, subtype, format };
  }

  #after(pattern: RegExp, complaint: string): string {
    this.at++;
    const text = this.#match(pattern);
    if (text === null) this.#fail(complaint);
    return text;
  }

  /** Text and nested expressions up to an annotation, or to the brace that closes this one. */
  #fallback(): Template {
    this.#blanks();
    const quoted = this.#quoted();
    if (quoted !== null) return quoted;
    const parts: (string | Expression)[] = [];
    let literal = "";
    let open = 0; // braces of the default's own, as in {"a": 1}
    for (; this.at < this.#text.length; this.at++) {
      const char = this.#text[this.at]!;
      const next = this.#text[this.at + 1] ?? "";
      if (char === "\\" && "$@{}".includes(next) && next !== "") {
        literal += next;
        this.at++;
      } else if (char === "$" && next === "{") {
        if (literal !== "") parts.push(literal);
        literal = "";
        const parser = new ExpressionParser(this.#text, this.at, this.#depth + 1);
        parts.push(parser.expression());
        this.at = parser.at - 1;
      } else if (char === "@" && next === "(" && open === 0) {
        break;
      } else if (char === "}" && open === 0) {
        break;
      } else {
        if (char === "{") open++;
        if (char === "}") open--;
        literal += char;
      }
    }
    literal = literal.trimEnd();
    if (literal !== "" || parts.length === 0) parts.push(literal);
    return unquoted(parts);
  }

  /** A default of plain text in one matching pair of quotes, which may hold braces: `"a } b"`. */
  #quoted(): Template | null {
    const quote = this.#peek();
    if (quote !== '"' && quote !== "'") return null;
    let text = "";
    for (let i = this.at + 1; i < this.#text.length; i++) {
      const char = this.#text[i]!;
      const next = this.#text[i + 1];
      if (char === "$" && next === "{") return null;
      if (char === "\\" && (next === quote || next === "\\")) {
        text += next;
        i++;
      } else if (char === quote) {
        if (!/^\s*(\}|@\()/.test(this.#text.slice(i + 1, i + 200))) return null;
        this.at = i + 1;
        return [text];
      } else {
        text += char;
      }
    }
    return null;
  }

  #annotations(): readonly Annotation[] {
    const annotations: Annotation[] = [];
    for (;;) {
      this.#blanks();
      if (!this.#text.startsWith("@(", this.at)) return annotations;
      const start = this.at + 2;
      let open = 0;
      let text = "";
      for (this.at = start;; this.at++) {
        const char = this.#text[this.at];
        if (char === undefined) this.#fail("the annotation has no closing )");
        const next = this.#text[this.at + 1] ?? "";
        if (char === "\\" && next !== "" && "()@$\\{}".includes(next)) {
          text += next;
          this.at++;
          continue;
        }
        if (char === "(") open++;
        if (char === ")" && open-- === 0) break;
        text += char;
      }
      this.at++;
      const [, name = "", rest = ""] = /^\s*(\S*)\s*([\s\S]*)$/.exec(text)!;
      annotations.push({ name, text: rest.trimEnd() });
    }
  }

  #peek(): string {
    return this.#text[this.at] ?? "";
  }

  #blanks(): void {
    while (BLANK.test(this.#peek())) this.at++;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.#text);
    if (match === null) return null;
    this.at += match[0].length;
    return match[0];
  }

  #fail(reason: string): never {
    const shown = this.#text.slice(this.#start, this.#start + 60).split("\n")[0];
    throw new TemplateError(`Cannot read the expression ${shown}: ${reason}`, this.at);
  }
}

/** `parts` without the one pair of quotes around them: a user means the text, not its quotes. */
function unquoted(parts: readonly (string | Expression)[]): Template {
  const first = parts[0];
  const last = parts.at(-1);
  if (typeof first !== "string" || typeof last !== "string" || parts.length < 3) return parts;
  const quote = first[0];
  if ((quote !== '"' && quote !== "'") || !last.endsWith(quote)) return parts;
  return [first.slice(1), ...parts.slice(1, -1), last.slice(0, -1)].filter((part) => part !== "");
}
