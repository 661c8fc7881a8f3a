/**
 * Whether the client gets the bytes that the upstream has written, under every shape that events may
 * have and wherever its writes end.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { parseExactJson } from "../../../lib/exact_json.ts";
import { differenceText, jsonDifferences } from "../../../lib/json_differences.ts";
import { type SseEvent, SseParser } from "../../../lib/sse.ts";
import type { Finding, Verdict } from "../finding.ts";
import { type Asked, type Check, finding, type Rig, shownBytes } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  chunkJson,
  DONE,
  event,
  finishEvent,
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
    const findings: Finding[] = [];
    for (const shape of SHAPES) findings.push(await tryShape(rig, shape));
    return findings;
  },
};

async function tryShape(rig: Rig, shape: Shape): Promise<Finding> {
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
  return judge(shape.name, asked, sent);
}

function judge(part: string, { mark, exchange }: Asked, sent: Buffer): Finding {
  const got = exchange.body;
  const verdict = compare(sent, got, mark);
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
class Comparison {
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

function compare(sent: Buffer, got: Buffer, mark: string): Comparison {
  const result = new Comparison();
  if (sent.equals(got)) return result;
  const wanted = eventsOf(sent);
  const came = eventsOf(got);
  const places = new Map(came.map((one, i) => [keyOf(one, mark), i]));
  const lost = wanted.filter((one) => !places.has(keyOf(one, mark)));
  if (lost.length > 0) result.fault(`${lost.length} of ${wanted.length} events lost`);
  const keys = came.map((one) => keyOf(one, mark));
  const doubled = keys.length - new Set(keys).size;
  if (doubled > 0) result.fault(`${doubled} events doubled`);
  const order = wanted.flatMap((one) => places.get(keyOf(one, mark)) ?? []);
  if (order.some((place, i) => i > 0 && place < order[i - 1]!)) result.fault("events out of order");
  const known = new Set(wanted.map((one) => keyOf(one, mark)));
  const strange = keys.filter((key) => !known.has(key)).length;
  if (strange > 0) result.fault(`${strange} events that nobody wrote`);
  const changes = wanted.flatMap((one) => {
    const place = places.get(keyOf(one, mark));
    return place === undefined ? [] : changeOf(one, came[place]!) ?? [];
  });
  const changed = changes.filter(({ isFault }) => isFault);
  if (changed.length > 0) {
    result.fault(`${changed.length} events changed: ${changed[0]!.text}`);
  } else if (changes.length > 0) {
    result.note(`${changes.length} events written anew: ${changes[0]!.text}`);
  }
  const comments = commentsOf(sent) - commentsOf(got);
  if (comments > 0) result.note(`${comments} comments swallowed`);
  if (result.texts.length === 0) result.note("the same events in other lines");
  return result;
}

/** What an event is found again by. */
function keyOf({ data }: SseEvent, mark: string): string {
  const sequence = sequenceOf(data, mark);
  if (sequence !== undefined) return `text ${sequence}`;
  if (data === "[DONE]") return data;
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

/** What differs between an event and what came of it; undefined = nothing does. */
function changeOf(one: SseEvent, other: SseEvent): Change | undefined {
  if (one.event !== other.event || one.id !== other.id) {
    // A reader of this API looks at the data alone.
    return { isFault: false, text: `event "${one.event}", id "${one.id}" not kept` };
  }
  if (one.data === other.data) return undefined;
  let values: readonly [unknown, unknown];
  try {
    values = [parseExactJson(one.data), parseExactJson(other.data)];
  } catch {
    return { isFault: true, text: "its data is no JSON any more" };
  }
  const [difference] = jsonDifferences(values[1], values[0], 1);
  if (difference !== undefined) return { isFault: true, text: differenceText(difference) };
  return { isFault: false, text: "its values are the same, its JSON is spelt otherwise" };
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
