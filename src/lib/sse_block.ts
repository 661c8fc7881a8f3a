/**
 * One event of somebody else's stream as it is written: its lines, what they mean, and the same event
 * with other data. What is not changed keeps its bytes.
 *
 * @module
 */

const LINE = /([^\r\n]*)(\r\n|\r|\n|$)/y;
const MARK = "\ufeff";

/** A line of an event. */
export interface SseLine {
  /** "data"; "" = it is a comment or empty. */
  readonly field: string;
  /** Without the one blank behind the colon. */
  readonly value: string;
  /** What stands before the value: a mark, the field, its colon and its blank. */
  readonly lead: string;
  /** LF, CR or CRLF; "" = the stream ends in the line. */
  readonly end: string;
}

/** All lines from one event's end to the next one's, the empty one included. */
export class SseBlock {
  readonly text: string;
  readonly lines: readonly SseLine[];
  /** "" = no line names one. */
  readonly event: string;
  /** Undefined = nothing here is an event: comments, or the rest of a stream that was cut off. */
  readonly data: string | undefined;

  constructor(text: string) {
    this.text = text;
    this.lines = linesOf(text);
    const valuesOf = (name: string) =>
      this.lines.filter(({ field }) => field === name).map(({ value }) => value);
    const data = valuesOf("data");
    const last = this.lines.at(-1);
    const isWhole = last !== undefined && last.lead + last.value === "";
    this.event = valuesOf("event").at(-1) ?? "";
    this.data = data.length === 0 || !isWhole ? undefined : data.join("\n");
  }

  /** The same event with `data`, one line for each of its lines, where its first one stood. */
  withData(data: string): string {
    const values = data.split("\n");
    const model = this.lines.find(({ field }) => field === "data");
    let text = "";
    for (const line of this.lines) {
      if (line.field !== "data") text += line.lead + line.value + line.end;
      else if (line === model) {
        text += values.map((value) => line.lead + value + line.end).join("");
      }
    }
    return text;
  }
}

function linesOf(text: string): readonly SseLine[] {
  const lines: SseLine[] = [];
  for (let at = 0; at < text.length; at = LINE.lastIndex) {
    LINE.lastIndex = at;
    const [, line, end] = LINE.exec(text)!;
    lines.push({ ...fieldOf(line!), end: end! });
  }
  return lines;
}

function fieldOf(line: string): Omit<SseLine, "end"> {
  const from = line.startsWith(MARK) ? MARK.length : 0;
  const colon = line.indexOf(":", from);
  if (colon < 0) return { field: line.slice(from), value: "", lead: line };
  const at = line[colon + 1] === " " ? colon + 2 : colon + 1;
  return { field: line.slice(from, colon), value: line.slice(at), lead: line.slice(0, at) };
}
