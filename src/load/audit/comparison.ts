/**
 * What came of a body that the upstream has written: the same bytes, the same values, or others.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { parseExactJson } from "../../lib/exact_json.ts";
import {
  commonStart,
  differenceText,
  type JsonDifference,
  jsonDifferences,
} from "../../lib/json_differences.ts";
import { type SseEvent, SseParser } from "../../lib/sse.ts";
import type { Finding, Verdict } from "./finding.ts";
import { counted } from "../../lib/counted.ts";
import { ownAnswer } from "./own_answer.ts";
import { type ClientExchange, END_TEXTS } from "./probe_client.ts";
import { type Asked, finding, shownBytes, timeline } from "./rig.ts";
import { sequenceOf } from "./stream.ts";

/** What holds of every body. */
export const LIMIT = "no event changed, lost, doubled or out of order";

/** A finding, and the answer that it is of. */
export interface Tried {
  readonly finding: Finding;
  readonly exchange: ClientExchange;
  /** Undefined where nothing could be compared. */
  readonly compared?: Compared;
}

/** What was compared. */
export interface Compared {
  /** What the upstream said that it is. */
  readonly type: "text/event-stream" | "application/json";
  /** The model's name in the answer, and the one that the upstream had written; undefined = the same. */
  readonly renamed: string | undefined;
}

/** What `bytes` says of an answer that the upstream has not written; undefined = it has. */
export function unwritten(part: string, asked: Asked): Tried | undefined {
  const own = ownAnswer(asked);
  if (own === undefined) return undefined;
  return {
    exchange: asked.exchange,
    finding: finding("bytes", {
      part,
      verdict: own.kind === "busy" ? "void" : "fail",
      limit: LIMIT,
      measured: own.measured,
      evidence: timeline(asked),
      mend: own.mend,
    }),
  };
}

/** A finding on a stream: what came of the events that were sent. */
export function judged(part: string, asked: Asked, sent: Buffer): Tried {
  const { mark, exchange } = asked;
  const none = unwritten(part, asked);
  if (none !== undefined) return none;
  const comparison = compareEvents(sent, exchange.body, mark);
  return {
    finding: judge(part, asked, sent, comparison),
    exchange,
    compared: { type: "text/event-stream", renamed: comparison.renamed },
  };
}

/** A finding on a body whose comparison is `verdict`. */
export function judge(
  part: string,
  { exchange }: Asked,
  sent: Buffer,
  verdict: Comparison,
): Finding {
  const got = exchange.body;
  if (exchange.status !== 200) verdict.fault(`status ${exchange.status || "none"}`);
  if (exchange.end !== "whole") verdict.fault(END_TEXTS[exchange.end ?? "left"]);
  const at = firstDifference(sent, got);
  return finding("bytes", {
    part,
    verdict: verdict.kind,
    limit: LIMIT,
    measured: verdict.texts.length > 0
      ? verdict.texts.join("; ")
      : verdict.renamed === undefined
      ? `${sent.length} bytes, the same`
      : "the same, but for the model's name",
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
  /** What the model's name is, where it is another one: told once for all answers. */
  renamed: string | undefined;

  note(text: string): void {
    if (this.kind === "pass") this.kind = "note";
    this.texts.push(text);
  }

  fault(text: string): void {
    this.kind = "fail";
    this.texts.push(text);
  }

  /** What came of events. */
  takeChanges(changes: readonly Change[]): void {
    const all = (kind: Change["kind"]) => changes.filter((one) => one.kind === kind);
    const [changed, respelt] = [all("changed"), all("respelt")];
    if (changed.length > 0) {
      this.fault(`${counted(changed.length, "event")} changed: ${changed[0]!.text}`);
    } else if (respelt.length > 0) {
      this.note(`${counted(respelt.length, "event")} written anew: ${respelt[0]!.text}`);
    }
    this.renamed ??= all("renamed")[0]?.text;
  }
}

/** What came of the events that were sent, whose mark is `mark`. */
export function compareEvents(sent: Buffer, got: Buffer, mark: string): Comparison {
  const result = new Comparison();
  if (sent.equals(got)) return result;
  const wanted = eventsOf(sent);
  const came = eventsOf(got);
  const wantedKeys = keysOf(wanted, mark);
  const keys = foundAgain(keysOf(came, mark), wantedKeys);
  const places = new Map(keys.map(({ key }, i) => [key, i]));
  const lost = wantedKeys.filter(({ key }) => !places.has(key)).length;
  if (lost > 0) result.fault(`${lost} of ${counted(wanted.length, "event")} lost`);
  const written = new Set(wantedKeys.flatMap(({ key, kind }) => [key, kind]));
  const more = keys.filter(({ key }) => !written.has(key));
  const doubled = more.filter(({ kind }) => written.has(kind)).length;
  if (doubled > 0) result.fault(`${counted(doubled, "event")} doubled`);
  // Of equal events nobody can say which one is missing, and where.
  const [wantedCounts, counts] = [countsOf(wantedKeys), countsOf(keys)];
  const order = wantedKeys.filter(({ kind }) => wantedCounts.get(kind) === counts.get(kind))
    .flatMap(({ key }) => places.get(key) ?? []);
  if (order.some((place, i) => i > 0 && place < order[i - 1]!)) result.fault("events out of order");
  const strange = more.length - doubled;
  if (strange > 0) result.fault(`${counted(strange, "event")} that nobody wrote`);
  const changes = wanted.flatMap((one, i) => {
    const place = places.get(wantedKeys[i]!.key);
    return place === undefined ? [] : changeOf(one, came[place]!) ?? [];
  });
  result.takeChanges(changes);
  const comments = commentsOf(sent) - commentsOf(got);
  if (comments > 0) result.note(`${counted(comments, "comment")} swallowed`);
  if (comments < 0) result.note(`${counted(-comments, "comment")} added`);
  if (result.texts.length === 0 && result.renamed === undefined) {
    result.note("the same events in other lines");
  }
  return result;
}

/** What an event is found again by: what it is, and how many of these were before. */
interface EventKey {
  readonly kind: string;
  readonly key: string;
}

function keysOf(events: readonly SseEvent[], mark: string): readonly EventKey[] {
  const counts = new Map<string, number>();
  return events.map((event) => {
    const kind = kindOf(event, mark);
    return { kind, key: `${addOne(counts, kind)} ${kind}` };
  });
}

/** How many there are of each kind. */
function countsOf(keys: readonly EventKey[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { kind } of keys) addOne(counts, kind);
  return counts;
}

/** One more of `kind`: how many there are now. */
function addOne(counts: Map<string, number>, kind: string): number {
  const count = (counts.get(kind) ?? 0) + 1;
  counts.set(kind, count);
  return count;
}

/** Where as many came as were wanted, what stands in the place of one that is missing is that one. */
function foundAgain(
  came: readonly EventKey[],
  wanted: readonly EventKey[],
): readonly EventKey[] {
  if (came.length !== wanted.length) return came;
  const [cameSet, wantedSet] = [came, wanted].map((keys) => new Set(keys.map(({ key }) => key)));
  return came.map((one, i) =>
    wantedSet!.has(one.key) || cameSet!.has(wanted[i]!.key) ? one : wanted[i]!
  );
}

function kindOf({ data }: SseEvent, mark: string): string {
  const sequence = sequenceOf(data, mark);
  if (sequence !== undefined) return `text ${sequence}`;
  if (data === "[DONE]") return data;
  // What Responses and Messages say besides the pieces of texts and calls.
  const type = /"type":\s*"(\w+[._][\w.]+)"/.exec(data)?.[1];
  if (type !== undefined && !type.endsWith("delta")) return `type ${type}`;
  if (/"finish_reason":\s*"/.test(data)) return "finish";
  return data.includes('"role"') ? "role" : canonical(data);
}

/** JSON however it is spelt and whatever its model is called. */
function canonical(data: string): string {
  try {
    return JSON.stringify(
      { ...JSON.parse(data), model: "" },
      (_, value: unknown) =>
        typeof value === "object" && value !== null && !Array.isArray(value)
          ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => one < other ? -1 : 1))
          : value,
    );
  } catch {
    return data;
  }
}

/** What came of an event or a body. `renamed`: its model is called otherwise, and nothing else is. */
export interface Change {
  readonly kind: "changed" | "respelt" | "renamed";
  readonly text: string;
}

/** What an event without a name is. */
const MESSAGE = "message";

/** What differs between an event and what came of it; undefined = nothing does. */
function changeOf(one: SseEvent, other: SseEvent): Change | undefined {
  if ((one.event || MESSAGE) !== (other.event || MESSAGE)) {
    // Clients that listen for a name do not get what has another.
    return {
      kind: "changed",
      text: `event: ${other.event || MESSAGE} instead of ${one.event || MESSAGE}`,
    };
  }
  if (one.id !== other.id) {
    // A reader of this API looks at the data alone.
    return {
      kind: "respelt",
      text: `id: ${other.id || "none"} instead of ${one.id}, so that Last-Event-ID is another`,
    };
  }
  return one.data === other.data ? undefined : jsonChange(one.data, other.data);
}

/** Where an answer names its model: in chats, Responses, Messages. */
const MODEL_PATH = /^(?:(?:response|message)\.)?model$/;

/** What differs between two spellings of JSON. */
export function jsonChange(one: string, other: string): Change {
  let values: readonly [unknown, unknown];
  try {
    values = [parseExactJson(one), parseExactJson(other)];
  } catch {
    return { kind: "changed", text: "its data is no JSON any more" };
  }
  const differences = jsonDifferences(values[1], values[0]);
  const difference = differences.find((found) => !isRenamed(found));
  if (difference !== undefined) {
    return { kind: "changed", text: changeText(difference) };
  }
  const [name] = differences;
  if (name !== undefined) return { kind: "renamed", text: differenceText(name) };
  return { kind: "respelt", text: "its values are the same, its JSON is spelt otherwise" };
}

/** A difference as `differenceText` says it, with what of it cannot be seen. */
export function changeText(difference: JsonDifference): string {
  return differenceText(difference) + charactersText(difference);
}

/** The characters at which two texts part, where that cannot be seen: a composed "é" and another one. */
function charactersText({ one, other }: JsonDifference): string {
  if (typeof one !== "string" || typeof other !== "string") return "";
  const at = commonStart(one, other);
  const codes = [one, other].map((text) => text.codePointAt(at));
  if (codes.every((code) => code === undefined || code < 0x7f)) return "";
  const [came, wanted] = codes.map((code) =>
    code === undefined ? "nothing" : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`
  );
  return ` (${came} instead of ${wanted})`;
}

/** The model is called otherwise, as a gateway's configuration may say. */
export function isRenamed({ path, one, other }: JsonDifference): boolean {
  return MODEL_PATH.test(path) && typeof one === "string" && one !== "" &&
    typeof other === "string";
}

function eventsOf(bytes: Buffer): readonly SseEvent[] {
  return new SseParser(64 * 1024 * 1024).feed(bytes);
}

function commentsOf(bytes: Buffer): number {
  return bytes.toString("latin1").split(/\r\n|\r|\n/).filter((line) => line.startsWith(":")).length;
}
