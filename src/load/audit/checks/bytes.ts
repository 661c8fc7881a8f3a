/**
 * Whether the client gets the bytes that the upstream has written, under every shape that events may
 * have and wherever its writes end.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { parseExactJson } from "../../../lib/exact_json.ts";
import {
  differenceText,
  type JsonDifference,
  jsonDifferences,
} from "../../../lib/json_differences.ts";
import { type SseEvent, SseParser } from "../../../lib/sse.ts";
import type { Finding, Verdict } from "../finding.ts";
import { counted } from "../numbers.ts";
import { type Asked, type Check, finding, type Rig, shownBytes } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  answerWhole,
  chunk,
  chunkJson,
  DONE,
  event,
  finishEvent,
  headText,
  LAST_CHUNK,
  roleEvent,
  sequenceOf,
  streamHead,
  textEvent,
} from "../stream.ts";

/** Pause between the writes of a `split`. */
const SPLIT_PAUSE_MS = 4;

/** One shape of a stream. */
interface Shape {
  readonly name: string;
  /** The whole body. */
  readonly body: (mark: string) => string;
  /** Where the writes end, as offsets of the body's bytes; none = it is written at once. */
  readonly cuts?: (body: Buffer) => readonly number[];
}

const SHAPES: readonly Shape[] = [
  { name: "plain", body: (mark) => frame(mark, (i) => textEvent(mark, i), 20) },
  { name: "many", body: (mark) => frame(mark, (i) => textEvent(mark, i), 3000) },
  {
    name: "unicode",
    body: (mark) => frame(mark, (i) => said(mark, i, "\u2028 \u2029 \u0085 \ufeff é 😀 漢字"), 6),
  },
  {
    name: "split",
    body: (mark) => frame(mark, (i) => said(mark, i, "é😀漢").replaceAll("\n", "\r\n"), 6),
    cuts: splits,
  },
  {
    name: "numbers",
    body: (mark) =>
      frame(mark, (i) =>
        said(mark, i, "n").replace(
          '"created":1790000000',
          '"created":1790000000,"seed":12345678901234567890,"logprob":-0.10000000000000000555,"zero":1.0,"big":1e400',
        ), 4),
  },
  {
    name: "unknown-fields",
    body: (mark) =>
      frame(mark, (i) =>
        event(
          chunkJson(mark, {
            delta: { content: `${mark}.${i}`, x_weir_delta: { deep: [null, true, { a: 1 }] } },
            more: { x_weir_audit: ["kept", { "ключ": 1 }], system_fingerprint: null },
          }),
        ), 4),
  },
  {
    name: "spelling",
    body: (mark) =>
      frame(
        mark,
        (i) =>
          `data: { "object" : "chat.completion.chunk", "id":"chatcmpl-${mark}",  "choices":[ {"index":0, "delta":{"content":"${mark}.${i} \\u00e9\\/ "},"finish_reason":null} ], "created":1790000000, "model":"audit" }\n\n`,
        4,
      ),
  },
  {
    name: "crlf",
    body: (mark) => frame(mark, (i) => textEvent(mark, i), 6).replaceAll("\n", "\r\n"),
  },
  { name: "cr", body: (mark) => frame(mark, (i) => textEvent(mark, i), 6).replaceAll("\n", "\r") },
  { name: "bom", body: (mark) => `\ufeff${frame(mark, (i) => textEvent(mark, i), 4)}` },
  {
    name: "comments",
    body: (mark) => frame(mark, (i) => `: comment ${i}\n\n:\n${textEvent(mark, i)}`, 6),
  },
  {
    name: "fields",
    body: (mark) =>
      frame(
        mark,
        (i) => `event: message\nid: ${mark}-${i}\nretry: 3000\nx-unknown: 1\n${textEvent(mark, i)}`,
        4,
      ),
  },
  {
    name: "data-lines",
    body: (mark) =>
      frame(mark, (i) => textEvent(mark, i).replace(',"choices"', ',\ndata: "choices"'), 4),
  },
  {
    name: "no-blank",
    body: (mark) => frame(mark, (i) => textEvent(mark, i).replace("data: ", "data:"), 4),
  },
  { name: "no-last-line", body: (mark) => frame(mark, (i) => textEvent(mark, i), 3).slice(0, -1) },
  {
    name: "large-event",
    body: (mark) => frame(mark, (i) => said(mark, i, "w".repeat(300_000)), 2),
  },
];

/** Every shape. */
export const byteIntegrity: Check = {
  name: "bytes",
  title: "Are the bytes that arrive those that were written?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const findings: Tried[] = [];
    for (const shape of SHAPES) findings.push(await tryShape(rig, shape));
    findings.push(...await wholeAnswers(rig), ...await otherPaths(rig));
    const encoded = findings.flatMap((one) => one.encoding ?? []);
    return [encodingFinding(encoded), ...findings.map((one) => one.finding)];
  },
};

/** A finding, and the content coding of the answer; undefined = none. */
interface Tried {
  readonly finding: Finding;
  readonly encoding: string | undefined;
}

/** No request of an audit has `accept-encoding`. What is encoded all the same is decoded and judged. */
function encodingFinding(encoded: readonly string[]): Finding {
  const [first] = encoded;
  return finding("bytes", {
    part: "encoding",
    verdict: first === undefined ? "pass" : "fail",
    limit: "no content-encoding that the client has not asked for",
    measured: first === undefined
      ? "no answer is encoded"
      : `content-encoding: ${first} that nobody asked for, in ${counted(encoded.length, "answer")}`,
    evidence: first === undefined ? [] : [`content-encoding: ${first}`],
    mend:
      "Compress for clients that say accept-encoding, and no event streams: each event has to leave at once.",
  });
}

async function tryShape(rig: Rig, shape: Shape): Promise<Tried> {
  let sent = Buffer.alloc(0);
  const asked = await rig.tell("through", async (attempt: Attempt, mark: string) => {
    sent = Buffer.from(shape.body(mark));
    attempt.write(streamHead());
    let from = 0;
    for (const cut of [...(shape.cuts?.(sent) ?? []), sent.length]) {
      attempt.write(chunk(sent.subarray(from, cut)));
      from = cut;
      if (cut < sent.length) await attempt.pause(SPLIT_PAUSE_MS);
    }
    attempt.write(LAST_CHUNK);
  });
  return judged(rig, shape.name, asked, sent);
}

function judged(rig: Rig, part: string, asked: Asked, sent: Buffer): Tried {
  const { mark, exchange } = asked;
  const comparison = compareEvents(sent, exchange.body, { mark, model: rig.options.model });
  return { finding: judge(part, asked, sent, comparison), encoding: exchange.encoding };
}

function judge(part: string, { exchange }: Asked, sent: Buffer, verdict: Comparison): Finding {
  const got = exchange.body;
  if (exchange.end !== "whole") verdict.fault(`the answer ended ${exchange.end ?? "never"}`);
  const at = firstDifference(sent, got);
  return finding("bytes", {
    part,
    verdict: verdict.kind,
    limit: "no event changed, lost, doubled or out of order",
    measured: verdict.texts.length === 0
      ? `${sent.length} bytes, the same`
      : verdict.texts.join("; "),
    evidence: verdict.kind === "pass" ? [`SHA-256 ${sha(sent)}`] : [
      `sent ${sent.length} bytes, SHA-256 ${sha(sent)}; got ${got.length}, SHA-256 ${sha(got)}`,
      `first difference at byte ${at}`,
      `sent ${shownBytes(sent, Math.max(0, at - 40))}`,
      `got  ${shownBytes(got, Math.max(0, at - 40))}`,
    ],
    mend: verdict.kind === "fail"
      ? "Pass the upstream's bytes on as they are where client and upstream speak one dialect, and parse a copy of them."
      : "It is no fault of an event stream's, but bytes that are passed on untouched cannot be got wrong.",
  });
}

/** What came of a body. Notes become a failure with the first fault. */
export class Comparison {
  kind: Verdict = "pass";
  readonly texts: string[] = [];

  note(text: string): void {
    if (this.kind === "pass") this.kind = "note";
    this.texts.push(text);
  }

  fault(text: string): void {
    this.kind = "fail";
    this.texts.push(text);
  }
}

/** Whose events they are, and what the client calls the model: a gateway may say that name again. */
interface Known {
  readonly mark: string;
  readonly model: string;
}

/** What came of the events that were sent. */
export function compareEvents(sent: Buffer, got: Buffer, known: Known): Comparison {
  const result = new Comparison();
  if (sent.equals(got)) return result;
  const keysOf = (events: readonly SseEvent[]) => events.map((one) => keyOf(one, known.mark));
  const wanted = eventsOf(sent);
  const came = eventsOf(got);
  const wantedKeys = keysOf(wanted);
  const keys = keysOf(came);
  const places = new Map(keys.map((key, i) => [key, i]));
  const lost = wantedKeys.filter((key) => !places.has(key)).length;
  if (lost > 0) result.fault(`${lost} of ${counted(wanted.length, "event")} lost`);
  const doubled = keys.length - new Set(keys).size;
  if (doubled > 0) result.fault(`${counted(doubled, "event")} doubled`);
  const order = wantedKeys.flatMap((key) => places.get(key) ?? []);
  if (order.some((place, i) => i > 0 && place < order[i - 1]!)) result.fault("events out of order");
  const written = new Set(wantedKeys);
  const strange = keys.filter((key) => !written.has(key)).length;
  if (strange > 0) result.fault(`${counted(strange, "event")} that nobody wrote`);
  const changes = wanted.flatMap((one, i) => {
    const place = places.get(wantedKeys[i]!);
    return place === undefined ? [] : changeOf(one, came[place]!, known.model) ?? [];
  });
  const changed = changes.filter(({ isFault }) => isFault);
  if (changed.length > 0) {
    result.fault(`${counted(changed.length, "event")} changed: ${changed[0]!.text}`);
  } else if (changes.length > 0) {
    result.note(`${counted(changes.length, "event")} written anew: ${changes[0]!.text}`);
  }
  const comments = commentsOf(sent) - commentsOf(got);
  if (comments > 0) result.note(`${counted(comments, "comment")} swallowed`);
  if (comments < 0) result.note(`${counted(-comments, "comment")} added`);
  if (result.texts.length === 0) result.note("the same events in other lines");
  return result;
}

/** What an event is found again by. */
function keyOf({ data }: SseEvent, mark: string): string {
  const sequence = sequenceOf(data, mark);
  if (sequence !== undefined) return `text ${sequence}`;
  if (data === "[DONE]") return data;
  // Of Responses and Messages there is one of each type.
  const type = /"type":\s*"([\w.]+)"/.exec(data)?.[1];
  if (type !== undefined) return `type ${type}`;
  return data.includes('"finish_reason":"stop"') || /"finish_reason":\s*"stop"/.test(data)
    ? "finish"
    : data.includes('"role"')
    ? "role"
    : data;
}

interface Change {
  readonly isFault: boolean;
  readonly text: string;
}

/** What an event without a name is. */
const MESSAGE = "message";

/** What differs between an event and what came of it; undefined = nothing does. */
function changeOf(one: SseEvent, other: SseEvent, model: string): Change | undefined {
  if ((one.event || MESSAGE) !== (other.event || MESSAGE)) {
    // Clients that listen for a name do not get what has another.
    return {
      isFault: true,
      text: `event: ${other.event || MESSAGE} instead of ${one.event || MESSAGE}`,
    };
  }
  if (one.id !== other.id) {
    // A reader of this API looks at the data alone.
    return {
      isFault: false,
      text: `id: ${other.id || "none"} instead of ${one.id}, so that Last-Event-ID is another`,
    };
  }
  return one.data === other.data ? undefined : jsonChange(one.data, other.data, model);
}

/** What differs between two spellings of JSON. */
function jsonChange(one: string, other: string, model: string): Change {
  let values: readonly [unknown, unknown];
  try {
    values = [parseExactJson(one), parseExactJson(other)];
  } catch {
    return { isFault: true, text: "its data is no JSON any more" };
  }
  const differences = jsonDifferences(values[1], values[0]);
  // A gateway whose client calls the model otherwise says so in the answer, too.
  const isName = (found: JsonDifference) => found.path === "model" && found.one === model;
  const difference = differences.find((found) => !isName(found));
  if (difference !== undefined) return { isFault: true, text: differenceText(difference) };
  return {
    isFault: false,
    text: differences.length > 0
      ? `its model is the client's name for it, ${differenceText(differences[0]!)}`
      : "its values are the same, its JSON is spelt otherwise",
  };
}

/** Answers that are no stream. */
const WHOLE = [
  {
    name: "json",
    body: (mark: string) => completionJson(mark, "é😀漢 \u2028"),
  },
  {
    name: "json-numbers",
    body: (mark: string) =>
      completionJson(mark, "n").replace(
        /}$/,
        ',"seed":12345678901234567890,"logprob":-0.10000000000000000555,"zero":1.0,"x_weir_audit":{"ключ":[null]}}',
      ),
  },
  {
    name: "json-large",
    body: (mark: string) => completionJson(mark, "w".repeat(1024 * 1024)),
  },
] as const;

function completionJson(mark: string, text: string): string {
  return JSON.stringify({
    id: `chatcmpl-${mark}`,
    object: "chat.completion",
    created: 1_790_000_000,
    model: "audit",
    choices: [{
      index: 0,
      message: { role: "assistant", content: `${mark}.1 ${text}` },
      finish_reason: "stop",
    }],
    usage: { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 },
  });
}

/** Whole JSON answers: their bytes, their numbers, what their head says of them. */
async function wholeAnswers(rig: Rig): Promise<readonly Tried[]> {
  const found: Tried[] = [];
  for (const { name, body } of WHOLE) {
    let sent = Buffer.alloc(0);
    const asked = await rig.tell("through", (attempt, mark) => {
      sent = Buffer.from(body(mark));
      const head = ["content-type: application/json", `content-length: ${sent.length}`];
      attempt.write(Buffer.concat([Buffer.from(headText(200, "OK", head)), sent]));
    }, { body: (mark) => rig.chatBody(mark).replace('"stream":true', '"stream":false') });
    const { exchange } = asked;
    const result = new Comparison();
    const got = exchange.body;
    if (!sent.equals(got)) {
      const change = jsonChange(sent.toString(), got.toString(), rig.options.model);
      if (change.isFault) result.fault(change.text);
      else result.note(change.text);
    }
    const type = exchange.field("content-type") ?? "none";
    if (!/^application\/json\b/i.test(type)) result.fault(`content-type: ${type}`);
    if (exchange.status !== 200) result.fault(`status ${exchange.status || "none"}`);
    found.push({ finding: judge(name, asked, sent, result), encoding: exchange.encoding });
  }
  return found;
}

/** The other ways to ask for text, each with events of its own. */
const PATHS = [
  {
    name: "responses",
    path: "/responses",
    body: (model: string, mark: string) => JSON.stringify({ model, stream: true, input: mark }),
    events: [
      ["response.created", { type: "response.created", response: { id: "resp_1" } }],
      ["response.output_text.delta", { type: "response.output_text.delta", delta: "MARK.1 " }],
      ["response.completed", { type: "response.completed", response: { id: "resp_1" } }],
    ],
  },
  {
    name: "messages",
    path: "/messages",
    body: (model: string, mark: string) =>
      JSON.stringify({
        model,
        stream: true,
        max_tokens: 16,
        messages: [{ role: "user", content: mark }],
      }),
    events: [
      ["message_start", { type: "message_start", message: { id: "msg_1", content: [] } }],
      ["ping", { type: "ping" }],
      ["content_block_delta", {
        type: "content_block_delta",
        index: 0,
        delta: { type: "text_delta", text: "MARK.1 " },
      }],
      ["message_stop", { type: "message_stop" }],
    ],
  },
] as const;

const CHAT_PATH = "/chat/completions";

/** Where the gateway passes Responses and Messages on, their events are compared as well. */
async function otherPaths(rig: Rig): Promise<readonly Tried[]> {
  const own = rig.options.gateway.path;
  if (!own.includes(CHAT_PATH)) return [];
  const found: Tried[] = [];
  for (const { name, path, body, events } of PATHS) {
    let sent = Buffer.alloc(0);
    let isTranslated = false;
    const asked = await rig.tell("through", (attempt, mark) => {
      isTranslated = !attempt.headText.split(" ", 2)[1]!.includes(path);
      if (isTranslated) return answerWhole(attempt, mark);
      sent = Buffer.from(
        events.map(([event, data]) =>
          `event: ${event}\ndata: ${JSON.stringify(data).replace("MARK", mark)}\n\n`
        ).join(""),
      );
      attempt.write(
        Buffer.concat([Buffer.from(streamHead()), chunk(sent), Buffer.from(LAST_CHUNK)]),
      );
    }, {
      path: own.replace(CHAT_PATH, path),
      body: (mark) => body(rig.options.model, mark),
    });
    const { attempts } = asked.expectation;
    if (attempts.length > 0 && !isTranslated) found.push(judged(rig, name, asked, sent));
    else {
      found.push({
        encoding: asked.exchange.encoding,
        finding: finding("bytes", {
          part: name,
          verdict: "pass",
          limit: "no event changed, lost, doubled or out of order",
          measured: isTranslated
            ? "not tried: the gateway makes chat completions of it, so that no bytes can be compared"
            : `not tried: the gateway answers ${asked.exchange.status || "nothing"} by itself`,
          mend: "",
        }),
      });
    }
  }
  return found;
}

function eventsOf(bytes: Buffer): readonly SseEvent[] {
  return new SseParser(64 * 1024 * 1024).feed(bytes);
}

function commentsOf(bytes: Buffer): number {
  return bytes.toString("latin1").split(/\r\n|\r|\n/).filter((line) => line.startsWith(":")).length;
}

function sha(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

function firstDifference(one: Buffer, other: Buffer): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return i;
  return length;
}

/** Role, `count` events of `text`, finish, end mark. */
function frame(mark: string, text: (sequence: number) => string, count: number): string {
  const texts = Array.from({ length: count }, (_, i) => text(i + 1));
  return roleEvent(mark) + texts.join("") + finishEvent(mark) + DONE;
}

function said(mark: string, sequence: number, text: string): string {
  return event(chunkJson(mark, { delta: { content: `${mark}.${sequence} ${text}` } }));
}

/** Inside every character of several bytes, inside `data:`, and between CR and LF. */
function splits(body: Buffer): readonly number[] {
  const cuts: number[] = [];
  for (let i = 1; i < body.length; i++) {
    const isInside = (body[i]! & 0xc0) === 0x80;
    const isInCrLf = body[i - 1] === 0x0d && body[i] === 0x0a;
    const isInField = body.subarray(i - 2, i + 3).equals(Buffer.from("data:"));
    if (isInside || isInCrLf || isInField) cuts.push(i);
  }
  return cuts;
}
