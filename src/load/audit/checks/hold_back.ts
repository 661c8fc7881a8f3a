/**
 * Whether bytes are held back until more have come, and how many release them.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { bytesText, ms } from "../numbers.ts";
import type { BodyRead } from "../probe_client.ts";
import { type Check, finding, type Rig, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { chunk, DONE, endBody, finishEvent, streamHead } from "../stream.ts";
import { endFinding, type HeldPiece, heldPieces, isHeld, LATE_MS_MAX } from "./hold_back_end.ts";

/** Of the first event; 0 = the head alone. */
const SIZES = [0, 10, 100, 1024, 4096, 16_384, 65_536] as const;
/** The upstream is silent so long behind it. */
const SILENCE_MS = 2000;
/** What is held once may be the machine's doing; what is held each time is not. */
const TRIES = 3;

interface Held {
  readonly size: number;
  /** From the write to the read of all of it; Infinity = it did not come while there was silence. */
  readonly lateMs: number;
  /** True when the machine itself was late meanwhile, so that this says nothing. */
  readonly isMachine: boolean;
  readonly lines: readonly string[];
}

/** The smallest event that passes at once, and what an answer ends with. */
export const holdBack: Check = {
  name: "hold-back",
  title: "Is an event held back until more bytes have come?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const best = new Map<number, Held>();
    const ends = new Map<string, HeldPiece>();
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const sizes = SIZES.filter((size) => !best.has(size) || isHeld(best.get(size)!));
      const isEndOpen = attempt === 0 || [...ends.values()].some(isHeld);
      const [events, pieces] = await Promise.all([
        Promise.all(sizes.map((size) => hold(rig, size))),
        isEndOpen ? heldPieces(rig) : [],
      ]);
      for (const held of events) keepBest(best, held.size, held);
      for (const piece of pieces) keepBest(ends, piece.name, piece);
    }
    const all = SIZES.map((size) => best.get(size)!);
    const [head, ...events] = all;
    return [headFinding(head!), eventFinding(events), endFinding([...ends.values()])];
  },
};

/** `one` in place of what came later. */
function keepBest<Key, One extends { readonly lateMs: number }>(
  best: Map<Key, One>,
  key: Key,
  one: One,
): void {
  const before = best.get(key);
  if (before === undefined || one.lateMs < before.lateMs) best.set(key, one);
}

function headFinding(head: Held): Finding {
  return finding("hold-back", {
    part: "head",
    // Who has sent no head yet can still ask another upstream or give a true status.
    verdict: !isHeld(head) ? "pass" : head.isMachine ? "void" : "note",
    limit: `the head alone comes within ${LATE_MS_MAX} ms`,
    measured: isHeld(head) ? "the head waits for the first event" : lateText(head.lateMs),
    value: finite(head.lateMs),
    unit: "ms",
    evidence: head.lines,
    mend:
      "No event is later for it, and a gateway that waits can still ask again; but no keep-alive can go before the head, and a client's timeout for it runs on.",
  });
}

function eventFinding(events: readonly Held[]): Finding {
  const held = events.filter(isHeld);
  // The size from which on nothing is held.
  const released = events.findLast((one, i) =>
    !held.includes(one) && (i === 0 || held.includes(events[i - 1]!))
  );
  const [smallest] = events;
  return finding("hold-back", {
    part: "event",
    verdict: held.some(({ isMachine }) => !isMachine) ? "fail" : held.length > 0 ? "void" : "pass",
    limit: `one event comes within ${LATE_MS_MAX} ms, whatever its size`,
    measured: held.length === 0
      ? `each of ${events.length} sizes passes, the smallest after ${ms(smallest!.lateMs)}`
      : held.length === events.length
      ? `none of ${events.length} sizes up to ${bytesText(events.at(-1)!.size)} passes during ${
        SILENCE_MS / 1000
      } s of silence`
      : `held: ${sizesText(held)}; passed at once: ${
        sizesText(events.filter((one) => !held.includes(one)))
      }`,
    value: held.includes(events.at(-1)!) ? undefined : released?.size,
    unit: "bytes",
    evidence: [
      ...events.map(({ size, lateMs }) => `an event of ${bytesText(size)}: ${lateText(lateMs)}`),
      ...(held[0]?.lines ?? []),
    ],
    mend:
      "Switch the buffering of responses off for event streams (nginx: proxy_buffering off, or let the upstream send X-Accel-Buffering: no).",
  });
}

function sizesText(events: readonly Held[]): string {
  return events.map(({ size }) => bytesText(size)).join(", ");
}

async function hold(rig: Rig, size: number): Promise<Held> {
  let wroteMs = 0;
  const asked = await rig.tell("through", async (attempt: Attempt, mark: string) => {
    const body = size === 0 ? Buffer.alloc(0) : chunk(eventOf(size));
    wroteMs = performance.now();
    attempt.write(Buffer.concat([Buffer.from(streamHead()), body]));
    await attempt.pause(SILENCE_MS);
    endBody(attempt, finishEvent(mark) + DONE);
  }, { timeoutMs: SILENCE_MS + 5000, mayStay: true });
  const { exchange } = asked;
  const readMs = size === 0 ? exchange.headMs : bodyMs(exchange.bodies(), size);
  const lateMs = readMs === undefined ? Infinity : readMs - wroteMs;
  const isSilent = lateMs >= SILENCE_MS - LATE_MS_MAX;
  return {
    size,
    lateMs: isSilent ? Infinity : lateMs,
    isMachine: !isSilent && rig.watch.worst(wroteMs, readMs ?? wroteMs) > LATE_MS_MAX / 2,
    lines: timeline(asked),
  };
}

/** When the body had `size` bytes. */
function bodyMs(reads: readonly BodyRead[], size: number): number | undefined {
  let length = 0;
  return reads.find(({ body }) => (length += body.length) >= size)?.atMs;
}

/** An event of exactly `size` bytes: `data: {}` and a blank line are ten. */
function eventOf(size: number): string {
  const empty = 'data: {"p":""}\n\n';
  if (size < empty.length) return "data: {}\n\n";
  return `data: {"p":"${"p".repeat(size - empty.length)}"}\n\n`;
}

function lateText(lateMs: number): string {
  return Number.isFinite(lateMs)
    ? `came ${ms(lateMs)} after it was written`
    : "did not come in time";
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
