/**
 * Makes an upstream tell what its streams cost, where the route wants that and the client did not ask: the
 * wish is put into the client's own bytes, and what it adds to the answer is taken out again. The rest of
 * both stays as it is.
 *
 * @module
 */

import type { Answer, Ask, DialectName, PieceSink, Relay, Source } from "../../core/answer.ts";
import { JSON_DEPTH_MAX } from "../../core/depth.ts";
import type { Call } from "../../core/exchange.ts";
import { gatherBody, KnownBody } from "../../core/relay_body.ts";
import { isDeeper } from "../../lib/depth.ts";
import { JsonSplice, placeAt } from "../../lib/json_splice.ts";
import { bufferOf } from "../../lib/buffer_of.ts";
import { SseCutter } from "../../lib/sse_cutter.ts";
import type { StreamOptions } from "../upstream/stream_options.ts";

/** The dialects whose streams tell it on demand. */
const ON_DEMAND: ReadonlySet<DialectName> = new Set(["openai_chat", "openai_completions"]);
/** A larger body goes up as it is: to look at all of it would hold up others. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Of an event: one that tells the usage is shorter, and others are passed on in pieces. */
const EVENT_BYTES_MAX = 64 * 1024;
/** Bytes of a refusal that are read for its reason. */
const REFUSAL_BYTES_MAX = 65_536;

const OPTIONS = '"stream_options"';
const WISH = '{"include_usage":true}';

const USAGE = Buffer.from('"usage"');
const EVENT_END = Buffer.from("\n\n");
const [LF, CR, COLON, OPEN] = [0x0a, 0x0d, 0x3a, 0x7b];

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/**
 * `source`, an upstream that `options` are known of: it tells the usage of its streams to calls whose
 * `usageRule` is "ask".
 */
export function askUsage(source: Source, options: StreamOptions): Source {
  function taken(answer: Answer, ask: Ask, call: Call): Answer | Promise<Answer> {
    if (answer.kind !== "relay") return answer;
    if (answer.status < 400) {
      if (answer.status < 300) options.onTaken();
      return isPlainStream(answer) ? withoutUsage(answer) : answer;
    }
    return answer.status === 400 || answer.status === 422 ? refused(answer, ask, call) : answer;
  }

  async function refused(answer: Relay, ask: Ask, call: Call): Promise<Answer> {
    const { bytes } = await gatherBody(answer.body, call.signal, REFUSAL_BYTES_MAX);
    if (options.onRefused(answer.status, decoder.decode(bytes))) {
      return await source.answer(ask, call);
    }
    const { status, fields } = answer;
    const body = new KnownBody([{ bytes, atUs: 0 }], "end", call.engine.wheel);
    return { kind: "relay", status, fields, body };
  }

  return {
    name: source.name,
    answer(ask, call) {
      if (call.usageRule !== "ask" || !options.areSent) return source.answer(ask, call);
      const wishing = wishingUsage(ask);
      if (wishing === undefined) return source.answer(ask, call);
      const answer = source.answer(wishing, call);
      return answer instanceof Promise
        ? answer.then((answer) => taken(answer, ask, call))
        : taken(answer, ask, call);
    },
  };
}

/** `ask` with the wish for its usage; undefined = it has it, or it is not about a stream. */
function wishingUsage(ask: Ask): Ask | undefined {
  const { wire } = ask;
  if (wire === undefined || !ON_DEMAND.has(wire.dialect)) return undefined;
  const { body, fields, upload } = wire;
  if (body === null || upload !== undefined || body.length > BODY_BYTES_MAX) return undefined;
  if ((fields.get("content-encoding") ?? "identity") !== "identity") return undefined;
  const spliced = withWish(decoder.decode(body));
  if (spliced === undefined) return undefined;
  return {
    model: () => ask.model(),
    turn: () => ask.turn(),
    cutsAfterBlank: ask.cutsAfterBlank,
    settlesTokens: ask.settlesTokens,
    wire: { ...wire, body: encoder.encode(spliced) },
  };
}

/** `text` with the wish in it; undefined = it is no request for a stream without one. */
export function withWish(text: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // its upstream says what is wrong with it
  }
  if (typeof value !== "object" || value === null || isDeeper(value, JSON_DEPTH_MAX)) {
    return undefined;
  }
  const { stream, stream_options: options } = value as Readonly<Record<string, unknown>>;
  if (stream !== true) return undefined;
  // Most name no options: all else of an object that was parsed need not be looked at to put them at its end.
  if (!("stream_options" in value)) {
    const end = text.slice(0, text.lastIndexOf("}")).trimEnd().length;
    return `${text.slice(0, end)},${OPTIONS}:${WISH}${text.slice(end)}`;
  }
  const splice = new JsonSplice(text);
  const { root } = splice;
  if (typeof options === "object" && options !== null && !Array.isArray(options)) {
    if ("include_usage" in options && options.include_usage === true) return undefined;
    splice.set(placeAt(root, "stream_options")!, "include_usage", "true");
  } else if (options === undefined || options === null) splice.set(root, "stream_options", WISH);
  else return undefined;
  return splice.toString();
}

function isPlainStream({ fields }: Relay): boolean {
  const isPlain = (fields.get("content-encoding") ?? "identity") === "identity";
  return isPlain && /^\s*text\/event-stream\b/i.test(fields.get("content-type") ?? "");
}

/** `relay` without the event that tells its usage alone. What is cut off its client did not ask for. */
function withoutUsage(relay: Relay): Relay {
  const { kind, status, fields, isUntilClose, dialect, body } = relay;
  const wrapped: Relay = {
    kind,
    status,
    // The length is another one, and the connection says where it ends.
    fields: fields.get("content-length") === null
      ? fields
      : fields.with({ "content-length": null }),
    ...(isUntilClose === undefined ? {} : { isUntilClose }),
    ...(dialect === undefined ? {} : { dialect }),
    body: {
      whole() {
        const bytes = body.whole();
        return bytes && new UsageStrip().all(bufferOf(bytes));
      },
      flow: (sink) => body.flow(new StrippedSink(sink)),
      pause: () => body.pause(),
      resume: () => body.resume(),
      cancel: () => body.cancel(),
    },
  };
  return wrapped;
}

/** Takes the event that tells the usage alone out of one stream. */
class UsageStrip {
  readonly #cutter = new SseCutter(EVENT_BYTES_MAX);
  /** True: all that came so far has gone on, and a new event begins. */
  #isAtStart = true;

  /** What is left of the events that `bytes` complete. */
  feed(bytes: Buffer): Buffer {
    if (!this.#isAtStart || bytes.includes(CR)) return this.#cut(bytes);
    // Only what tells a usage, and what is no whole event yet, is looked at event by event.
    const at = usageAt(bytes);
    if (at < 0 && endsEvent(bytes)) return bytes;
    const end = at < 0 ? bytes.lastIndexOf(EVENT_END) : bytes.lastIndexOf(EVENT_END, at);
    if (end < 0) return this.#cut(bytes);
    const from = end + EVENT_END.length;
    const rest = this.#cut(bytes.subarray(from));
    const first = bytes.subarray(0, from);
    return rest.length === 0 ? first : Buffer.concat([first, rest]);
  }

  #cut(bytes: Buffer): Buffer {
    this.#isAtStart = endsEvent(bytes);
    const parts = this.#cutter.feed(bytes);
    const kept = parts.filter(({ bytes, isEvent }) => !isEvent || !tellsUsageAlone(bytes));
    return kept.length === 1 ? kept[0]!.bytes : Buffer.concat(kept.map(({ bytes }) => bytes));
  }

  /** What of a stream that ends was no whole event. */
  end(): Buffer | undefined {
    return this.#cutter.end()?.bytes;
  }

  /** What is left of a whole stream. */
  all(bytes: Buffer): Buffer {
    const kept = this.feed(bytes);
    const rest = this.end();
    return rest === undefined ? kept : Buffer.concat([kept, rest]);
  }
}

/** True when `bytes` end with the blank line behind an event. */
function endsEvent(bytes: Buffer): boolean {
  return bytes.at(-1) === LF && bytes.at(-2) === LF;
}

/** Where `"usage":{` begins, with whatever blanks; -1 = nowhere. Most streams say null in each event. */
function usageAt(bytes: Buffer): number {
  for (let at = bytes.indexOf(USAGE); at >= 0; at = bytes.indexOf(USAGE, at + USAGE.length)) {
    const colon = behindBlanks(bytes, at + USAGE.length);
    // What comes later, or stands on another line of data, may be any.
    if (colon >= bytes.length || bytes[colon] === LF) return at;
    if (bytes[colon] !== COLON) continue;
    const value = behindBlanks(bytes, colon + 1);
    if (value >= bytes.length || bytes[value] === OPEN || bytes[value] === LF) return at;
  }
  return -1;
}

function behindBlanks(bytes: Buffer, at: number): number {
  while (bytes[at] === 0x20 || bytes[at] === 0x09) at++;
  return at;
}

/** True for `data: {…,"choices":[],"usage":{…}}`. */
function tellsUsageAlone(event: Buffer): boolean {
  if (!event.includes(USAGE)) return false;
  const data = event.toString().replace(/^data: ?/gm, "");
  try {
    const { choices, usage } = JSON.parse(data) as Readonly<Record<string, unknown>>;
    return Array.isArray(choices) && choices.length === 0 && typeof usage === "object" &&
      usage !== null;
  } catch {
    return false; // another field of an event, or none of JSON
  }
}

/** Passes on what is left. */
class StrippedSink implements PieceSink {
  readonly #sink: PieceSink;
  readonly #strip = new UsageStrip();

  constructor(sink: PieceSink) {
    this.#sink = sink;
  }

  onPiece(bytes: Uint8Array, atUs: number, isLast?: boolean): void | false {
    const kept = this.#strip.feed(bufferOf(bytes));
    const rest = isLast === true ? this.#strip.end() : undefined;
    const left = rest === undefined ? kept : Buffer.concat([kept, rest]);
    if (left.length > 0) return this.#sink.onPiece(left, atUs, isLast);
  }

  onEnd(...how: Parameters<PieceSink["onEnd"]>): void {
    const rest = this.#strip.end();
    if (rest !== undefined) this.#sink.onPiece(rest, 0);
    this.#sink.onEnd(...how);
  }
}
