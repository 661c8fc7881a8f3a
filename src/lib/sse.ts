/**
 * Server-sent events from bytes that come in any pieces, and text put into one event.
 *
 * Follows the HTML standard, 9.2.6: lines end in LF, CR or CRLF; a byte order mark may come first;
 * lines that begin with a colon are comments; one blank behind the colon of a field goes away; an
 * event without data is none; an event that its stream cuts off is none.
 *
 * @module
 */

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const BOM = [0xef, 0xbb, 0xbf] as const;

/** One event, decoded. Fields that the event did not name are "". */
export interface SseEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string;
}

/** An event, or a line of it, is larger than the parser's limit. */
export class SseTooLarge extends Error {
  override readonly name = "SseTooLarge";
  readonly eventBytesMax: number;

  constructor(eventBytesMax: number) {
    super(`Cannot take an event of more than ${eventBytesMax} bytes`);
    this.eventBytesMax = eventBytesMax;
  }
}

/**
 * Parses one stream. It looks for line ends in bytes and decodes whole lines only, so that a
 * character may be cut by the network anywhere.
 */
export class SseParser {
  readonly #eventBytesMax: number;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** The pieces of a line whose end has not come: joined once, so that many pieces stay linear. */
  #pieces: Uint8Array[] = [];
  /** Bytes of the event that is being read, its unfinished line included. */
  #eventBytes = 0;
  #isFirstLine = true;
  /** True when the last byte was a CR: an LF that follows belongs to it. */
  #skipsLineFeed = false;
  #data: string[] = [];
  #event = "";
  #id = "";

  /** `eventBytesMax`: the most bytes between two events; more throws `SseTooLarge`. */
  constructor(eventBytesMax: number) {
    this.#eventBytesMax = eventBytesMax;
  }

  /**
   * Takes the next bytes and gives the events that they complete.
   *
   * @throws {SseTooLarge} the stream cannot be read any further.
   */
  feed(chunk: Uint8Array): SseEvent[] {
    const events: SseEvent[] = [];
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.#skipsLineFeed) {
        this.#skipsLineFeed = false;
        if (byte === LF) {
          start = i + 1;
          continue;
        }
      }
      if (byte !== LF && byte !== CR) continue;
      this.#skipsLineFeed = byte === CR;
      this.#grow(i - start);
      this.#line(this.#take(chunk.subarray(start, i)), events);
      start = i + 1;
    }
    if (start < chunk.length) {
      this.#grow(chunk.length - start);
      this.#pieces.push(chunk.slice(start)); // a copy: the caller may re-use its buffer
    }
    return events;
  }

  #grow(bytes: number): void {
    this.#eventBytes += bytes;
    if (this.#eventBytes > this.#eventBytesMax) throw new SseTooLarge(this.#eventBytesMax);
  }

  /** The whole line: what was kept of it, and `rest`. */
  #take(rest: Uint8Array): Uint8Array {
    let line = rest;
    if (this.#pieces.length > 0) {
      line = Buffer.concat([...this.#pieces, rest]);
      this.#pieces = [];
    }
    if (!this.#isFirstLine) return line;
    this.#isFirstLine = false;
    return BOM.every((byte, i) => line[i] === byte) ? line.subarray(BOM.length) : line;
  }

  #line(line: Uint8Array, events: SseEvent[]): void {
    if (line.length === 0) return this.#dispatch(events);
    const colon = line.indexOf(COLON);
    if (colon === 0) return; // a comment
    const nameEnd = colon < 0 ? line.length : colon;
    let valueStart = colon < 0 ? line.length : colon + 1;
    if (line[valueStart] === SPACE) valueStart++;
    const value = this.#decoder.decode(line.subarray(valueStart));
    switch (this.#decoder.decode(line.subarray(0, nameEnd))) {
      case "data":
        this.#data.push(value);
        break;
      case "event":
        this.#event = value;
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value; // 9.2.6: an id with NULL is ignored
        break;
      default: // "retry" is the reconnecting client's business; other fields have no meaning
    }
  }

  #dispatch(events: SseEvent[]): void {
    if (this.#data.length > 0) {
      events.push({ event: this.#event, data: this.#data.join("\n"), id: this.#id });
    }
    this.#data = [];
    this.#event = "";
    this.#eventBytes = 0;
  }
}

/**
 * `text` as one event: one `data:` line for each of its lines. A lone CR would end a line too, so
 * it is written as a line end; a reader gets LF for each of LF, CR and CRLF.
 */
export function textEvent(text: string): string {
  if (!/[\r\n]/.test(text)) return `data: ${text}\n\n`;
  return `data: ${text.split(/\r\n|\r|\n/).join("\ndata: ")}\n\n`;
}
