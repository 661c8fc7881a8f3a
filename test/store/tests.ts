/**
 * One list of tests for every store. A file per store says how to open it.
 *
 * @module
 */

import { afterEach, describe, expect, test } from "bun:test";
import { AppError } from "../../src/core/errors.ts";
import { FREE, type StoredKey } from "../../src/core/keys.ts";
import {
  dayOf,
  markOf,
  type ObjectQuery,
  type Store,
  type StoredObject,
  type UsageRow,
} from "../../src/core/store.ts";

/** 2026-11-15T12:00:00Z. */
export const NOW_MS = 1_794_744_000_000;
const DAY_MS = 86_400_000;

/** Somewhere to keep things, empty at first. */
export interface Place {
  /** Opens it; a second opening is another process's view of the same. */
  open(): Store;
  /** Ends what `open` made, except the stores themselves. */
  dispose(): Promise<void> | void;
}

/** A key of the store. */
export function stored(name: string, digest: string, more: Partial<StoredKey> = {}): StoredKey {
  return {
    name,
    digest: digest.padEnd(64, "0"),
    rules: FREE,
    madeMs: NOW_MS,
    endsMs: Infinity,
    isCurrent: true,
    ...more,
  };
}

/** A row of usage: 3 tokens and 4, and 7 billionths. */
export function used(id: string, more: Partial<UsageRow> = {}): UsageRow {
  return {
    id,
    atMs: NOW_MS,
    key: "ci",
    model: "gpt-4o",
    surface: "v1_chat_completions",
    upstream: "api.example",
    status: 200,
    outcome: "completed",
    promptTokens: 3,
    cachedTokens: 1,
    completionTokens: 4,
    reasoningTokens: null,
    isEstimated: false,
    costNanos: 7,
    ...more,
  };
}

/** An object of 100 characters. */
export function kept(id: string, more: Partial<StoredObject> = {}): StoredObject {
  return {
    kind: "completion",
    id,
    atMs: NOW_MS,
    doneMs: NOW_MS,
    model: "gpt-4o",
    marks: "",
    data: id.padEnd(100, "-"),
    ...more,
  };
}

const LIST: ObjectQuery = {
  kind: "completion",
  model: undefined,
  marks: [],
  needs: "all",
  nowMs: NOW_MS,
  after: undefined,
  isAscending: true,
  limit: 100,
};

/** Why `work` failed; "" = it did not. */
async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "";
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}

/** The list. */
export function storeTests(name: string, makePlace: () => Promise<Place>): void {
  describe(`store: ${name}`, () => {
    const ends: (() => unknown)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0).reverse()) await end();
    });
    async function place() {
      const made = await makePlace();
      ends.push(() => made.dispose());
      return () => {
        const store = made.open();
        ends.push(() => store.close());
        return store;
      };
    }

    test("who only looks finds nothing, and makes nothing", async () => {
      const open = await place();
      const store = open();
      expect([await store.keysVersion(), await store.keys(), await store.spent(NOW_MS)])
        .toEqual([0, [], []]);
    });

    test("a key is there for others as it was added", async () => {
      const open = await place();
      const [store, other] = [open(), open()];
      const before = await other.keysVersion();
      const rules = { ...FREE, models: ["gpt-4o*", "水"], tokens_per_min: 9, budget_usd: 0.5 };
      const key = stored("ci", "a1", { rules, endsMs: NOW_MS + 5 });
      await store.changeKeys({ kind: "add", key });
      expect(await other.keysVersion()).not.toBe(before);
      expect(await other.keys()).toEqual([key]);
    });

    test("a name is taken until its keys have ended", async () => {
      const open = await place();
      const store = open();
      const add = (digest: string, madeMs: number, endsMs = Infinity) =>
        codeOf(() =>
          store.changeKeys({ kind: "add", key: stored("ci", digest, { madeMs, endsMs }) })
        );
      expect(await add("a1", NOW_MS, NOW_MS + 10)).toBe("");
      expect(await add("a2", NOW_MS + 9)).toBe("conflict");
      expect(await add("a2", NOW_MS + 10)).toBe("");
      expect(await add("a3", NOW_MS + 11)).toBe("conflict");
      const keys = await store.keys();
      expect(keys.map(({ digest, isCurrent }) => [digest.slice(0, 2), isCurrent]))
        .toEqual([["a1", false], ["a2", true]]);
    });

    test("adds usage up by what is asked for, and what nobody knows stays unknown", async () => {
      const open = await place();
      const store = open();
      const day = dayOf(NOW_MS);
      const query = { by: [], sinceDay: day - 1, untilDay: day, key: undefined } as const;
      expect((await store.usage({ ...query, by: ["key"] })).length).toBe(0);
      await store.addUsage([
        used("a", { reasoningTokens: 2 }),
        used("b", { model: "o3", isEstimated: true, costNanos: null }),
        used("c", { key: "", atMs: NOW_MS - DAY_MS, completionTokens: null }),
        used("d", { atMs: NOW_MS - 2 * DAY_MS }),
      ]);
      const [all] = await store.usage(query);
      expect(all).toEqual({
        day: undefined,
        key: undefined,
        model: undefined,
        requests: 3,
        estimated: 1,
        unknownTokens: 1,
        unknownCosts: 1,
        promptTokens: 9,
        cachedTokens: 3,
        completionTokens: 8,
        reasoningTokens: 2,
        costNanos: 14,
      });
      const by = await store.usage({ ...query, by: ["model", "key", "day"] });
      expect(by.map((sum) => [sum.day, sum.key, sum.model, sum.requests])).toEqual([
        [day - 1, "", "gpt-4o", 1],
        [day, "ci", "gpt-4o", 1],
        [day, "ci", "o3", 1],
      ]);
      const own = await store.usage({ ...query, by: ["day"], key: "ci" });
      expect(own.map(({ day, requests }) => [day, requests])).toEqual([[day, 2]]);
    });

    test("of eight who add one name at once, one does", async () => {
      const open = await place();
      const codes = await Promise.all(
        Array.from({ length: 8 }, (_, i) => {
          const store = open();
          return codeOf(() => store.changeKeys({ kind: "add", key: stored("ci", `a${i}`) }));
        }),
      );
      expect(codes.sort()).toEqual(["", ...Array(7).fill("conflict")]);
    });

    test("a rotated key ends later, but no later than it would have", async () => {
      const open = await place();
      const store = open();
      const rotate = (digest: string, atMs: number, endsMs: number) =>
        codeOf(() =>
          store.changeKeys({ kind: "rotate", key: stored("ci", digest, { madeMs: atMs }), endsMs })
        );
      expect(await rotate("a0", NOW_MS, NOW_MS)).toBe("not_found");
      const first = stored("ci", "a1", { endsMs: NOW_MS + 50 });
      await store.changeKeys({ kind: "add", key: first });
      expect(await rotate("a2", NOW_MS + 1, NOW_MS + 100)).toBe("");
      expect(await rotate("a3", NOW_MS + 2, NOW_MS + 200)).toBe("");
      const keys = await store.keys();
      expect(keys.map(({ endsMs, isCurrent }) => [endsMs - NOW_MS, isCurrent]))
        .toEqual([[50, false], [200, false], [Infinity, true]]);
    });

    test("what is revoked has ended, all of that name and nothing else", async () => {
      const open = await place();
      const store = open();
      const revoke = () =>
        codeOf(() => store.changeKeys({ kind: "revoke", name: "ci", endsMs: NOW_MS + 5 }));
      expect(await revoke()).toBe("not_found");
      await store.changeKeys({ kind: "add", key: stored("ci", "a1") });
      await store.changeKeys({ kind: "add", key: stored("dev", "d1") });
      await store.changeKeys({
        kind: "rotate",
        key: stored("ci", "a2", { madeMs: NOW_MS + 1 }),
        endsMs: NOW_MS + 99,
      });
      expect(await revoke()).toBe("");
      expect(await revoke()).toBe("not_found");
      expect((await store.keys()).map(({ name, endsMs }) => [name, endsMs - NOW_MS]))
        .toEqual([["ci", 5], ["dev", Infinity], ["ci", 5]]);
    });

    test("usage counts once, however often it is added", async () => {
      const open = await place();
      const [store, other] = [open(), open()];
      const rows = Array.from({ length: 1500 }, (_, i) => used(`r${i}`));
      await store.addUsage(rows);
      await Promise.all([store.addUsage(rows.slice(0, 900)), other.addUsage(rows.slice(700))]);
      await other.addUsage([used("r0"), used("r0", { key: "dev" }), used("n1"), used("n1")]);
      expect(await store.spent(NOW_MS)).toEqual([
        {
          key: "ci",
          dayTokens: 7 * 1501,
          dayNanos: 7 * 1501,
          monthTokens: 7 * 1501,
          monthNanos: 7 * 1501,
        },
      ]);
    });

    test("many processes add at once, and nothing is lost or counted twice", async () => {
      const open = await place();
      const stores = Array.from({ length: 6 }, open);
      await Promise.all(stores.map(async (store, s) => {
        for (let i = 0; i < 10; i++) {
          await store.addUsage([
            used(`${s}-${i}`, { model: i % 2 ? "b" : "a" }),
            used(`shared-${i}`, { key: "dev" }),
          ]);
        }
      }));
      const spent = await stores[0]!.spent(NOW_MS);
      expect(spent.map(({ key, dayTokens }) => [key, dayTokens]).sort())
        .toEqual([["ci", 7 * 60], ["dev", 7 * 10]]);
    });

    test("sums are of a day and a month of UTC", async () => {
      const open = await place();
      const store = open();
      const at = (text: string) => Date.parse(text);
      await store.addUsage([
        used("a", { atMs: at("2026-10-31T23:59:59.999Z") }),
        used("b", { atMs: at("2026-11-01T00:00:00Z") }),
        used("c", { atMs: at("2026-11-14T23:59:59.999Z") }),
        used("d", { atMs: at("2026-11-15T00:00:00Z") }),
        used("e", { atMs: at("2026-11-16T00:00:00Z") }),
      ]);
      const sums = async (text: string) =>
        (await store.spent(at(text))).map(({ dayTokens, monthTokens }) => [
          dayTokens / 7,
          monthTokens / 7,
        ]);
      expect(await sums("2026-11-15T12:00:00Z")).toEqual([[1, 3]]);
      expect(await sums("2026-11-16T00:00:00Z")).toEqual([[1, 4]]);
      expect(await sums("2026-11-30T23:59:59Z")).toEqual([[0, 4]]);
      expect(await sums("2026-12-01T00:00:00Z")).toEqual([]);
      expect(await sums("2026-10-31T23:59:59Z")).toEqual([[1, 1]]);
    });

    test("what nobody knows is no 0, and what an upstream makes up is kept as well as it can be", async () => {
      const open = await place();
      const store = open();
      await store.addUsage([
        used("a", { promptTokens: null, completionTokens: null, costNanos: null }),
        used("b", { promptTokens: 1.4, completionTokens: -5, costNanos: NaN }),
        used("c", { model: `\0${"水".repeat(999)}\ud800`, promptTokens: 1e300, costNanos: 0 }),
      ]);
      const [spent] = await store.spent(NOW_MS);
      expect(spent!.dayTokens).toBe(1 + Number.MAX_SAFE_INTEGER + 4);
      expect(spent!.dayNanos).toBe(0);
    });

    test("what was kept is there at the next opening", async () => {
      const open = await place();
      const store = open();
      await store.changeKeys({ kind: "add", key: stored("ci", "a1") });
      await store.addUsage([used("a", { atMs: NOW_MS - DAY_MS })]);
      await store.close();
      const next = open();
      expect((await next.keys()).length).toBe(1);
      expect((await next.spent(NOW_MS))[0]).toMatchObject({ dayTokens: 0, monthTokens: 7 });
      expect(dayOf(NOW_MS - DAY_MS)).toBe(dayOf(NOW_MS) - 1);
    });

    test("single rows and sums of days go when they are old, some at a time; budgets stay", async () => {
      const open = await place();
      const store = open();
      const day = dayOf(NOW_MS);
      expect(await store.pruneUsage(NOW_MS, day, 10)).toBe(0); // of nothing
      await store.addUsage([
        ...Array.from({ length: 7 }, (_, i) => used(`old${i}`, { atMs: NOW_MS - 40 * DAY_MS })),
        used("month", { atMs: NOW_MS - 10 * DAY_MS }),
        used("today"),
      ]);
      const sinceMs = NOW_MS - 5 * DAY_MS;
      expect(await store.pruneUsage(sinceMs, day - 100, 5)).toBe(5);
      expect(await store.pruneUsage(sinceMs, day - 100, 5)).toBe(3);
      expect(await store.pruneUsage(sinceMs, day - 100, 5)).toBe(0);
      expect((await store.spent(NOW_MS))[0]).toMatchObject({ dayTokens: 7, monthTokens: 14 });
      const query = { by: [], sinceDay: day - 99, untilDay: day, key: undefined } as const;
      expect((await store.usage(query))[0]).toMatchObject({ requests: 9 });
      expect(await store.pruneUsage(sinceMs, day - 20, 5)).toBe(1);
      expect((await store.usage(query))[0]).toMatchObject({ requests: 2 });
    });

    test("an object is there until it is removed, and does not come back with what is late", async () => {
      const open = await place();
      const [store, other] = [open(), open()];
      expect(await other.object("completion", "a")).toBe(undefined);
      expect(await store.removeObject("completion", "a")).toBe(false);
      const object = kept("a", {
        data: JSON.stringify({ said: '水\0\ud800 "' }),
        marks: markOf("x"),
      });
      await store.addObjects([object, kept("a", { kind: "response" })]);
      expect((await other.object("completion", "a"))!.object).toEqual(object);
      await store.addObjects([
        kept("a", { data: "earlier", atMs: NOW_MS - 1 }),
        kept("a", { data: "same" }),
      ]);
      expect((await other.object("completion", "a"))!.object).toEqual(object);
      expect(await other.removeObject("completion", "a")).toBe(true);
      expect(await other.removeObject("completion", "a")).toBe(false);
      await store.addObjects([object]);
      expect(await store.object("completion", "a")).toBe(undefined);
      expect((await store.objects(LIST)).length).toBe(0);
      await store.addObjects([kept("a", { data: "later", atMs: NOW_MS + 1 })]);
      expect((await other.object("completion", "a"))!.object.data).toBe("later");
      expect((await other.object("response", "a"))!.object.kind).toBe("response");
    });

    test("whatever a client asks for is an id, or none", async () => {
      const open = await place();
      const store = open();
      await store.addObjects([kept("水\0\ud800", { data: "水" }), kept("x".repeat(256))]);
      expect((await store.object("completion", "水\0\ud800"))!.object.data).toBe("水");
      for (const id of ["\0", "\ud800", "", "x".repeat(257), "x".repeat(99_999), "'; --"]) {
        expect(await store.object("completion", id)).toBe(undefined);
        expect(await store.removeObject("completion", id)).toBe(false);
      }
      expect(await store.removeObject("completion", "x".repeat(256))).toBe(true);
    });

    test("of many who change an object at once one does at a time, and nothing is overwritten", async () => {
      const open = await place();
      const stores = Array.from({ length: 4 }, open);
      await stores[0]!.addObjects([kept("a", { data: "[]" })]);
      await Promise.all(stores.map(async (store, s) => {
        for (let i = 0; i < 5;) {
          const { object, version } = (await store.object("completion", "a"))!;
          const data = JSON.stringify([...JSON.parse(object.data) as string[], `${s}-${i}`]);
          if (await store.changeObject({ ...object, data }, version)) i++;
        }
      }));
      const { object } = (await stores[1]!.object("completion", "a"))!;
      expect(new Set(JSON.parse(object.data) as string[]).size).toBe(20);
      await stores[2]!.removeObject("completion", "a");
      expect(await stores[3]!.changeObject(object, 21)).toBe(false);
    });

    test("a list is in order, in pages, of a model, with marks", async () => {
      const open = await place();
      const store = open();
      const objects = Array.from({ length: 9 }, (_, i) =>
        kept(`o${i}`, {
          atMs: NOW_MS + (i >> 1), // two at a time
          model: i % 2 === 0 ? "even" : "odd",
          marks: markOf("n", String(i % 3)) + markOf("all"),
        }));
      await store.addObjects([
        ...objects.toReversed(),
        kept("late", { doneMs: NOW_MS + 99 }),
        kept("other", { kind: "response" }),
      ]);
      const ids = async (query: Partial<ObjectQuery>) =>
        (await store.objects({ ...LIST, ...query })).map(({ id }) => id).join(" ");
      expect(await ids({})).toBe("o0 o1 o2 o3 o4 o5 o6 o7 o8");
      expect(await ids({ limit: 2, after: objects[2]! })).toBe("o3 o4");
      expect(await ids({ limit: 3, after: objects[3]!, isAscending: false })).toBe("o2 o1 o0");
      expect(await ids({ after: { id: "o2b", atMs: NOW_MS + 1 }, limit: 1 })).toBe("o3");
      expect(await ids({ model: "odd" })).toBe("o1 o3 o5 o7");
      expect(await ids({ marks: [markOf("all"), markOf("n", "1")] })).toBe("o1 o4 o7");
      expect(await ids({ marks: [markOf("n", "0"), markOf("n", "1")], needs: "any" }))
        .toBe("o0 o1 o3 o4 o6 o7");
      expect(await ids({ marks: [markOf("none")] })).toBe("");
      expect(await ids({ nowMs: NOW_MS + 99, limit: 1 })).toBe("late");
    });

    test("the oldest objects go: those that are too old, and those that there is no room for", async () => {
      const open = await place();
      const store = open();
      const limits = { sinceMs: NOW_MS - DAY_MS, bytesMax: 1e9 };
      expect(await store.pruneObjects(limits, 10)).toBe(0);
      await store.addObjects([
        kept("a", { atMs: NOW_MS - 3 * DAY_MS }),
        kept("b", { atMs: NOW_MS - 2 * DAY_MS }),
        ...Array.from({ length: 10 }, (_, i) => kept(`c${i}`, { atMs: NOW_MS + i })),
      ]);
      const ids = async () => (await store.objects({ ...LIST, nowMs: NOW_MS })).map(({ id }) => id);
      expect(await store.pruneObjects(limits, 1)).toBe(1);
      expect(await store.pruneObjects(limits, 99)).toBe(1);
      expect(await store.pruneObjects(limits, 99)).toBe(0);
      // Each takes 356 bytes: what is removed takes none, and changes are counted.
      await store.removeObject("completion", "c1");
      const { object, version } = (await store.object("completion", "c0"))!;
      await store.changeObject({ ...object, data: "x".repeat(456) }, version);
      expect(await store.pruneObjects({ ...limits, bytesMax: 712 + 8 * 356 }, 99)).toBe(0);
      expect(await store.pruneObjects({ ...limits, bytesMax: 712 + 8 * 356 - 1 }, 99)).toBe(1);
      expect(await ids()).toEqual(Array.from({ length: 8 }, (_, i) => `c${i + 2}`));
      expect(await store.pruneObjects({ ...limits, bytesMax: 2 * 356 }, 99)).toBe(7); // c1's place, too
      expect(await ids()).toEqual(["c8", "c9"]);
      await store.addObjects([kept("c9", { atMs: NOW_MS + 20 })]);
      expect(await store.pruneObjects({ ...limits, bytesMax: 2 * 356 }, 99)).toBe(0);
    });

    test("many who add and remove objects at once wait for each other, and the size is right", async () => {
      const open = await place();
      const stores = Array.from({ length: 5 }, open);
      await Promise.all(stores.map(async (store, s) => {
        for (let i = 0; i < 6; i++) {
          await store.addObjects(
            Array.from(
              { length: 8 },
              (_, k) => kept(`${k % 2 === 0 ? s : ""}-${(i * 3 + k * 5) % 11}`),
            ),
          );
          await store.removeObject("completion", `-${(i + s) % 11}`);
        }
      }));
      const count = (await stores[0]!.objects(LIST)).length;
      const limits = { sinceMs: 0, bytesMax: count * 356 };
      expect(await stores[1]!.pruneObjects(limits, 99)).toBe(0);
      expect(await stores[2]!.pruneObjects({ ...limits, bytesMax: limits.bytesMax - 1 }, 99))
        .toBeGreaterThan(0);
    });
  });
}
