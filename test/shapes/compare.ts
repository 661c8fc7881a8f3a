/**
 * Compares the shape of two answers of an API: status, content type, layout, names, their order, the
 * kinds of values and the order of events; words, times, ids and counts may differ.
 *
 *     differences(recorded, answered)  →  ["choice 0 content: .choices[].logprobs is missing", …]
 *
 * @module
 */

/** What a server answered. What is null is not known and not compared. */
export interface Answered {
  readonly status: number | null;
  readonly contentType: string | null;
  readonly body: string;
  /** True: a recorder has laid the body anew, so its indent says nothing. */
  readonly isRelaid?: boolean;
}

/** JSON with numbers as the wire spells them: `1.0` is not `1`. */
type Value = null | boolean | string | WireNumber | readonly Value[] | {
  readonly [key: string]: Value;
};
class WireNumber {
  readonly digits: string;

  constructor(digits: string) {
    this.digits = digits;
  }
}
type Fields = { readonly [key: string]: Value };

interface Event {
  /** What kind of event it is: those of a run share it. */
  readonly label: string;
  readonly value: Value;
}

/** Keys whose value is a word of the API: equal in both, not only both a string. */
const WORDS: ReadonlySet<string> = new Set(
  ("code context detail effort encoding finish_reason mode model object param phase " +
    "prompt_cache_retention reason role service_tier status stop_reason stop_sequence summary " +
    "tool_choice truncation type verbosity").split(" "),
);
/** Keys whose number is the API's, not a count. */
const NUMBERS: ReadonlySet<string> = new Set(
  ("content_index frequency_penalty index max_output_tokens output_index presence_penalty " +
    "summary_index temperature top_logprobs top_p").split(" "),
);
/** Keys whose text or list may as well be empty. */
const ANY_LENGTH: ReadonlySet<string> = new Set(
  ["obfuscation", "bytes", "top_logprobs", "thinking"],
);
/** `resp_…`, `chatcmpl-…`: a prefix, and a number of characters that stays the same. */
const ID = /^(?:[a-z]+[_-])[0-9A-Za-z]{8,}$/;
/** In the label of a chunk that has a piece of a call's arguments; it may be all of them. */
const PIECE = "tool_calls";
/** Events between others whose place is a matter of time. */
const TIMED = "ping";
/** Runs of so many kinds of events in turn count once: one call of a tool, or two. */
const BLOCK_MAX = 8;

/** How `answered` differs in shape from what was `recorded`, a line for each place. */
export function differences(recorded: Answered, answered: Answered): string[] {
  const lines: string[] = [];
  const differ = (what: string, was: unknown, is: unknown) => {
    if (was !== is) lines.push(`${what}: recorded ${was}, answered ${is}`);
  };
  if (recorded.status !== null) differ("status", recorded.status, answered.status);
  if (recorded.contentType !== null) {
    differ("content-type", recorded.contentType, answered.contentType);
  }
  const [was, is] = [eventsOf(recorded.body), eventsOf(answered.body)];
  const isWire = !isSorted(was[0]?.value ?? null);
  if (isWire && !recorded.isRelaid) differ("layout", layout(recorded.body), layout(answered.body));
  const [wasOrder, isOrder] = [was, is].map(order);
  differ("events", wasOrder, isOrder);
  for (const label of new Set(was.map((event) => event.label))) {
    const [wasRun, isRun] = [was, is].map((events) => events.filter((e) => e.label === label));
    if (isRun!.length === 0) continue; // said by "events"
    compareEnds(
      wasRun!.map(valueOf),
      isRun!.map(valueOf),
      { label, isWire, isLast: false, lines },
      "",
    );
  }
  return [...new Set(lines)];
}

/** The numbers of tokens that `body` says the prompt had: the last `usage` in it; null = none. */
export function promptTokens(body: string): number | null {
  let tokens: number | null = null;
  for (const { value } of eventsOf(body)) {
    for (const holder of [value, field(value, "response"), field(value, "message")]) {
      const usage = field(holder, "usage");
      const count = field(usage, "prompt_tokens") ?? field(usage, "input_tokens");
      if (count instanceof WireNumber) tokens = Number(count.digits);
    }
  }
  return tokens;
}

/** Where values are compared, and what is to be known there. */
interface Place {
  readonly label: string;
  /** True: the recording is the wire's text, so order and digits count. */
  readonly isWire: boolean;
  /** True: the last one of several, whose number depends on how many there are. */
  readonly isLast: boolean;
  /** Gets the differences. */
  readonly lines: string[];
}

/** How many there are is not known: the first and the last stand for all that is between. */
function compareEnds(was: readonly Value[], is: readonly Value[], place: Place, path: string) {
  if (was.length === 0 || is.length === 0) return;
  compare(was[0]!, is[0]!, place, path);
  compare(was.at(-1)!, is.at(-1)!, { ...place, isLast: true }, path);
}

function compare(was: Value, is: Value, place: Place, path: string): void {
  const say = (at: string, what: string) =>
    void place.lines.push(`${place.label}: ${at || "."} ${what}`);
  const key = path.slice(path.lastIndexOf(".") + 1);
  const [wasKind, isKind] = [kind(was, key, place), kind(is, key, place)];
  if (wasKind !== isKind) return say(path, `is ${isKind}, recorded ${wasKind}`);
  if (Array.isArray(was) && Array.isArray(is)) compareEnds(was, is, place, `${path}[]`);
  if (!isFields(was) || !isFields(is)) return;
  const [wasKeys, isKeys] = [Object.keys(was), Object.keys(is)];
  for (const name of wasKeys) {
    if (name in is) compare(was[name]!, is[name]!, place, `${path}.${name}`);
    else say(`${path}.${name}`, "is missing");
  }
  for (const name of isKeys) {
    if (!(name in was)) say(`${path}.${name}`, "is not in the recording");
  }
  const both = (keys: string[]) => keys.filter((name) => name in was && name in is).join(" ");
  if (place.isWire && both(wasKeys) !== both(isKeys)) {
    say(path, `has the order ${both(isKeys)}, recorded ${both(wasKeys)}`);
  }
}

/** What a value is, as far as its shape goes. */
function kind(value: Value, key: string, { label, isWire, isLast }: Place): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (value instanceof WireNumber) {
    if (!isWire) return "a number";
    if (NUMBERS.has(key) && !(isLast && key.endsWith("index"))) return value.digits;
    return /^-?\d+$/.test(value.digits) ? "an integer" : "a number with a point";
  }
  if (typeof value === "string") {
    if (WORDS.has(key)) return JSON.stringify(value);
    if (key === "embedding") return `a string of ${value.length}`;
    if (ANY_LENGTH.has(key)) return "a string";
    if (value === "") return "an empty string";
    if (ID.test(value)) return `an id ${/^[a-z]+./.exec(value)![0]} of ${value.length}`;
    return label.includes(PIECE) ? "a string" : jsonKind(value) ?? "a string";
  }
  if (!Array.isArray(value)) return "an object";
  if (key === "embedding") return `a list of ${value.length}`;
  return value.length === 0 && !ANY_LENGTH.has(key) ? "an empty list" : "a list";
}

/** Whether a text is a JSON object, and with blanks in it or not; undefined = it is none. */
function jsonKind(text: string): string | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return text === JSON.stringify(JSON.parse(text)) ? "compact JSON" : "JSON with blanks";
  } catch {
    return undefined;
  }
}

/** Indent of a whole answer (recorders lose its line end); of a stream the fields of its frames. */
function layout(body: string): string {
  if (!isStream(body)) return `an indent of ${/\n( *)/.exec(body)?.[1]?.length ?? "none"}`;
  const frames = body.split("\n\n");
  const names = frames.map((frame) => frame.replaceAll(/:.*/g, "").replaceAll("\n", "+"));
  return JSON.stringify(names.filter((name, i) => name !== names[i - 1]));
}

/** The labels of `events` in turn; those of each choice by themselves, since choices interleave. */
function order(events: readonly Event[]): string {
  const byChoice = Map.groupBy(events, ({ label }) => /^choice \d+/.exec(label)?.[0] ?? "");
  return [...byChoice.values()].map((group) => {
    const labels: string[] = [];
    for (const { label } of group) {
      if (label === TIMED) continue;
      labels.push(label);
      for (let size = 1; size <= BLOCK_MAX; size++) {
        const [last, before] = [labels.slice(-size), labels.slice(-2 * size, -size)];
        if (before.length === size && last.join() === before.join()) labels.length -= size;
      }
    }
    return labels.join(" → ");
  }).join(" | ");
}

function eventsOf(body: string): Event[] {
  if (!isStream(body)) return [{ label: "body", value: parse(body) }];
  return body.split("\n\n").flatMap((frame) => {
    const data = /^data: ?(.*)$/m.exec(frame)?.[1];
    if (data === undefined) return [];
    const value = data.startsWith("{") ? parse(data) : data;
    return [{ label: labelOf(value), value }];
  });
}

/** What kind of event `value` is: its type and what it holds, or what a chunk's choice says. */
function labelOf(value: Value): string {
  if (!isFields(value)) return String(value);
  if (typeof value["type"] === "string") {
    const held = ["item", "part", "content_block", "delta"].map((key) => field(value[key], "type"));
    return [value["type"], ...held.filter((type) => typeof type === "string")].join(" ");
  }
  const choice = Array.isArray(value["choices"]) ? value["choices"][0] as Value : undefined;
  if (!isFields(choice)) {
    return Object.keys(value).filter((key) => isFields(value[key])).join(" ") || "nothing";
  }
  const delta = isFields(choice["delta"]) ? choice["delta"] : {};
  const calls = delta["tool_calls"];
  const call = Array.isArray(calls) && isFields(calls[0]) ? Object.keys(calls[0]) : [];
  const said = [...Object.keys(delta), ...call, ...("text" in choice ? ["text"] : [])];
  const reason = choice["finish_reason"];
  const digits = choice["index"] instanceof WireNumber ? choice["index"].digits : "";
  return `choice ${digits} ${[...said, ...(reason ? [`end:${reason}`] : [])].join("+")}`;
}

/** Whether a recording kept the values and not the bytes: the keys of its objects are sorted. */
function isSorted(value: Value): boolean {
  if (!isFields(value)) return true;
  const keys = Object.keys(value);
  return keys.join() === keys.toSorted().join() && Object.values(value).every(isSorted);
}

function parse(text: string): Value {
  // The language's types do not know the third argument yet.
  const read = JSON.parse as (text: string, reviver: Reviver) => Value;
  try {
    return read(
      text,
      (_, value, context) =>
        typeof value === "number" ? new WireNumber(context.source ?? "") : value,
    );
  } catch {
    return text;
  }
}
type Reviver = (key: string, value: Value | number, context: { source?: string }) => Value;

function valueOf({ value }: Event): Value {
  return value;
}

function isStream(body: string): boolean {
  return /^(?:event|data|:)/.test(body);
}

function isFields(value: Value | undefined): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof WireNumber);
}

function field(value: Value | undefined, key: string): Value | undefined {
  return isFields(value) ? value[key] : undefined;
}
