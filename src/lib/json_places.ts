/**
 * Where the parts of a JSON text stand.
 *
 * @module
 */

/** A value of a JSON text. */
export interface JsonPlace {
  /** Where it begins, in UTF-16 units. */
  readonly at: number;
  /** The offset behind its last character. */
  readonly end: number;
  /** Of an object, in the order of the text; a name may stand twice. */
  readonly fields?: readonly JsonField[];
  /** Of a list. */
  readonly items?: readonly JsonPlace[];
}

/** A field of an object. */
export interface JsonField {
  readonly key: string;
  /** Where the key begins. */
  readonly at: number;
  readonly value: JsonPlace;
}

/**
 * The places in `text`, which must be JSON that does not nest deeper than the stack is: whoever calls
 * has parsed it, and knows its depth.
 */
export function jsonPlaces(text: string): JsonPlace {
  return new Scan(text).value();
}

class Scan {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): JsonPlace {
    this.#skipBlanks();
    const at = this.#at;
    switch (this.#text[at]) {
      case "{": {
        const fields = this.#list("}", () => this.#field());
        return { at, end: this.#at, fields };
      }
      case "[": {
        const items = this.#list("]", () => this.value());
        return { at, end: this.#at, items };
      }
      case '"':
        this.#string();
        return { at, end: this.#at };
      default:
        while (/[\w.+-]/.test(this.#text[this.#at] ?? "")) this.#at++;
        return { at, end: this.#at };
    }
  }

  #field(): JsonField {
    this.#skipBlanks();
    const at = this.#at;
    const key = JSON.parse(this.#string()) as string;
    this.#skipBlanks();
    this.#at++; // the colon
    return { key, at, value: this.value() };
  }

  /** What stands up to `close`; the next character opens it. */
  #list<T>(close: string, item: () => T): readonly T[] {
    const items: T[] = [];
    this.#at++;
    this.#skipBlanks();
    while (this.#at < this.#text.length && this.#text[this.#at] !== close) {
      items.push(item());
      this.#skipBlanks();
      if (this.#text[this.#at] === ",") this.#at++;
      this.#skipBlanks();
    }
    this.#at++;
    return items;
  }

  /** The string that begins here, as it is written. */
  #string(): string {
    const from = this.#at++;
    for (;;) {
      const end = this.#text.indexOf('"', this.#at);
      if (end < 0) return this.#text.slice(from, this.#at = this.#text.length);
      let slashes = 0;
      while (this.#text[end - 1 - slashes] === "\\") slashes++;
      this.#at = end + 1;
      if (slashes % 2 === 0) return this.#text.slice(from, this.#at);
    }
  }

  #skipBlanks(): void {
    for (;; this.#at++) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 32 && unit !== 10 && unit !== 13 && unit !== 9) return;
    }
  }
}
