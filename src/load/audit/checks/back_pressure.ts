/**
 * Whether a client that stops reading stops the upstream, or fills the gateway.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { bytesText, median, ms } from "../numbers.ts";
import { BUSY_MEND, type OwnAnswer, ownAnswer, waitForRoom } from "../own_answer.ts";
import { END_TEXTS } from "../probe_client.ts";
import {
  type Asked,
  type Check,
  finding,
  KeptConnection,
  type Rig,
  timeline,
  type Way,
} from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { answerWhole, chunk, LAST_CHUNK, streamHead } from "../stream.ts";

/** What the upstream would write. */
const FLOOD_BYTES = 64 * 1024 * 1024;
/** In one chunk. */
const PIECE_BYTES = 64 * 1024;
/** No byte taken for so long: the way is full. */
const FULL_MS = 700;
const STREAMS = 8;
/** Where the gateway's memory is known: for each stream that stands still. */
const STREAM_BYTES_MAX = 1024 * 1024;
/** Where it is not: what the kernel may hold for two more sockets. */
const KERNEL_BYTES_MAX = 24 * 1024 * 1024;
/** Of others, while one stands still. */
const OTHERS_MS_MAX = 25;
/** While other work waits for the processors. */
const OTHERS_BUSY_MS_MAX = 250;
const OTHERS = 20;

const TAKEN = `the upstream stands still before ${bytesText(FLOOD_BYTES)}`;
const OTHERS_LIMIT = `others wait at most ${OTHERS_MS_MAX} ms longer (p50) while one does not read`;
const WHOLE = "all bytes come once the client reads again";

/** What is taken while nobody reads, what it costs the gateway, and what others notice. */
export const backPressure: Check = {
  name: "back-pressure",
  title: "Does a client that does not read stop the upstream?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const direct = await stand(rig, "direct");
    await direct.leave();
    const calmMs = median(await shortAnswers(rig));
    let through = await stand(rig, "through");
    if (through.own?.kind === "busy") {
      await through.leave();
      await waitForRoom(rig, through.asked);
      through = await stand(rig, "through");
    }
    if (through.own !== undefined) {
      await through.leave();
      return ownFindings(through.own, through.asked);
    }
    if (through.encoding !== undefined) {
      await through.leave();
      return [encodedFinding(through.encoding, through.isEncodingAsked)];
    }
    const othersMs = await shortAnswers(rig);
    const whole = await through.readOn();
    const memory = await memoryOf(rig);
    return [
      takenFinding(direct.takenBytes, through.takenBytes, memory !== undefined),
      ...(memory === undefined ? [] : [memory]),
      othersFinding(rig, othersMs, calmMs),
      wholeFinding(whole),
    ];
  },
};

/** A stream that its reader has stopped reading. */
interface Standing {
  /** What the upstream could write until then. */
  readonly takenBytes: number;
  readonly asked: Asked;
  /** There is no such stream: what the gateway did instead of asking. */
  readonly own: OwnAnswer | undefined;
  /** The content coding of what comes; undefined = none. */
  readonly encoding: string | undefined;
  /** The client has asked for it, or there is none. */
  readonly isEncodingAsked: boolean;
  leave(): Promise<void>;
  /** Reads to the end, and says whether all came. */
  readOn(): Promise<{ readonly isWhole: boolean; readonly text: string }>;
}

async function stand(rig: Rig, way: Way): Promise<Standing> {
  let written = 0;
  let movedMs = performance.now();
  const connection = await rig.connect(way);
  const asked = await rig.ask(way, async (attempt: Attempt) => {
    attempt.write(streamHead());
    for (let number = 0; written < FLOOD_BYTES; number++) {
      const piece = pieceOf(number);
      const isTaken = attempt.pour(chunk(piece));
      if (!isTaken) await attempt.drained();
      if (attempt.leftMs !== undefined) return;
      written += piece.length;
      movedMs = performance.now();
      // The loop is shared with the client, which has to see what comes.
      if (number % 8 === 7) await attempt.pause(0);
    }
    attempt.write(LAST_CHUNK);
  }, { connection, isKept: false });
  await rig.within(asked.exchange.hasBody(1), 5000);
  if (asked.expectation.attempts.length === 0) await rig.settle(asked);
  const own = ownAnswer(asked);
  connection.pause();
  movedMs = performance.now();
  while (own === undefined && written < FLOOD_BYTES && performance.now() - movedMs < FULL_MS) {
    await rig.sleep(50);
  }
  const takenBytes = written - asked.exchange.bodyBytes;
  return {
    takenBytes: Math.max(0, takenBytes),
    asked,
    own,
    encoding: asked.exchange.encoding,
    isEncodingAsked: asked.exchange.isEncodingAsked,
    async leave() {
      connection.leave("reset");
      for (const attempt of asked.expectation.attempts) attempt.reset();
      await rig.sleep(50);
    },
    async readOn() {
      connection.resume();
      await rig.settle(asked, 30_000);
      const { end, bodyBytes } = asked.exchange;
      return {
        isWhole: end === "whole" && bodyBytes === FLOOD_BYTES,
        text: `${bytesText(bodyBytes)} of ${bytesText(FLOOD_BYTES)} came, ${
          END_TEXTS[end ?? "left"]
        }`,
      };
    },
  };
}

/** Without a stream that nobody reads nothing can be said of what it does. */
function ownFindings(own: OwnAnswer, asked: Asked): readonly Finding[] {
  return [["taken", TAKEN], ["others", OTHERS_LIMIT], ["whole", WHOLE]].map(([part, limit]) =>
    finding("back-pressure", {
      part: part!,
      verdict: part === "whole" && own.kind === "failed" ? "fail" : "void",
      limit: limit!,
      measured: own.measured,
      evidence: timeline(asked),
      mend: own.mend,
    })
  );
}

/** What is compressed needs no room: nothing can be filled with it. */
function encodedFinding(encoding: string, isAsked: boolean): Finding {
  return finding("back-pressure", {
    part: "taken",
    verdict: "void",
    limit: TAKEN,
    measured: `content-encoding: ${encoding}${
      isAsked ? "" : " that nobody asked for"
    } makes little of what is sent`,
    mend: isAsked
      ? "Audit it without accept-encoding, too."
      : "Compress no event streams for clients that have not asked for it.",
  });
}

function takenFinding(direct: number, through: number, isMeasured: boolean): Finding {
  const addedBytes = Math.max(0, through - direct);
  const isUnbounded = through >= FLOOD_BYTES * 0.9;
  const isLarge = addedBytes > KERNEL_BYTES_MAX;
  return finding("back-pressure", {
    part: "taken",
    verdict: isUnbounded || isLarge ? "fail" : "pass",
    limit: `${TAKEN}; at most ${
      bytesText(KERNEL_BYTES_MAX)
    } more than without the gateway, which sockets can hold`,
    measured: `${bytesText(through)} taken while nobody reads${
      isUnbounded ? ": all there was" : ""
    }${isMeasured ? "" : "; what of it is the gateway's own memory needs --pid"}`,
    direct: bytesText(direct),
    value: addedBytes,
    unit: "bytes",
    evidence: [
      `written by the upstream and read by nobody: ${through} bytes, ${direct} without the gateway`,
    ],
    mend: "Stop reading the upstream while the client's socket is full, and go on when it drains.",
  });
}

/** Undefined where the gateway's process is not known. */
async function memoryOf(rig: Rig): Promise<Finding | undefined> {
  const { memoryBytes } = rig.options;
  if (memoryBytes === undefined || memoryBytes() === undefined) return undefined;
  // The heap of a gateway that has already moved as much is as large as it gets by itself.
  await Promise.all(Array.from({ length: STREAMS }, () => runThrough(rig)));
  await rig.sleep(200);
  const before = memoryBytes() ?? 0;
  const standing = await Promise.all(Array.from({ length: STREAMS }, () => stand(rig, "through")));
  const after = memoryBytes() ?? before;
  for (const one of standing) await one.leave();
  const each = Math.max(0, after - before) / STREAMS;
  return finding("back-pressure", {
    part: "memory",
    verdict: each > STREAM_BYTES_MAX ? "fail" : "pass",
    limit: `at most ${bytesText(STREAM_BYTES_MAX)} of the gateway's memory for each stream`,
    measured: `${bytesText(Math.round(each))} for each of ${STREAMS} streams that stand still`,
    value: Math.round(each),
    unit: "bytes",
    evidence: [`resident before ${bytesText(before)}, while they stand still ${bytesText(after)}`],
    mend: "Hold no more than a few reads of a stream whose client does not read.",
  });
}

/** A stream of 8 MiB that is read. */
async function runThrough(rig: Rig): Promise<void> {
  await rig.tell("through", async (attempt: Attempt) => {
    attempt.write(streamHead());
    for (let number = 0; number < 128; number++) {
      if (!attempt.pour(chunk(pieceOf(number)))) await attempt.drained();
      if (number % 8 === 7) await attempt.pause(0);
    }
    attempt.write(LAST_CHUNK);
  }, { isKept: false, timeoutMs: 20_000 });
}

/** How long short answers take, one after the other. */
async function shortAnswers(rig: Rig): Promise<readonly number[]> {
  const kept = new KeptConnection(rig, "through");
  const tookMs: number[] = [];
  for (let i = 0; i < OTHERS; i++) {
    const asked = await rig.tell("through", (attempt, mark) => answerWhole(attempt, mark), {
      connection: await kept.get(),
    });
    const { exchange } = asked;
    // A refusal takes no time that anybody waits for.
    if (ownAnswer(asked)?.kind === "busy") continue;
    tookMs.push(exchange.end === "whole" ? exchange.endMs! - exchange.sentMs : Infinity);
  }
  kept.close();
  return tookMs;
}

function othersFinding(rig: Rig, tookMs: readonly number[], calmMs: number): Finding {
  const nowMs = performance.now();
  const addedMs = median(tookMs) - calmMs;
  if (tookMs.length === 0 || Number.isNaN(calmMs)) {
    return finding("back-pressure", {
      part: "others",
      verdict: "void",
      limit: OTHERS_LIMIT,
      measured: "the gateway refuses all of them, as it is busy",
      mend: BUSY_MEND,
    });
  }
  const isSlow = addedMs > OTHERS_MS_MAX;
  const isMachine = rig.watch.worst(nowMs - 2000, nowMs) > OTHERS_MS_MAX ||
    rig.watch.isBusy(nowMs - 2000, nowMs) && addedMs < OTHERS_BUSY_MS_MAX;
  return finding("back-pressure", {
    part: "others",
    verdict: !isSlow ? "pass" : isMachine && Number.isFinite(addedMs) ? "void" : "fail",
    limit: OTHERS_LIMIT,
    measured: Number.isFinite(addedMs)
      ? `${ms(Math.max(0, addedMs))} longer than ${ms(calmMs)}`
      : "they are not answered",
    value: Number.isFinite(addedMs) ? Math.max(0, addedMs) : undefined,
    unit: "ms",
    evidence: [`answers took ${tookMs.map(ms).join(", ")}`],
    mend: "Let no stream wait for another: never block on a write.",
  });
}

function wholeFinding(
  { isWhole, text }: { readonly isWhole: boolean; readonly text: string },
): Finding {
  return finding("back-pressure", {
    part: "whole",
    verdict: isWhole ? "pass" : "fail",
    limit: WHOLE,
    measured: text,
    evidence: [text],
    mend: "Keep what a full socket has not taken, and write it when the socket drains.",
  });
}

const PIECES = Array.from({ length: 4 }, (_, i) => {
  const text = `data: {"p":"${String.fromCharCode(97 + i).repeat(PIECE_BYTES - 15)}"}\n\n`;
  return Buffer.from(text.padStart(PIECE_BYTES, " ").slice(-PIECE_BYTES));
});

function pieceOf(number: number): Buffer {
  return PIECES[number % PIECES.length]!;
}
