import { describe, expect, test } from "bun:test";
import type { Script, Step, TimedStep, Usage } from "../../src/core/answer.ts";
import { dataEvent, DONE_EVENT } from "../../src/core/dialect.ts";
import {
  CREATED_BYTES,
  type Frames,
  FramesCache,
  layFrames,
  type Layout,
  layScript,
  layText,
  type Stamped,
  stampSlots,
  type StampTexts,
  stampWhole,
} from "../../src/core/frames.ts";

const decoder = new TextDecoder();

function ascii(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function stampedOf([created, ...ids]: StampTexts): Stamped {
  return [ascii(created), ...ids.map(ascii)];
}

/** Digits and ids that differ in every place, for `idLengths`. */
function stampsFor(idLengths: readonly number[], seed = 0): StampTexts {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const id = (length: number, n: number) =>
    Array.from({ length }, (_, i) => letters[(7 * i + 13 * n + seed) % letters.length]).join("");
  return [String(1_700_000_000 + seed), ...idLengths.map((length, n) => id(length, n + 1))];
}

function delta(text: string, afterMs = 0): TimedStep {
  return { kind: "delta", choice: 0, block: "text", text, afterMs };
}

const END: TimedStep = { kind: "end", choice: 0, reason: "stop", afterMs: 0 };

function script(...steps: readonly TimedStep[]): Script {
  return { name: "s", steps };
}

/** A layout that says `event(text, stamps)` for a text, and an end mark. */
function layoutOf(
  idLengths: readonly number[],
  event: (text: string, stamps: StampTexts) => string,
  close: (stamps: StampTexts) => string = () => DONE_EVENT,
): Layout {
  return {
    key: `layout ${idLengths.join(" ")}`,
    idLengths,
    writer: (stamps) => ({
      step: (step) => step.kind === "delta" && step.text !== "" ? event(step.text, stamps) : "",
      close: () => close(stamps),
    }),
  };
}

const PLAIN = layoutOf([], (content) => dataEvent({ content }));

/** All that the writer of `layout` says, with the stamps in it. */
function spoken(script: Script, layout: Layout, stamps: StampTexts): string {
  const writer = layout.writer(stamps);
  return script.steps.map((step: Step) => writer.step(step)).join("") + writer.close();
}

function textOf({ bytes }: Frames): string {
  return decoder.decode(bytes);
}

describe("layFrames()", () => {
  test("lays events one behind the other, without slots", () => {
    const frames = layFrames([
      { text: "ab你1111111111\n\n", dueMs: 0, stepEnd: 2 },
      { text: "cd🌊\n\n", dueMs: 5 },
      { text: "end", dueMs: 5, stepEnd: 3 },
    ]);
    expect(textOf(frames)).toBe("ab你1111111111\n\ncd🌊\n\nend");
    expect([...frames.ends]).toEqual([17, 25, 28]);
    expect([...frames.dueMs]).toEqual([0, 5, 5]);
    expect([...frames.stepEnds]).toEqual([2, 0, 3]);
    expect([...frames.slotAt]).toEqual([]);
    expect([...frames.slotEnds]).toEqual([0, 0, 0]);
  });

  test("refuses due times that decrease", () => {
    expect(() => layFrames([{ text: "a", dueMs: 5 }, { text: "b", dueMs: 4 }])).toThrow(RangeError);
  });
});

describe("layText()", () => {
  const slotted = { key: "t", idLengths: [3, 2] };

  test("lays one text with its slots, and says how many ids it has", () => {
    const frames = layText(slotted, ([created, id]) => `${created} ${id} 水 ${id}`);
    const stamps = stampsFor(slotted.idLengths);
    stampWhole(frames, stampedOf(stamps));
    expect(textOf(frames)).toBe(`${stamps[0]} ${stamps[1]} 水 ${stamps[1]}`);
    expect([frames.idCount, layText(slotted, ([, , last]) => last!).idCount]).toEqual([1, 2]);
    expect(layText(slotted, () => "none").idCount).toBe(0);
  });

  test("refuses a text that is another each time", () => {
    let count = 0;
    expect(() => layText(slotted, () => "x".repeat(++count))).toThrow(TypeError);
  });
});

describe("layScript()", () => {
  test("adds waits up to absolute due times, and says nothing for empty texts", () => {
    const frames = layScript(
      script(delta("水", 10), delta("", 10), delta("🌊", 10), { ...END, afterMs: 10 }),
      PLAIN,
    );
    expect(textOf(frames)).toBe(
      'data: {"content":"水"}\n\ndata: {"content":"🌊"}\n\ndata: [DONE]\n\n',
    );
    expect([...frames.dueMs]).toEqual([10, 30, 40]);
    expect(frames.slotAt).toHaveLength(0);
  });

  test("tells how many steps are said when each frame has left", () => {
    const frames = layScript(
      script(
        delta("a"),
        { kind: "call", choice: 0, index: 0, id: "c", name: "n", afterMs: 0 },
        delta("b"),
        delta(""),
        END,
      ),
      PLAIN,
    );
    expect([...frames.stepEnds]).toEqual([1, 3, 5]);
  });

  test("tells usage behind the steps, and before the end mark", () => {
    const layout: Layout = {
      ...PLAIN,
      writer: (stamps) => ({
        ...PLAIN.writer(stamps),
        step: (step) => step.kind === "usage" ? `usage ${step.usage.promptTokens}\n\n` : "",
      }),
    };
    const frames = layScript(script(delta("a"), END), layout, {
      promptTokens: 7,
      completionTokens: 1,
    });
    expect(textOf(frames)).toBe(`usage 7\n\n${DONE_EVENT}`);
    expect([...frames.stepEnds]).toEqual([2, 2]);
  });

  test("lays nothing for a script that says nothing", () => {
    const frames = layScript(script(), layoutOf([], () => "", () => ""));
    expect([frames.bytes.length, frames.ends.length]).toEqual([0, 0]);
  });

  test("finds every slot, in frames that have several and in frames that have none", () => {
    const layout = layoutOf([2], (text, [created, id]) => text + id + created + id + "\n\n");
    const frames = layScript(script(delta("水"), delta("b"), END), layout);
    expect([...frames.slotAt]).toEqual([3, 5, 15, 20, 22, 32]);
    expect([...frames.slotStamp]).toEqual([1, 0, 1, 1, 0, 1]);
    expect([...frames.slotEnds]).toEqual([3, 6, 6]);
    expect(frames.createdThere).toBeNull();
  });

  test("never takes what a script says for a slot, though it equals a blank", () => {
    const layout = layoutOf([4, 3], (text, [created, a, b]) => dataEvent({ a, b, created, text }));
    for (
      const text of [
        "1".repeat(CREATED_BYTES),
        "2".repeat(CREATED_BYTES),
        "aaaa",
        "bbbb",
        "ccc",
        "ddd",
        "aaaabbbbccc1111111111",
      ]
    ) {
      const frames = layScript(script(delta(text), END), layout);
      expect(frames.slotAt).toHaveLength(3);
      const stamps = stampsFor([4, 3]);
      stampWhole(frames, stampedOf(stamps));
      expect(textOf(frames)).toBe(spoken(script(delta(text), END), layout, stamps));
    }
  });

  const LENGTHS: readonly (readonly number[])[] = [
    [],
    [29],
    [1],
    [29, 4, 1, 12, 32],
    [5, 5, 5, 5, 5],
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    [0, 3],
  ];
  for (const idLengths of LENGTHS) {
    const layout = layoutOf(
      idLengths,
      // Side by side, with words between them, and twice.
      (text, [created, ...ids]) =>
        `${ids.join("")}${created}${text}${ids.toReversed().join("你")} ${created}\n\n`,
      ([, ...ids]) => `end ${ids.join("-")}\n\n`,
    );
    const said = script(delta("水"), delta("aaa"), delta("🌊111"), END);

    test(`with ids of ${idLengths.join(", ")}: stamped bytes are what the writer says`, () => {
      const frames = layScript(said, layout);
      for (const seed of [0, 1, 2]) {
        const stamps = stampsFor(idLengths, seed);
        stampWhole(frames, stampedOf(stamps));
        expect(textOf(frames)).toBe(spoken(said, layout, stamps));
      }
    });

    test(`with ids of ${idLengths.join(", ")}: frames can be stamped by themselves`, () => {
      const frames = layScript(said, layout);
      const stamps = stampsFor(idLengths, 5);
      const whole = ascii(spoken(said, layout, stamps));
      const count = frames.ends.length;
      for (let from = 0; from < count; from++) {
        for (let to = from + 1; to <= count; to++) {
          const base = from === 0 ? 0 : frames.ends[from - 1]!;
          const end = frames.ends[to - 1]!;
          const target = frames.bytes.slice(base, end);
          stampSlots(target, frames, from, to, base, stampedOf(stamps));
          expect(decoder.decode(target)).toBe(decoder.decode(whole.subarray(base, end)));
        }
      }
    });
  }

  const UNSTEADY: readonly (readonly [string, () => string])[] = [
    ["another length each time", () => "x".repeat(++calls)],
    ["more the second time", () => ++calls === 1 ? "x" : `x${DONE_EVENT}x`],
    ["other bytes each time", () => String.fromCharCode(200 + ++calls)],
    ["a stamp that it was not given", () => ++calls % 2 === 0 ? "kkk" : "lll"],
  ];
  let calls = 0;
  for (const [name, event] of UNSTEADY) {
    test(`refuses a writer that writes ${name}`, () => {
      calls = 0;
      expect(() => layScript(script(delta("a"), END), layoutOf([3], event))).toThrow(TypeError);
    });
  }
});

describe("stampWhole()", () => {
  test("writes a new time over the last one, and every id", () => {
    const layout = layoutOf([2], (_, [created, id]) => `[${id} ${created}]`, () => "end");
    const frames = layScript(script(delta("x"), delta("y"), END), layout);
    const first = ascii("1111111112");
    const rows: readonly (readonly [id: string, created: Uint8Array<ArrayBuffer>])[] = [
      ["ab", first],
      ["cd", first],
      ["ef", ascii("2222222223")],
      ["gh", first],
    ];
    for (const [id, created] of rows) {
      stampWhole(frames, [created, ascii(id)]);
      const event = `[${id} ${decoder.decode(created)}]`;
      expect(textOf(frames)).toBe(`${event}${event}end`);
    }
  });
});

describe("FramesCache", () => {
  const ENTRIES_MAX = 1024;
  const MEGABYTE = 1024 * 1024;
  const named = (name: string, text = "x"): Script => ({ name, steps: [delta(text), END] });

  test("lays once what is asked for again, whatever was asked for between", () => {
    const cache = new FramesCache();
    const [a, b] = [named("a"), named("b")];
    const frames = cache.of(a, PLAIN);
    expect(cache.of(a, PLAIN)).toBe(frames);
    expect(cache.of(b, PLAIN)).not.toBe(frames);
    expect(cache.of(a, PLAIN)).toBe(frames);
    expect(cache.size).toBe(2);
  });

  test("takes layouts of one key for the same, and others not", () => {
    const cache = new FramesCache();
    const a = named("a");
    const frames = cache.of(a, PLAIN);
    expect(cache.of(a, { ...PLAIN })).toBe(frames);
    expect(cache.of(a, { ...PLAIN, key: "another" })).not.toBe(frames);
    expect(cache.of(a, PLAIN)).toBe(frames);
  });

  test("never gives the frames of another script of the same name", () => {
    const cache = new FramesCache();
    const [first, second] = [named("a", "first"), named("a", "second")];
    for (const script of [first, second, first, second]) {
      expect(textOf(cache.of(script, PLAIN))).toBe(spoken(script, PLAIN, stampsFor([])));
    }
    expect(cache.size).toBe(1);
  });

  test("keeps apart what differs in any count of usage", () => {
    const cache = new FramesCache();
    const a = named("a");
    const usage: Usage = { promptTokens: 1, completionTokens: 2 };
    const usages: readonly (Usage | undefined)[] = [
      undefined,
      usage,
      { ...usage, promptTokens: 2 },
      { ...usage, completionTokens: 1 },
      { ...usage, cachedTokens: 1 },
      { ...usage, reasoningTokens: 1 },
      { ...usage, cachedTokens: 0 },
      { ...usage, cacheWriteTokens: 1 },
      { ...usage, promptAudioTokens: 1 },
      { ...usage, completionAudioTokens: 1 },
      { ...usage, acceptedPredictionTokens: 1 },
      { ...usage, rejectedPredictionTokens: 1 },
    ];
    const frames = usages.map((one) => cache.of(a, PLAIN, one));
    expect(new Set(frames).size).toBe(usages.length);
    expect(usages.map((one) => cache.of(a, PLAIN, one && { ...one }))).toEqual(frames);
    usages.forEach((one, i) => expect(cache.of(a, PLAIN, one)).toBe(frames[i]!));
  });

  test(`keeps ${ENTRIES_MAX} at the most, and what was laid first goes first`, () => {
    const cache = new FramesCache();
    const scripts = Array.from({ length: ENTRIES_MAX + 1 }, (_, i) => named(`script ${i}`));
    const frames = scripts.map((script) => cache.of(script, PLAIN));
    expect(cache.size).toBe(ENTRIES_MAX);
    expect(cache.of(scripts[1]!, PLAIN)).toBe(frames[1]!);
    expect(cache.of(scripts.at(-1)!, PLAIN)).toBe(frames.at(-1)!);
    expect(cache.of(scripts[0]!, PLAIN)).not.toBe(frames[0]!);
    expect(cache.size).toBe(ENTRIES_MAX);
  });

  test("keeps 64 MiB at the most", () => {
    const cache = new FramesCache();
    for (const name of ["a", "b", "c"]) cache.of(named(name, "x".repeat(22 * MEGABYTE)), PLAIN);
    expect(cache.size).toBe(2);
    cache.of(named("small"), PLAIN);
    expect(cache.size).toBe(3);
  });
});
