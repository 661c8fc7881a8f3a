/**
 * A handful of streams of a run, each with the times of its events: the fastest, a typical one, the
 * slowest, the one with the latest first token, the one with the longest pause, and some that failed.
 * What is held does not grow with the run: a record is copied when it replaces one that was kept.
 *
 * @module
 */

import { eventMs, isOnePiece, type Outcome, type RequestRecord, TOKENS } from "./record.ts";

/** Why a stream was kept. */
export type KeptAs = "fastest" | "typical" | "slowest" | "late" | "pause" | "failed";

/** A stream. Milliseconds since it was due; null = it did not happen. */
export interface KeptStream {
  readonly why: readonly KeptAs[];
  readonly number: number;
  readonly outcome: Outcome;
  /** null = there was no head. */
  readonly status: number | null;
  /** "" unless it failed. */
  readonly failure: string;
  readonly sent: number | null;
  readonly connected: number | null;
  readonly head: number | null;
  readonly end: number | null;
  readonly first_token: number | null;
  /** Where its longest gap between two events with tokens begins and ends. */
  readonly pause: readonly [from: number, to: number] | null;
  /** Of all its events; those that are kept may be fewer. */
  readonly events: number;
  readonly token_events: number;
  readonly event_ms: readonly number[];
  /** Bits of `KIND`. */
  readonly event_kinds: readonly number[];
}

/** Events of one stream that are kept: of more, those at even steps and at both ends of the pause. */
export const EVENTS_KEPT = 600;
/** Streams drawn by chance, of which the typical one is taken. */
const DRAWN = 32;
/** Failures with different words that are kept. */
const FAILED_KEPT = 3;

/** Watches the records of a stage. */
export class StreamKeeper {
  readonly #random: () => number;
  readonly #drawn: Held[] = [];
  readonly #failed = new Map<string, Held>();
  #answered = 0;
  readonly #fastest = new Held();
  readonly #slowest = new Held();
  readonly #late = new Held();
  readonly #pause = new Held();
  #leastMs = Infinity;
  #mostMs = -Infinity;
  #lateMs = -Infinity;
  #pauseMs = -Infinity;

  /** `random` draws the typical ones: the same one gives the same streams. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Looks at a record, and keeps nothing of it but a copy. */
  observe(record: RequestRecord): void {
    if (record.isWarmup) return;
    if (record.outcome === "failed") this.#fail(record);
    if (record.outcome !== "completed") return;
    const { dueMs, endMs } = record;
    const facts = tokenFacts(record);
    const tookMs = endMs - dueMs;
    const lateMs = facts.firstMs - dueMs;
    const pauseMs = facts.toMs - facts.fromMs;
    if (tookMs < this.#leastMs) {
      this.#leastMs = tookMs;
      this.#fastest.take(record, facts);
    }
    if (tookMs > this.#mostMs) {
      this.#mostMs = tookMs;
      this.#slowest.take(record, facts);
    }
    if (lateMs > this.#lateMs) {
      this.#lateMs = lateMs;
      this.#late.take(record, facts);
    }
    if (pauseMs > this.#pauseMs) {
      this.#pauseMs = pauseMs;
      this.#pause.take(record, facts);
    }
    const seen = this.#answered++;
    const at = seen < DRAWN ? seen : Math.floor(this.#random() * (seen + 1));
    if (at < DRAWN) (this.#drawn[at] ??= new Held()).take(record, facts);
  }

  /** All that may be worth showing, of which `chosen` takes some. */
  kept(): readonly KeptStream[] {
    const best = [this.#fastest, this.#slowest, this.#late, this.#pause];
    const all = [...best, ...this.#drawn, ...this.#failed.values()];
    return all.filter(({ isTaken }) => isTaken).map((held) => held.stream());
  }

  #fail(record: RequestRecord): void {
    const key = wordsOf(record);
    if (this.#failed.size >= FAILED_KEPT || this.#failed.has(key)) return;
    const held = new Held();
    held.take(record, tokenFacts(record));
    this.#failed.set(key, held);
  }
}

/** A place for a copy: where each stream is slower than the one before, each is copied. */
class Held {
  isTaken = false;
  #record: Omit<KeptStream, "event_ms" | "event_kinds"> | undefined;
  #count = 0;
  readonly #ms = new Float64Array(EVENTS_KEPT);
  readonly #kinds = new Uint16Array(EVENTS_KEPT);

  take(record: RequestRecord, facts: TokenFacts): void {
    const { dueMs, events, status } = record;
    this.isTaken = true;
    this.#record = {
      why: [],
      number: record.number,
      outcome: record.outcome,
      status: status === 0 ? null : status,
      failure: wordsOf(record),
      sent: since(record.sentMs, dueMs),
      connected: since(record.connectedMs, dueMs),
      head: since(record.headMs, dueMs),
      end: since(record.endMs, dueMs),
      first_token: since(facts.firstMs, dueMs),
      pause: facts.from < 0 ? null : [since(facts.fromMs, dueMs)!, since(facts.toMs, dueMs)!],
      events,
      token_events: facts.count,
    };
    this.#count = 0;
    if (events <= EVENTS_KEPT) { for (let at = 0; at < events; at++) this.#event(record, at); }
    else for (const at of placesOf(events, facts)) this.#event(record, at);
  }

  stream(): KeptStream {
    const ms = this.#ms.subarray(0, this.#count);
    return {
      ...this.#record!,
      event_ms: Array.from(ms, (at) => Math.round(1000 * at) / 1000),
      event_kinds: [...this.#kinds.subarray(0, this.#count)],
    };
  }

  #event(record: RequestRecord, at: number): void {
    this.#ms[this.#count] = eventMs(record, at) - record.dueMs;
    this.#kinds[this.#count++] = record.eventKinds[at]!;
  }
}

/** To a microsecond; null = it did not happen. */
function since(ms: number, startMs: number): number | null {
  return Number.isNaN(ms) ? null : Math.round(1000 * (ms - startMs)) / 1000;
}

/**
 * Those of `streams` that are worth showing, each once with all that it was chosen for, the fastest
 * first and failures last.
 */
export function chosen(
  streams: readonly KeptStream[],
  medianMs: number | undefined,
): readonly KeptStream[] {
  const answered = streams.filter(({ outcome }) => outcome === "completed");
  const failed = streams.filter(({ outcome }) => outcome === "failed");
  const best = (score: (stream: KeptStream) => number | null) =>
    answered.reduce<KeptStream | undefined>((found, one) => {
      const value = score(one);
      if (value === null) return found;
      return found === undefined || value > score(found)! ? one : found;
    }, undefined);
  const typical = medianMs === undefined
    ? undefined
    : best(({ end }) => -Math.abs(end! - medianMs));
  const picks = [
    [best(({ end }) => -end!), "fastest"],
    [typical, "typical"],
    [best(({ end }) => end), "slowest"],
    [best(({ first_token }) => first_token), "late"],
    [best(({ pause }) => pause === null ? null : pause[1] - pause[0]), "pause"],
    ...[...new Map(failed.map((one) => [one.failure, one])).values()].slice(0, FAILED_KEPT)
      .map((one) => [one, "failed"] as const),
  ] as const;
  const why = new Map<KeptStream, KeptAs[]>();
  for (const [stream, reason] of picks) {
    if (stream === undefined) continue;
    why.set(stream, [...why.get(stream) ?? [], reason]);
  }
  return [...why].map(([stream, reasons]) => ({ ...stream, why: reasons }));
}

/** NaN where there is no such thing. */
interface TokenFacts {
  readonly count: number;
  readonly firstMs: number;
  /** The longest gap, and the events it lies between. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly from: number;
  readonly to: number;
}

function tokenFacts(record: RequestRecord): TokenFacts {
  const { events, eventKinds, eventRead, readMs } = record;
  let count = 0;
  let firstMs = NaN;
  let beforeMs = NaN;
  let before = -1;
  let from = -1;
  let to = -1;
  let longestMs = -1;
  for (let i = 0; i < events; i++) {
    if ((eventKinds[i]! & TOKENS) === 0) continue;
    const ms = readMs[eventRead[i]!]!;
    if (count++ === 0) firstMs = isOnePiece(record) ? NaN : ms;
    else if (ms - beforeMs > longestMs) {
      longestMs = ms - beforeMs;
      from = before;
      to = i;
    }
    beforeMs = ms;
    before = i;
  }
  const at = (event: number) => event < 0 ? NaN : eventMs(record, event);
  return { count, firstMs, fromMs: at(from), toMs: at(to), from, to };
}

/** Of more events than are kept: as many at even steps, the last and those of the pause among them. */
function placesOf(events: number, { from, to }: TokenFacts): readonly number[] {
  const step = (events - 1) / (EVENTS_KEPT - 3);
  const even = Array.from({ length: EVENTS_KEPT - 2 }, (_, at) => Math.round(at * step));
  const pause = [from, to].filter((at) => at >= 0);
  return [...new Set([...even, ...pause])].sort((a, b) => a - b);
}

/** "head, status 503: full" */
function wordsOf({ failure }: RequestRecord): string {
  if (failure === undefined) return "";
  const { phase, status, text } = failure;
  return `${phase}${status === undefined ? "" : `, status ${status}`}: ${text}`;
}
