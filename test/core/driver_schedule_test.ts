import { describe, expect, test } from "bun:test";
import type { Answer, Schedule, TimedStep } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import { COMMENT, DONE, DriverRig, expectOver, NotingKeeper, saying } from "./driver_rig.ts";

const WORDS = ["one", "two", "three"];
const STEPS: readonly TimedStep[] = [
  ...WORDS.map((text) =>
    ({ kind: "delta", choice: 0, block: "text", text, afterMs: 1000 }) as const
  ),
  { kind: "end", choice: 0, reason: "stop", afterMs: 0 },
];
const SCRIPT = { name: "words", steps: STEPS };

/** Times that become known one by one. */
class Growing implements Schedule {
  readonly dueMs = new Float64Array(STEPS.length);
  known = 0;
  onMore: (() => void) | undefined = undefined;

  constructor(firstMs: number) {
    this.dueMs[this.known++] = firstMs;
  }

  grow(dueMs: number, count = 1): void {
    this.dueMs.fill(dueMs, this.known, this.known += count);
    this.onMore?.();
  }
}

function scheduled(schedule: Schedule, more: Partial<Answer> = {}): Answer {
  return { kind: "script", script: SCRIPT, model: "m", schedule, ...more } as Answer;
}

function known(...dueMs: number[]): Schedule {
  return { dueMs: Float64Array.from(dueMs), known: dueMs.length, onMore: undefined };
}

describe("a script whose answer has times of its own", () => {
  test("leaves at them, and the next answer of the script at its own", async () => {
    const rig = new DriverRig();
    for (const times of [[3, 5, 9, 9], [1, 1, 2, 30]]) {
      const { said } = rig.ask(() => rig.asking(() => scheduled(known(...times))));
      for (let ms = 1; ms <= 31; ms++) {
        await rig.pass(1);
        const words = WORDS.filter((_, i) => times[i]! <= ms).map(saying).join("");
        expect(said()).toBe(times.at(-1)! <= ms ? words + DONE : words);
      }
    }
    expect(await rig.leftovers()).toEqual({ streams: 0, tickets: 0 });
    expect(Math.max(...rig.latenessMs)).toBeLessThanOrEqual(1);
  });

  test("goes on as more of them are known", async () => {
    const rig = new DriverRig();
    const schedule = new Growing(2);
    const { said } = rig.ask(() => rig.asking(() => scheduled(schedule)));
    await rig.pass(50);
    expect(said()).toBe(saying("one"));
    schedule.grow(60);
    await rig.pass(9);
    expect(said()).toBe(saying("one"));
    await rig.pass(1);
    expect(said()).toBe(saying("one") + saying("two"));
    schedule.grow(70, 2);
    await rig.pass(10);
    expect(said()).toBe(WORDS.map(saying).join("") + DONE);
    await expectOver(rig, "completed");
  });

  test("what is known before the first frame leaves is not forgotten", async () => {
    const rig = new DriverRig();
    const schedule = new Growing(20);
    const { said } = rig.ask(() => rig.asking(() => scheduled(schedule)));
    await rig.pass(5);
    schedule.grow(25, 3);
    await rig.pass(14);
    expect(said()).toBe("");
    await rig.pass(6);
    expect(said()).toBe(WORDS.map(saying).join("") + DONE);
    await expectOver(rig, "completed");
  });

  test("a silence until more is known has its comments", async () => {
    const rig = new DriverRig({ keepaliveMs: 10 });
    const schedule = new Growing(2);
    const { writer } = rig.ask(() => rig.asking(() => scheduled(schedule)));
    await rig.pass(23);
    expect(writer.text).toBe(saying("one") + COMMENT + COMMENT);
    schedule.grow(24, 3);
    await rig.pass(2);
    expect(writer.text).toEndWith(saying("three") + DONE);
  });

  test("an answer in one piece comes when its last step is due", async () => {
    for (const schedule of [known(1, 2, 3, 40), new Growing(1)]) {
      const rig = new DriverRig();
      const { said } = rig.ask(() => rig.asking(() => scheduled(schedule), { isStream: false }));
      await rig.pass(10);
      if (schedule instanceof Growing) schedule.grow(30, 2);
      await rig.pass(10);
      if (schedule instanceof Growing) schedule.grow(40);
      await rig.pass(19);
      expect(said()).toBe("");
      await rig.pass(1);
      expect(said()).toContain("onetwothree");
      await expectOver(rig, "completed");
    }
  });

  test("its client leaves while more is to become known", async () => {
    for (const isStream of [true, false]) {
      const rig = new DriverRig();
      const schedule = new Growing(2);
      const { writer, exchange } = rig.ask(() =>
        rig.asking(() => scheduled(schedule), { isStream })
      );
      await rig.pass(5);
      writer.leave();
      await rig.pass(5);
      expect(exchange().signal.aborted).toBe(true);
      schedule.grow(12, 3);
      await expectOver(rig, "client_left");
    }
  });

  test("shutdown ends it", async () => {
    const rig = new DriverRig();
    const schedule = new Growing(2);
    rig.ask(() => rig.asking(() => scheduled(schedule)));
    await rig.pass(5);
    await rig.shutDown(new AppError("shutting_down", "Stopping"));
    schedule.grow(7, 3);
    await expectOver(rig, "shut_down");
  });

  test("breaks off behind so many events, when the last of them is due", async () => {
    const rig = new DriverRig();
    const cut = { afterEvents: 2, afterMs: Infinity };
    const schedule = new Growing(2);
    const { said, writer } = rig.ask(() => rig.asking(() => scheduled(schedule, { cut })));
    await rig.pass(10);
    expect(said()).toBe(saying("one"));
    schedule.grow(20);
    await rig.pass(9);
    expect(writer.ending).toBeUndefined();
    await rig.pass(1);
    expect(said()).toBe(saying("one") + saying("two"));
    expect(writer.ending).toBe("fin");
  });

  test("is kept before its end mark leaves", async () => {
    const rig = new DriverRig();
    const keeper = new NotingKeeper();
    const schedule = new Growing(2);
    const { said } = rig.ask(() => rig.asking(() => scheduled(schedule), { keeper }));
    await rig.pass(5);
    expect(keeper.kept).toEqual([]);
    schedule.grow(8, 3);
    await rig.pass(10);
    expect(keeper.kept).toEqual([["onetwothree", false]]);
    expect(said()).toEndWith(DONE);
  });
});
