/**
 * Reads server-sent events from a response (HTML standard, 9.2.6), those that came together at once
 * together: a page that draws once per piece of network keeps up with any speed.
 *
 * @module
 */

/** The longest event, in characters. A file inside an event must still fit. */
const EVENT_CHARS_MAX = 16 * 1024 * 1024;

/** The data of the events in `body`, batch by batch. Leaving the loop cancels the response. */
export async function* eventBatches(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<readonly string[]> {
  const lines = new EventLines();
  const decoder = new TextDecoder();
  const reader = body.getReader(); // not every browser can iterate over a stream
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const batch = lines.feed(decoder.decode(value, { stream: true }));
      if (batch.length > 0) yield batch;
    }
  } finally {
    // Of a stream that broke nothing is left to cancel: the reader has already thrown.
    await reader.cancel().catch(() => {});
  }
}

/** Turns text in any pieces into the data of events. */
class EventLines {
  #rest = "";
  #data: string[] = [];
  #dataChars = 0;

  feed(text: string): string[] {
    const batch: string[] = [];
    // A CR at the very end may be half of a CRLF: it waits for the next piece.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line, batch);
    if (this.#rest.length + this.#dataChars > EVENT_CHARS_MAX) {
      throw new RangeError(`an event has more than ${EVENT_CHARS_MAX} characters`);
    }
    return batch;
  }

  #line(line: string, batch: string[]): void {
    if (line === "") {
      if (this.#data.length > 0) batch.push(this.#data.join("\n"));
      this.#data = [];
      this.#dataChars = 0;
      return;
    }
    const match = /^data(?:: ?|$)/.exec(line);
    if (match === null) return; // a comment, or a field this page has no use for
    const value = line.slice(match[0].length);
    this.#data.push(value);
    this.#dataChars += value.length;
  }
}
