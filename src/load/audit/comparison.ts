/**
 * What came of a body that the upstream has written: the same bytes, the same values, or others.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { parseExactJson } from "../../lib/exact_json.ts";
import {
  differenceText,
  type JsonDifference,
  jsonDifferences,
} from "../../lib/json_differences.ts";
import { type SseEvent, SseParser } from "../../lib/sse.ts";
import type { Finding, Verdict } from "./finding.ts";
import { counted } from "../../lib/counted.ts";
import { type Asked, finding, type Rig, shownBytes } from "./rig.ts";
import { sequenceOf } from "./stream.ts";

/** A finding, and the content coding of the answer; undefined = none. */
export interface Tried {
  readonly finding: Finding;
  readonly encoding: string | undefined;
}

/** A finding on a stream: what came of the events that were sent. */
export function judged(rig: Rig, part: string, asked: Asked, sent: Buffer): Tried {
  const { mark, exchange } = asked;
  const comparison = compareEvents(sent, exchange.body, { mark, model: rig.options.model });
  return { finding: judge(part, asked, sent, comparison), encoding: exchange.encoding };
}

/** A finding on a body whose comparison is `verdict`. */
export function judge(
  part: string,
  { exchange }: Asked,
  sent: Buffer,
  verdict: Comparison,
): Finding {
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

function sha(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

function firstDifference(one: Buffer, other: Buffer): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return i;
  return length;
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
export interface Known {
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

export interface Change {
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
export function jsonChange(one: string, other: string, model: string): Change {
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

function eventsOf(bytes: Buffer): readonly SseEvent[] {
  return new SseParser(64 * 1024 * 1024).feed(bytes);
}

function commentsOf(bytes: Buffer): number {
  return bytes.toString("latin1").split(/\r\n|\r|\n/).filter((line) => line.startsWith(":")).length;
}
