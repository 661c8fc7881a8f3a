/**
 * Whether the end of an answer is held back: the last events of a stream, `[DONE]`, and the end of
 * the body, however that is told.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { ms } from "../numbers.ts";
import { type Asked, finding, type Rig, timeline } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  completionJson,
  DONE,
  finishEvent,
  headText,
  LAST_CHUNK,
  roleEvent,
  STREAM_FIELDS,
  streamHead,
  usageEvent,
  wholeBody,
} from "../stream.ts";

/** Between two pieces of an answer. */
const GAP_MS = 400;
/** Of what is written behind a silence. */
export const LATE_MS_MAX = 50;
const ANSWER_MS_MAX = 10_000;

/** In place of bytes: the connection is closed. */
const CLOSE = "close";

/** One of the pieces that an answer ends with, each written on its own. */
interface Piece {
  readonly name: string;
  readonly bytes: (mark: string) => Uint8Array | typeof CLOSE;
  /** True of the data of its event; undefined = the answer ends with it. */
  readonly isEvent?: (data: string) => boolean;
}

/** An answer, and how it is asked for. */
interface Ending {
  readonly body: (rig: Rig, mark: string) => string;
  /** What comes first. */
  readonly start: (mark: string) => Uint8Array | string;
  readonly pieces: readonly Piece[];
}

const JSON_TYPE = "content-type: application/json";

/** Each way in which a body ends. */
const ENDINGS: readonly Ending[] = [
  {
    body: (rig, mark) =>
      JSON.stringify({
        ...JSON.parse(rig.chatBody(mark)),
        stream_options: { include_usage: true },
      }),
    start: (mark) => Buffer.concat([Buffer.from(streamHead()), chunk(roleEvent(mark))]),
    pieces: [
      {
        name: "the finish event",
        bytes: (mark) => chunk(finishEvent(mark)),
        isEvent: (data) => /"finish_reason":\s*"/.test(data),
      },
      {
        name: "the usage event",
        bytes: (mark) => chunk(usageEvent(mark)),
        // Asked for, so that no gateway may keep it.
        isEvent: (data) => /"usage":\s*\{/.test(data),
      },
      { name: "[DONE]", bytes: () => chunk(DONE), isEvent: (data) => data === "[DONE]" },
      { name: "the last chunk", bytes: () => Buffer.from(LAST_CHUNK) },
    ],
  },
  {
    body: (rig, mark) => rig.jsonBody(mark),
    start: (mark) =>
      Buffer.concat([
        Buffer.from(headText(200, "OK", [JSON_TYPE, "transfer-encoding: chunked"])),
        chunk(completionJson(mark, "short")),
      ]),
    pieces: [{ name: "the last chunk of a JSON answer", bytes: () => Buffer.from(LAST_CHUNK) }],
  },
  {
    body: (rig, mark) => rig.jsonBody(mark),
    start(mark) {
      const json = completionJson(mark, "short");
      return headText(200, "OK", [JSON_TYPE, `content-length: ${json.length}`]) + json.slice(0, -1);
    },
    pieces: [{ name: "the last byte of a JSON answer", bytes: () => Buffer.from("}") }],
  },
  {
    body: (rig, mark) => rig.chatBody(mark),
    start: (mark) =>
      headText(200, "OK", [...STREAM_FIELDS, "connection: close"]) + wholeBody(mark, 1),
    pieces: [{ name: "the end of a body that ends with its connection", bytes: () => CLOSE }],
  },
];

/** One piece of an answer. */
export interface HeldPiece {
  readonly name: string;
  /** From its write to its read; Infinity = the answer had no end. */
  readonly lateMs: number;
  /** True when the machine itself was late meanwhile, so that this says nothing. */
  readonly isMachine: boolean;
  readonly lines: readonly string[];
}

/** Asks for each ending once. What did not come at all is for other checks to tell. */
export async function heldPieces(rig: Rig): Promise<readonly HeldPiece[]> {
  return (await Promise.all(ENDINGS.map((ending) => heldOf(rig, ending)))).flat();
}

async function heldOf(rig: Rig, { body, start, pieces }: Ending): Promise<readonly HeldPiece[]> {
  const wroteMs = new Map<Piece, number>();
  const asked = await rig.tell("through", async (attempt: Attempt, mark: string) => {
    attempt.write(start(mark));
    for (const piece of pieces) {
      if (!await attempt.pause(GAP_MS)) return;
      const bytes = piece.bytes(mark);
      wroteMs.set(piece, performance.now());
      if (bytes === CLOSE) await attempt.cut();
      else attempt.write(bytes);
    }
  }, { body: (mark) => body(rig, mark), timeoutMs: ANSWER_MS_MAX, mayStay: true });
  // The gateway keeps no more connections than it did, and no later request meets their end.
  await Promise.all(asked.expectation.attempts.map((attempt) => attempt.cut()));
  await rig.sleep(GAP_MS / 4);
  return pieces.flatMap((piece) => {
    const atMs = wroteMs.get(piece);
    const readMs = atMs === undefined ? undefined : readOf(asked, piece);
    if (atMs === undefined || readMs === undefined) return [];
    const lateMs = readMs - atMs;
    return [{
      name: piece.name,
      lateMs,
      // The machine is late for the gateway about as often as for the audit.
      isMachine: lateMs - 2 * rig.watch.worst(atMs, readMs) <= LATE_MS_MAX,
      lines: timeline(asked),
    }];
  });
}

/** When `piece` was read; Infinity = the answer had not ended when the client left. */
function readOf({ exchange }: Asked, { isEvent }: Piece): number | undefined {
  if (isEvent !== undefined) return exchange.events().find(({ data }) => isEvent(data))?.atMs;
  return exchange.end === "whole" ? exchange.endMs : exchange.end === "left" ? Infinity : undefined;
}

/** What the best of each piece says. */
export function endFinding(pieces: readonly HeldPiece[]): Finding {
  const held = pieces.filter(isHeld);
  const worst = [...held].sort((one, other) => other.lateMs - one.lateMs);
  return finding("hold-back", {
    part: "end",
    verdict: held.some(({ isMachine }) => !isMachine)
      ? "fail"
      : held.length > 0 || pieces.length === 0
      ? "void"
      : "pass",
    limit:
      `the last events, [DONE] and the end of a body come within ${LATE_MS_MAX} ms, however it ends`,
    measured: pieces.length === 0
      ? "no answer came"
      : held.length === 0
      ? `each of ${pieces.length} pieces passes, the latest after ${
        ms(Math.max(...pieces.map(({ lateMs }) => lateMs)))
      }`
      : `held: ${held.map(lateText).join(", ")}`,
    value: Number.isFinite(worst[0]?.lateMs) ? worst[0]!.lateMs : undefined,
    unit: "ms",
    evidence: [...pieces.map(lateText), ...worst[0]?.lines ?? []],
    mend:
      "Pass what ends an answer on as it is read: clients wait for [DONE], and for the end of the body.",
  });
}

/** True when it came too late. */
export function isHeld({ lateMs }: Pick<HeldPiece, "lateMs">): boolean {
  return lateMs > LATE_MS_MAX;
}

function lateText({ name, lateMs }: HeldPiece): string {
  return Number.isFinite(lateMs) ? `${name} (${ms(lateMs)})` : `${name} (did not come)`;
}
