import { describe, expect, test } from "bun:test";
import { type Answer, askOf } from "../../src/core/answer.ts";
import { AppError } from "../../src/core/errors.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { KnownBody } from "../../src/core/relay_body.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { Balance } from "../../src/sources/balance.ts";
import { makeEngine, TURN } from "./upstream/rig.ts";

const engine = makeEngine();
const ask = askOf(TURN);

function relay(): Answer {
  const body = new KnownBody([{ bytes: new Uint8Array(3), atUs: 0 }], "end", engine.wheel);
  return { kind: "relay", status: 200, fields: Fields.NONE, body };
}

/** Targets of these weights, each of which answers with `answer`. */
function balanced(weights: Readonly<Record<string, number>>, answer: () => Answer = relay) {
  const targets = Object.keys(weights).map((name) => ({ name, source: { name, answer } }));
  const orderOf = new Balance(weights).over(targets);
  return {
    order: () => orderOf(ask).map(({ name }) => name).join(""),
    /** Asks the first one. */
    async begin() {
      const call = new Exchange(engine, "test", { method: "POST" });
      const [first] = orderOf(ask);
      return { name: first!.name, call, answer: await first!.source.answer(ask, call) };
    },
  };
}

/** How often each of `names` is in them. */
function counts(names: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(names, (name) => name)).map(([name, all]) => [name, all!.length]),
  );
}

describe("Balance", () => {
  test("who has the least open answers for its weight is the first, and the rest follow", async () => {
    const { order, begin } = balanced({ a: 3, b: 1 });
    expect(order()).toBe("ab");
    const names: string[] = [];
    for (let i = 0; i < 40; i++) names.push((await begin()).name);
    expect(counts(names)).toEqual({ a: 30, b: 10 });
  });

  test("answers one after the other are spread by weight, too", async () => {
    const { begin } = balanced({ a: 1, b: 2 });
    const names: string[] = [];
    for (let i = 0; i < 30; i++) {
      const { name, answer } = await begin();
      names.push(name);
      if (answer.kind === "relay") answer.body.whole();
    }
    expect(counts(names)).toEqual({ a: 10, b: 20 });
  });

  const ends: Readonly<Record<string, (answer: Answer, call: Exchange) => void>> = {
    "is read whole": (answer) => answer.kind === "relay" && answer.body.whole(),
    "has flowed": (answer) =>
      answer.kind === "relay" && answer.body.flow({ onPiece() {}, onEnd() {} }),
    "is given up": (answer) => answer.kind === "relay" && answer.body.cancel(),
    "is over for whoever has asked": (_, call) => call.release(),
    "is all of these, which counts once": (answer, call) => {
      if (answer.kind === "relay") answer.body.cancel();
      call.release();
    },
  };
  for (const [name, end] of Object.entries(ends)) {
    test(`an answer that ${name} is open no more`, async () => {
      const { order, begin } = balanced({ a: 1, b: 1 });
      const [one, two] = [await begin(), await begin()];
      expect([one.name, two.name]).toEqual(["a", "b"]);
      end(two.answer, two.call);
      expect(order()).toBe("ba");
      end(two.answer, two.call);
      end(one.answer, one.call);
      expect(order()).toBe("ab");
    });
  }

  for (const how of ["thrown", "rejected"] as const) {
    test(`an error that is ${how} leaves nothing open`, async () => {
      const { order, begin } = balanced({ a: 1, b: 1 }, (): never => {
        const error = new AppError("upstream_broken", "no");
        if (how === "thrown") throw error;
        return Promise.reject(error) as never;
      });
      await begin().then(() => expect.unreachable(), () => {});
      await begin().then(() => expect.unreachable(), () => {});
      expect(order()).toBe("ab");
    });
  }
});
