import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import type { Answer, Step } from "../../src/core/answer.ts";
import { askOf } from "../../src/core/answer.ts";
import type { Call } from "../../src/core/exchange.ts";
import type { AnswerStamps } from "../../src/core/stamp.ts";
import { EMPTY_TURN, type Turn } from "../../src/core/turn.ts";
import { type AnswerKeeper, KeptAnswer } from "../../src/surfaces/kept_answer.ts";

const BYTES = new TextEncoder().encode("1776481268");
const STAMPS: AnswerStamps = { shared: () => [BYTES], own: () => [BYTES] };
const CALL = { startMs: 2, engine: { wheel: { nowMs: 5 } } } as unknown as Call;

function text(text: string): Step {
  return { kind: "delta", choice: 0, block: "text", text };
}

/** An answer of batches, with what becomes of it. */
function live(batches: readonly (readonly Step[] | Error)[]) {
  const log: string[] = [];
  const keeper: AnswerKeeper<Turn> = {
    mayKeep: () => true,
    isKept: () => true,
    keep({ said }) {
      log.push(`keep ${said === undefined ? "what is not said yet" : said.choices[0]!.text}`);
      return undefined;
    },
    holdsEnds: false,
    drop: () => void log.push("drop"),
  };
  async function* steps() {
    for (const batch of batches) {
      if (batch instanceof Error) throw batch;
      yield await Promise.resolve(batch);
    }
  }
  const answer: Answer = { kind: "live", model: "m", steps: { [Symbol.asyncIterator]: steps } };
  const kept = new KeptAnswer<Turn>({
    source: { name: "upstream", answer: () => answer },
    stamps: STAMPS,
    keeper,
    request: () => EMPTY_TURN,
    text: () => "{}",
  });
  return { kept, log };
}

async function told(kept: KeptAnswer<Turn>, beginsAt: number): Promise<string> {
  const answer = await kept.answer(askOf(EMPTY_TURN), CALL);
  if (answer.kind !== "live") throw new Error(answer.kind);
  let at = 0;
  let said = "";
  for await (const batch of answer.steps) {
    if (at++ === beginsAt) kept.own(0);
    for (const step of batch) if (step.kind === "delta") said += step.text;
  }
  return said;
}

test("KeptAnswer counts from where its request began, as whoever writes it does", async () => {
  const { kept } = live([]);
  await kept.answer(askOf(EMPTY_TURN), CALL);
  expect(kept.startMs).toBe(CALL.startMs);
});

describe("KeptAnswer of a live answer", () => {
  test("is kept as it begins and when it is whole, and passes as it is", async () => {
    const { kept, log } = live([[text("水")], [text(" and")], [text(" wine")]]);
    expect(await told(kept, 1)).toBe("水 and wine");
    expect(log).toEqual(["keep what is not said yet", "keep 水 and wine"]);
    expect([kept.stamps, kept.totalMs]).toEqual([["1776481268"], 3]);
  });

  test("is kept once where its stamps come behind it", async () => {
    const { kept, log } = live([[text("a")]]);
    await told(kept, 9);
    kept.shared(0);
    expect(log).toEqual(["keep a"]);
  });

  test("is dropped when it breaks off", async () => {
    const { kept, log } = live([[text("a")], new Error("broken")]);
    await expect(told(kept, 0)).rejects.toThrow("broken");
    expect(log).toEqual(["keep what is not said yet", "drop"]);
    kept.shared(0);
    expect(log.length).toBe(2);
  });

  test("is dropped when nobody wants the rest", async () => {
    const { kept, log } = live([[text("a")], [text("b")]]);
    const answer = await kept.answer(askOf(EMPTY_TURN), CALL);
    if (answer.kind !== "live") throw new Error(answer.kind);
    for await (const _ of answer.steps) {
      kept.own(0);
      break;
    }
    expect(log).toEqual(["keep what is not said yet", "drop"]);
  });

  test("is not kept when it says more than 16 MiB, and is told all the same", async () => {
    const piece = "x".repeat(1024 * 1024);
    const { kept, log } = live(Array.from({ length: 18 }, () => [text(piece)]));
    expect((await told(kept, 0)).length).toBe(18 * 1024 * 1024);
    expect(log).toEqual(["keep what is not said yet", "drop"]);
    expect(kept.said).toBeUndefined();
  });

  test("holds its texts, and not the upstream's events that they were cut out of", async () => {
    const bytesOfHeap = () => {
      Bun.gc(true);
      return heapStats().heapSize;
    };
    const before = bytesOfHeap();
    const all = [];
    for (let at = 0; at < 48; at++) {
      const events = Buffer.alloc(1024 * 1024, 97 + at % 26).toString("latin1");
      const pieces = [0, 1, 2, 3].map((i) => text(events.slice(i * 64, i * 64 + 32)));
      const { kept } = live([pieces]);
      await told(kept, 0);
      all.push(kept);
    }
    // All events together are 48 MiB.
    expect(bytesOfHeap() - before).toBeLessThan(16 * 1024 * 1024);
    expect(all.map(({ said }) => said!.choices[0]!.text.length)).toEqual(all.map(() => 128));
  });
});

test("KeptAnswer holds the end of its answer where its keeper wants that, and nothing else does", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const holdsEnds of [false, true]) {
    const log: string[] = [];
    const kept = new KeptAnswer<Turn>({
      source: {
        name: "mock",
        answer: () => ({ kind: "script", model: "m", script: { name: "s", steps: [] } }),
      },
      stamps: {
        shared: () => (log.push("shared"), [BYTES]),
        own: (count) => (log.push(`own ${count}`), [BYTES]),
      },
      keeper: {
        mayKeep: () => true,
        isKept: () => true,
        holdsEnds,
        keep: () => (log.push("keep"), promise),
        drop() {},
      },
      request: () => EMPTY_TURN,
      text: () => "{}",
    });
    const keeper = kept.keeper(() => 3);
    expect(keeper !== undefined).toBe(holdsEnds);
    await kept.answer(askOf(EMPTY_TURN), CALL);
    if (keeper === undefined) {
      kept.shared(1);
      expect(log).toEqual(["shared", "keep"]);
      continue;
    }
    await keeper.keep("as far as it was heard", true);
    let isKept = false;
    const done = Promise.resolve(keeper.keep("all", false)).then(() => void (isKept = true));
    await Bun.sleep(0);
    expect([isKept, ...log]).toEqual([false, "own 3", "keep"]);
    resolve();
    await done;
    kept.shared(1); // the same stamps
    expect(log).toEqual(["own 3", "keep"]);
  }
});
