import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { Keeping } from "../../src/core/keeping.ts";
import { DriverRig, NotingKeeper, settle } from "./driver_rig.ts";

/** One answer of which `keeper` is told, and what came of it. */
function keepingWith(keeper: NotingKeeper) {
  const rig = new DriverRig();
  const exchange = new Exchange(rig.engine, "test", { method: "POST" });
  return { rig, exchange, keeping: new Keeping(keeper, exchange) };
}

describe("Keeping.whole()", () => {
  test("keeps the text, settles with it, and finishes behind it", async () => {
    const gate = Promise.withResolvers<void>();
    const keeper = new NotingKeeper({ gate: gate.promise });
    const { keeping } = keepingWith(keeper);
    let isSettled = false;
    const whole = keeping.whole("水").then(() => {
      isSettled = true;
    });
    await settle();
    expect([keeper.kept, keeper.finished, isSettled]).toEqual([[["水", false]], 0, false]);
    gate.resolve();
    await whole;
    expect(keeper.finished).toBe(1);
  });

  test("keeps an answer that says nothing", async () => {
    const keeper = new NotingKeeper();
    await keepingWith(keeper).keeping.whole("");
    expect(keeper.kept).toEqual([["", false]]);
  });

  test("throws what the keeper throws, and finishes", async () => {
    const error = new AppError("memory_failed", "The disk is full");
    const keeper = new NotingKeeper({ gate: Promise.reject(error) });
    expect(await keepingWith(keeper).keeping.whole("a").catch((thrown) => thrown)).toBe(error);
    expect(keeper.finished).toBe(1);
  });
});

describe("Keeping.cut()", () => {
  interface Case {
    readonly name: string;
    readonly hasLeft: boolean;
    readonly isDraining?: boolean;
    readonly keepsKnown?: boolean;
    readonly keepsBroken?: boolean;
    readonly said: string;
    readonly whole?: string;
    readonly kept: readonly (readonly [string, boolean])[];
  }
  const CASES: readonly Case[] = [
    { name: "what was heard", hasLeft: true, said: "a", kept: [["a", true]] },
    { name: "nothing when nothing was heard", hasLeft: true, said: "", kept: [] },
    { name: "nothing when it failed", hasLeft: false, said: "a", kept: [] },
    {
      name: "what was said when it failed, where that is kept",
      hasLeft: false,
      keepsBroken: true,
      said: "a",
      kept: [["a", true]],
    },
    {
      name: "as far as it was heard what is known and is not to be finished",
      hasLeft: true,
      said: "a",
      whole: "ab",
      kept: [["a", true]],
    },
    {
      name: "all of what is known and is to be finished",
      hasLeft: true,
      isDraining: true,
      said: "a",
      whole: "ab",
      kept: [["ab", false]],
    },
    {
      name: "all of what is known, where that is kept",
      hasLeft: true,
      keepsKnown: true,
      said: "",
      whole: "ab",
      kept: [["ab", false]],
    },
    {
      name: "what was heard of what is not known, though it is to be finished",
      hasLeft: true,
      isDraining: true,
      keepsKnown: true,
      said: "a",
      kept: [["a", true]],
    },
  ];
  for (const { name, hasLeft, isDraining = false, said, whole, kept, ...keeps } of CASES) {
    test(`keeps ${name}, and finishes`, async () => {
      const keeper = new NotingKeeper(keeps);
      const { exchange, keeping } = keepingWith(keeper);
      exchange.isDraining = isDraining;
      if (hasLeft) exchange.leave();
      keeping.cut(said, whole);
      await settle();
      expect(keeper.kept).toEqual([...kept]);
      expect(keeper.finished).toBe(1);
    });
  }

  for (
    const [error, kinds] of [
      [new AppError("memory_failed", "The disk is full"), []],
      [new TypeError("a bug"), ["bug"]],
    ] as const
  ) {
    test(`a keeper that throws ${error.message} is finished, and watched when it is a bug`, async () => {
      const keeper = new NotingKeeper({ gate: Promise.reject(error) });
      const { rig, exchange, keeping } = keepingWith(keeper);
      exchange.leave();
      keeping.cut("a");
      await settle();
      expect(keeper.finished).toBe(1);
      expect(rig.events.map(({ kind }) => kind)).toEqual([...kinds]);
    });
  }
});

describe("Keeping", () => {
  test("drop() keeps nothing and finishes", () => {
    const keeper = new NotingKeeper({ keepsBroken: true });
    keepingWith(keeper).keeping.drop();
    expect([keeper.kept, keeper.finished]).toEqual([[], 1]);
  });

  const CALLS = {
    whole: (keeping: Keeping) => keeping.whole("a"),
    cut: (keeping: Keeping) => keeping.cut("a"),
    drop: (keeping: Keeping) => keeping.drop(),
  } as const;
  for (const first of Object.keys(CALLS) as (keyof typeof CALLS)[]) {
    for (const second of Object.keys(CALLS) as (keyof typeof CALLS)[]) {
      test(`${second}() after ${first}() does nothing`, async () => {
        const keeper = new NotingKeeper();
        const { exchange, keeping } = keepingWith(keeper);
        exchange.leave();
        const before = CALLS[first](keeping);
        await CALLS[second](keeping);
        await before;
        await settle();
        expect(keeper.finished).toBe(1);
        expect(keeper.kept).toHaveLength(first === "drop" ? 0 : 1);
      });
    }
  }
});
