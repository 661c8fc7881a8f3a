import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import type { StoredKey } from "../../src/core/keys.ts";
import { digestOf, KeyRing } from "../../src/ops/key_ring.ts";
import { keyFacts } from "../keys.ts";

const NOW_MS = 1_700_000_000_000;

/** A store of keys that answers at once or later, or not at all. */
class ToldKeys {
  version = 0;
  all: StoredKey[] = [];
  isAway = false;
  reads = 0;
  readonly #isLate: boolean;

  constructor(isLate: boolean) {
    this.#isLate = isLate;
  }

  put(...keys: readonly (readonly [name: string, token: string, endsMs?: number])[]): void {
    this.version++;
    this.all = keys.map(([name, token, endsMs]) => ({
      ...keyFacts(name, token, {}, endsMs),
      madeMs: NOW_MS,
      isCurrent: true,
    }));
  }

  keysVersion() {
    return this.#answer(() => this.version);
  }

  keys() {
    this.reads++;
    return this.#answer(() => this.all);
  }

  #answer<T>(ask: () => T): T | Promise<T> {
    const answer = () => {
      if (this.isAway) throw new AppError("store_failed", "no store", { plain: "away" });
      return ask();
    };
    return this.#isLate ? Promise.resolve().then(answer) : answer();
  }
}

for (const isLate of [false, true]) {
  describe(`KeyRing with a store that answers ${isLate ? "later" : "at once"}`, () => {
    function rig(...fixed: ReturnType<typeof keyFacts>[]) {
      const store = new ToldKeys(isLate);
      const events: Event[] = [];
      let nowMs = NOW_MS;
      const ring = new KeyRing({
        fixed,
        taken: new Set(["default"]),
        store,
        wallMs: () => nowMs,
        watch: (event) => events.push(event),
      });
      const nameOf = (token: string) => ring.find(token)?.name;
      return { store, ring, events, nameOf, pass: (ms: number) => void (nowMs += ms) };
    }

    test("takes what the store has, and asks for it only where that has changed", async () => {
      const { store, ring, nameOf } = rig(keyFacts("own", "t-own"));
      store.put(["ci", "t-1"], ["dev", "t-2"]);
      await ring.look();
      await ring.look();
      expect(store.reads).toBe(1);
      expect(["t-own", "t-1", "t-2", "t-3", ""].map(nameOf))
        .toEqual(["own", "ci", "dev", undefined, undefined]);
      store.put(["dev", "t-2"]);
      expect(nameOf("t-1")).toBe("ci");
      await ring.look();
      expect(["t-own", "t-1", "t-2"].map(nameOf)).toEqual(["own", undefined, "dev"]);
    });

    test("a key ends at its moment, without a look", async () => {
      const { store, ring, nameOf, pass } = rig(keyFacts("own", "t-own", {}, NOW_MS + 10));
      store.put(["ci", "t-1", NOW_MS + 5]);
      await ring.look();
      pass(4);
      expect([nameOf("t-1"), nameOf("t-own")]).toEqual(["ci", "own"]);
      pass(1);
      expect([nameOf("t-1"), nameOf("t-own")]).toEqual([undefined, "own"]);
      pass(5);
      expect(nameOf("t-own")).toBeUndefined();
    });

    test("says nothing of a key before it has looked, and keeps what it knows afterwards", async () => {
      const { store, ring, events, nameOf } = rig(keyFacts("own", "t-own"));
      store.put(["ci", "t-1"]);
      store.isAway = true;
      await ring.look();
      await ring.look();
      expect([ring.isRead, ring.trouble]).toEqual([false, "away"]);
      expect(nameOf("t-own")).toBe("own");
      expect(() => nameOf("t-1")).toThrow("The keys cannot be looked up now");
      store.isAway = false;
      await ring.look();
      expect([ring.isRead, ring.trouble, nameOf("t-1")]).toEqual([true, "", "ci"]);
      store.isAway = true;
      await ring.look();
      expect([ring.trouble, nameOf("t-1"), nameOf("t-2")]).toEqual(["away", "ci", undefined]);
      store.isAway = false;
      await ring.look();
      expect(events.map(({ kind }) => kind))
        .toEqual(["store_failed", "store_recovered", "store_failed", "store_recovered"]);
    });

    test("leaves out a key that is named as the operator's token is, and says so once", async () => {
      const { store, ring, events, nameOf } = rig(keyFacts("default", "t-own"));
      for (let looks = 0; looks < 2; looks++) {
        store.put(["default", "t-1"], ["ci", "t-2"]);
        await ring.look();
      }
      expect(["t-own", "t-1", "t-2"].map(nameOf)).toEqual(["default", undefined, "ci"]);
      expect(events).toEqual([{ kind: "key_left_out", name: "default" }]);
    });

    test("knows whether some key has limits", async () => {
      const { store, ring } = rig(keyFacts("own", "t-own", { admin: true }));
      await ring.look();
      expect(ring.hasLimits).toBe(false);
      store.put(["ci", "t-1"]);
      store.all = store.all.map((key) => ({ ...key, rules: { ...key.rules, budget_tokens: 1 } }));
      await ring.look();
      expect(ring.hasLimits).toBe(true);
    });
  });
}

test("digestOf() is SHA-256", () => {
  expect(digestOf("abc"))
    .toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});
