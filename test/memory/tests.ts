/**
 * One list of tests for every memory. A file per store says how to open it, and which tests it
 * skips for which reason.
 *
 * @module
 */

import { afterEach, describe, expect, test } from "bun:test";
import type { Event } from "../../src/core/events.ts";
import type { HistoryLimits } from "../../src/core/history.ts";
import {
  type ApplyRequest,
  type Caller,
  type Memory,
  messagesOf,
  NO_MARK,
  type SaidTurn,
  saidTurn,
  type SessionIds,
  type StoredTurn,
} from "../../src/core/memory.ts";
import { nameOf } from "../../src/core/session.ts";
import { compilePrompt, type FillPrompt } from "../../src/core/system_prompt.ts";
import type { StoreOptions } from "../../src/memory/sqlite.ts";
import { waitFor } from "../server/launch.ts";

/** Somewhere to keep turns, empty at first. */
export interface Store {
  /** Opens it; a second opening is another process's view of the same turns. */
  open(options: StoreOptions): Promise<Memory>;
  /** Ends what `open` made, except the memories themselves. */
  dispose(): Promise<void>;
}

/** What a store cannot do. */
export interface Skip {
  readonly reason: string;
  readonly tests: readonly string[];
}

/** What a memory server's protocol cannot carry. */
export const HTTP_SKIPS: readonly Skip[] = [
  {
    reason: "the protocol has no question for it",
    tests: [
      "find() gives the turn of a key",
      "named() gives the session of that name, else those whose ids are joined so",
    ],
  },
  {
    reason: "the server that took them has them at hand",
    tests: ["apply() reads no texts that are too long to be shown"],
  },
  {
    reason: "how many bytes are on a page is for the server to say",
    tests: ["page() ends where its bytes end, and a turn over them comes alone"],
  },
  {
    reason: "the protocol carries neither",
    tests: ["turns() tells which turns are partial, and when they were"],
  },
  {
    reason: "the protocol carries no keys that are asked, and knows no claims",
    tests: [
      "apply() does not show what is kept in part under the key that is asked",
      "claim() gives a key to one opening at a time, and tells what is kept",
      "commit() with a claim tells of another answer under its key",
    ],
  },
  {
    reason: "a memory server keeps its own days",
    tests: ["prune() forgets what is older, across many sessions"],
  },
  {
    reason: "the outbox before it sends the turns of a session one behind the other",
    tests: [
      "commit() keeps the order of 100 turns that nobody waited for",
      "a closed memory keeps its turns for the next opening",
    ],
  },
];

/** A wall clock that stands where a test puts it. */
export const START_MS = Date.UTC(2026, 10, 20, 9, 12, 33);

/** Nobody leaves in these tests. */
export const CALLER: Caller = { signal: new AbortController().signal };

const PROMPT = "Known: {{summary}}\n\nNow: {{current_time}}\n\nRole: {{role_prompt}}";

/** One token per character: easy to count by hand. */
export function storeOptions(limits: Partial<HistoryLimits> = {}): StoreOptions & {
  nowMs: number;
  readonly events: Event[];
} {
  const events: Event[] = [];
  const options = {
    limits: { turnsMax: 20, tokensMax: 0, ...limits },
    countTokens: (text: string) => text.length,
    fillPrompt: compilePrompt(PROMPT) as FillPrompt,
    watch: (event: Event) => void events.push(event),
    wallMs: () => options.nowMs,
    nowMs: START_MS,
    events,
  };
  return options;
}

/** A request's ids and texts, all empty but for those given. */
export function ask(fields: Partial<ApplyRequest> = {}): ApplyRequest {
  return {
    sessionId: "",
    userId: "",
    roleId: "",
    groupId: "",
    query: "",
    rolePrompt: "",
    key: "",
    ...fields,
  };
}

/** A turn of session "s" unless other ids are given. */
export function said(query: string, answer: string, fields: Partial<SaidTurn> = {}): SaidTurn {
  const ids = { sessionId: "", userId: "", roleId: "", groupId: "", ...fields };
  const hasIds = ids.sessionId + ids.userId + ids.roleId + ids.groupId !== "";
  return saidTurn({
    key: "",
    claim: "",
    mark: NO_MARK,
    isPartial: false,
    atMs: START_MS,
    ...ids,
    sessionId: hasIds ? nameOf(ids) : "s",
    query,
    answer,
  });
}

const NOTHING = { turns: 0, sessions: 0 };

/** Turns as "query>answer". */
export function short(turns: readonly Pick<StoredTurn, "query" | "answer">[]): string[] {
  return turns.map(({ query, answer }) => `${query}>${answer}`);
}

/** Waits until nothing is on its way. */
async function arrived(memory: Memory): Promise<void> {
  while ((memory.backlog?.()?.turns ?? 0) > 0) await Bun.sleep(2);
}

/** Runs the list on the store that `make` makes anew for every test. */
export function memoryTests(
  name: string,
  make: () => Promise<Store>,
  skips: readonly Skip[] = [],
): void {
  const open: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });

  async function makeStore(): Promise<Store> {
    const store = await make();
    open.push(() => store.dispose());
    return store;
  }

  async function openIn(store: Store, options = storeOptions()): Promise<Memory> {
    const memory = await store.open(options);
    open.push(() => memory.close());
    return memory;
  }

  async function openNew(options = storeOptions()): Promise<Memory> {
    return await openIn(await makeStore(), options);
  }

  function listed(title: string, run: () => Promise<void>, timeoutMs = 20_000): void {
    const skip = skips.find(({ tests }) => tests.includes(title));
    if (skip === undefined) test(title, run, timeoutMs);
    else test.skip(`${title} (${skip.reason})`, run);
  }

  describe(`memory: ${name}`, () => {
    listed("apply() of an unknown session has no messages and no summary", async () => {
      const memory = await openNew();
      const { systemPrompt, messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages).toEqual([]);
      expect(systemPrompt).toBe("Now: 2026-11-20 09:12:33");
    });

    listed("apply() gives what was committed, oldest first", async () => {
      const memory = await openNew();
      await memory.commit(said("one", "1"));
      await memory.commit(said("two", "2"));
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages).toEqual([
        { role: "user", content: "one" },
        { role: "assistant", content: "1" },
        { role: "user", content: "two" },
        { role: "assistant", content: "2" },
      ]);
    });

    listed("commit() keeps the order of 100 turns that nobody waited for", async () => {
      const memory = await openNew(storeOptions({ turnsMax: 200 }));
      const turns = Array.from({ length: 100 }, (_, i) => said(`q${i}`, `a${i}`));
      await Promise.all(turns.map((turn) => memory.commit(turn)));
      expect(short(await memory.turns("s", 1000))).toEqual(short(turns));
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages).toEqual(turns.flatMap(messagesOf));
    });

    listed("commit() keeps a key once, and every session its own", async () => {
      const memory = await openNew();
      await memory.commit(said("one", "1", { key: "k" }));
      await memory.commit(said("one", "again", { key: "k" }));
      await memory.commit(said("two", "2", { key: "k", sessionId: "other" }));
      expect(short(await memory.turns("s", 10))).toEqual(["one>1"]);
      expect(short(await memory.turns("other", 10))).toEqual(["two>2"]);
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages).toHaveLength(2);
    });

    listed("commit() keeps the same words twice when no key says that they are one", async () => {
      const memory = await openNew();
      await memory.commit(said("hi", "hello"));
      await memory.commit(said("hi", "hello"));
      expect(short(await memory.turns("s", 10))).toEqual(["hi>hello", "hi>hello"]);
    });

    listed("find() gives the turn of a key", async () => {
      const memory = await openNew();
      await memory.commit(said("one", "1", { key: "k" }));
      expect(await memory.find("s", "k")).toMatchObject({ query: "one", answer: "1" });
      expect(await memory.find("s", "other")).toBeUndefined();
      expect(await memory.find("other", "k")).toBeUndefined();
    });

    listed("apply() gives the newest turns within the limit of turns", async () => {
      const memory = await openNew(storeOptions({ turnsMax: 2 }));
      for (const i of [1, 2, 3]) await memory.commit(said(`q${i}`, `a${i}`));
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages.map(({ content }) => content)).toEqual(["q2", "a2", "q3", "a3"]);
    });

    listed("apply() tells in the prompt what is not shown", async () => {
      const memory = await openNew(storeOptions({ turnsMax: 2 }));
      for (const i of [1, 2, 3]) await memory.commit(said(`q${i}`, `a${i}`));
      const { systemPrompt } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(systemPrompt).toStartWith(
        "Known: The conversation began on 2026-11-20 09:12:33 (UTC) and has 3 turns so far; " +
          "the last 2 of them follow.",
      );
    });

    listed("apply() gives the newest turns within the limit of tokens", async () => {
      const memory = await openNew(storeOptions({ tokensMax: 10 }));
      for (const query of ["aaaa", "bbbb", "cccc"]) await memory.commit(said(query, "+"));
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages.map(({ content }) => content)).toEqual(["bbbb", "+", "cccc", "+"]);
    });

    listed("apply() with no turns allowed gives none", async () => {
      const memory = await openNew(storeOptions({ turnsMax: 0 }));
      await memory.commit(said("one", "1"));
      expect((await memory.apply(ask({ sessionId: "s" }), CALLER)).messages).toEqual([]);
    });

    listed("apply() tells group, user and role apart when no session is named", async () => {
      const memory = await openNew();
      const ids = { groupId: "g", userId: "u", roleId: "r" };
      await memory.commit(said("one", "1", ids));
      expect(short(await memory.turns("group_id=g&user_id=u&role_id=r", 10))).toEqual(["one>1"]);
      expect((await memory.apply(ask(ids), CALLER)).messages).toHaveLength(2);
      for (const other of [{ userId: "u" }, { userId: "g_u", roleId: "r" }, { userId: "g_u_r" }]) {
        expect((await memory.apply(ask(other), CALLER)).messages).toEqual([]);
      }
    });

    listed(
      "named() gives the session of that name, else those whose ids are joined so",
      async () => {
        const memory = await openNew();
        const named = async (name: string) => [...await memory.named(name)].sort();
        const first = { userId: "张_三", roleId: "c" };
        expect(await named("张_三_c")).toEqual([]);
        await memory.commit(said("one", "1", first));
        const name = nameOf({ sessionId: "", groupId: "", ...first });
        expect(await named("张_三_c")).toEqual([name]);
        expect(await named(name)).toEqual([name]);
        await memory.commit(said("two", "2", { userId: "张", roleId: "三_c" }));
        await memory.commit(said("three", "3", { groupId: "张", userId: "三", roleId: "c" }));
        expect(await named("张_三_c")).toHaveLength(2);
        await memory.commit(said("four", "4", { sessionId: "张_三_c", ...first }));
        expect(await named("张_三_c")).toContain("张_三_c");
        await memory.commit(said("five", "5", { sessionId: "s1", userId: "x", roleId: "y" }));
        expect(await named("x_y")).toEqual([]);
      },
    );

    listed("apply() puts the role last and leaves its placeholders alone", async () => {
      const memory = await openNew();
      const rolePrompt = 'You are {{char}}.\n\n{{user}} says "hi" {{current_time}}';
      const { systemPrompt } = await memory.apply(ask({ sessionId: "s", rolePrompt }), CALLER);
      expect(systemPrompt).toBe(`Now: 2026-11-20 09:12:33\n\nRole: ${rolePrompt}`);
    });

    /** Who says what of the role, and who is told it afterwards. */
    const a = { userId: "a", roleId: "tiffany" };
    const PROMPTS:
      readonly (readonly [string, Partial<ApplyRequest>, Partial<ApplyRequest>, boolean])[] = [
        ["a user's role", a, a, true],
        ["a user's role, in a group", a, { groupId: "g", ...a }, true],
        [
          "a user's role in a group, in another",
          { groupId: "g", ...a },
          { groupId: "h", ...a },
          true,
        ],
        ["a user's role, in a session with a name", a, { sessionId: "s", ...a }, true],
        ["a user's role, with another user", a, { userId: "b", roleId: "tiffany" }, false],
        ["a user's role, without a user", a, { roleId: "tiffany" }, false],
        ["a user's role, with another role", a, { userId: "a", roleId: "other" }, false],
        ["a role without a user", { roleId: "tiffany" }, { roleId: "tiffany" }, true],
        ["a role without a user, with one", { roleId: "tiffany" }, a, false],
        ["a group's role", { groupId: "g", roleId: "r" }, { groupId: "g", roleId: "r" }, true],
        ["a group's role, elsewhere", { groupId: "g", roleId: "r" }, { roleId: "r" }, false],
        ["a session", { sessionId: "s", ...a }, { sessionId: "s" }, true],
        ["a session, elsewhere", { sessionId: "s", ...a }, a, false],
        ["a session, with another name", { sessionId: "s", ...a }, { sessionId: "z", ...a }, false],
        ["a user without a role", { userId: "a" }, { userId: "a" }, true],
        ["a user without a role, with one", { userId: "a" }, a, false],
      ];
    for (const [what, said1, asked, isTold] of PROMPTS) {
      listed(`apply() ${isTold ? "keeps" : "does not tell"} the prompt of ${what}`, async () => {
        const memory = await openNew();
        for (const rolePrompt of ["first", "你是 {{char}} 👋"]) {
          await memory.apply(ask({ ...said1, rolePrompt }), CALLER);
          await memory.commit(said("x", "y", said1));
        }
        const { systemPrompt } = await memory.apply(ask(asked), CALLER);
        if (isTold) expect(systemPrompt).toEndWith("Role: 你是 {{char}} 👋");
        else expect(systemPrompt).not.toContain("Role:");
      });
    }

    listed("apply() prefers the session's prompt to that of its user", async () => {
      const memory = await openNew();
      const told = async (fields: Partial<ApplyRequest>) =>
        (await memory.apply(ask({ ...a, ...fields }), CALLER)).systemPrompt.slice(-1);
      await told({ sessionId: "s", rolePrompt: "1" });
      await told({ groupId: "g", rolePrompt: "2" });
      await told({ rolePrompt: "3" });
      await memory.commit(said("x", "y"));
      expect(await told({ sessionId: "s" })).toBe("1");
      expect(await told({ groupId: "g" })).toBe("2");
      expect(await told({ groupId: "other" })).toBe("3");
      await told({ groupId: "g", rolePrompt: "4" });
      await memory.commit(said("x", "y"));
      expect(await told({ groupId: "other" })).toBe("4");
    });

    const TEXTS = [
      ["Chinese", "你好，Tiffany！今天天气怎么样？"],
      ["emoji", "👩‍👩‍👧‍👦 🇨🇳 👋🏽"],
      ["quotes, backslashes and line feeds", `'"\\ \n\r\t; DROP TABLE turns; -- $1 ? %s`],
      ["HTML", "<b>&amp;</b>\u2028\u2029"],
      ["100 kB", "字".repeat(33_000)],
    ] as const;
    for (const [what, text] of TEXTS) {
      listed(`commit() keeps ${what} as it is`, async () => {
        const memory = await openNew();
        await memory.commit(said(text, text));
        const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
        expect(messages).toEqual([
          { role: "user", content: text },
          { role: "assistant", content: text },
        ]);
      });
    }

    listed("commit() keeps a NUL and half a pair as U+FFFD", async () => {
      const memory = await openNew();
      await memory.commit(said("a\0b", "c\ud83dd"));
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages.map(({ content }) => content)).toEqual(["a\uFFFDb", "c\uFFFDd"]);
    });

    listed("a turn that the role began has no user message", async () => {
      const memory = await openNew();
      await memory.commit(said("", "Hello, I am Tiffany."));
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages).toEqual([{ role: "assistant", content: "Hello, I am Tiffany." }]);
    });

    listed("apply() reads no texts that are too long to be shown", async () => {
      const longest = { chars: 0 };
      const options = {
        ...storeOptions({ tokensMax: 20 }),
        countTokens(text: string) {
          longest.chars = Math.max(longest.chars, text.length);
          return text.length;
        },
      };
      const store = await makeStore();
      const memory = await openIn(store, options);
      await memory.commit(said("large", "水".repeat(100_000)));
      for (const i of [1, 2, 3]) await memory.commit(said(`q${i}`, `a${i}`));
      await arrived(memory);
      const again = await openIn(store, options);
      longest.chars = 0;
      const { messages } = await again.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages).toHaveLength(6);
      expect(longest.chars).toBeLessThan(1000);
    });

    listed("turns() tells which turns are partial, and when they were", async () => {
      const memory = await openNew();
      await memory.commit(said("one", "1", { isPartial: true, atMs: START_MS + 1 }));
      await memory.commit(said("two", "2"));
      expect(await memory.turns("s", 10)).toEqual([
        { query: "one", answer: "1", isPartial: true, atMs: START_MS + 1 },
        { query: "two", answer: "2", isPartial: false, atMs: START_MS },
      ]);
    });

    listed("turns() gives the newest up to its limit", async () => {
      const memory = await openNew();
      for (const i of [1, 2, 3]) await memory.commit(said(`q${i}`, `a${i}`));
      expect(short(await memory.turns("s", 2))).toEqual(["q2>a2", "q3>a3"]);
      expect(await memory.turns("unknown", 2)).toEqual([]);
    });

    listed(
      "page() walks through a session, oldest first on each page, and loses none",
      async () => {
        const memory = await openNew();
        const turns = Array.from({ length: 7 }, (_, i) => said(`q${i}`, `a${i}`));
        for (const turn of turns) await memory.commit(turn);
        await memory.commit(said("other", "1", { sessionId: "other" }));
        await arrived(memory);
        const pages: string[][] = [];
        let before = "";
        do {
          const page = await memory.page("s", { limit: 3, bytesMax: 1000, before });
          pages.push(short(page.turns));
          before = page.next;
        } while (before !== "");
        expect(pages).toEqual([
          ["q4>a4", "q5>a5", "q6>a6"],
          ["q1>a1", "q2>a2", "q3>a3"],
          ["q0>a0"],
        ]);
        const none = await memory.page("unknown", { limit: 3, bytesMax: 1000, before: "" });
        expect(none).toEqual({ turns: [], next: "" });
      },
    );

    listed("page() ends where its bytes end, and a turn over them comes alone", async () => {
      const memory = await openNew();
      await memory.commit(said("one", "1"));
      await memory.commit(said("水".repeat(10), "🌊")); // 34 bytes
      await memory.commit(said("three", "3"));
      await memory.commit(said("four", "4"));
      await arrived(memory);
      const page = async (bytesMax: number, before = "") => {
        const { turns, next } = await memory.page("s", { limit: 10, bytesMax, before });
        return [turns.map(({ query }) => query), next] as const;
      };
      const [newest, next] = await page(11);
      expect(newest).toEqual(["three", "four"]);
      const [alone, older] = await page(33, next);
      expect(alone).toEqual(["水".repeat(10)]);
      expect(await page(33, older)).toEqual([["one"], ""]);
      expect((await page(1))[0]).toEqual(["four"]);
      expect((await page(45))[0]).toEqual(["水".repeat(10), "three", "four"]);
    });

    listed("remove() forgets a session and no other", async () => {
      const memory = await openNew();
      await memory.commit(said("one", "1", { key: "k" }));
      await memory.commit(said("two", "2", { sessionId: "other" }));
      expect(await memory.remove(ask({ sessionId: "s" }))).toMatchObject({ turns: 1, sessions: 1 });
      expect(await memory.remove(ask({ sessionId: "s" }))).toMatchObject(NOTHING);
      expect(await memory.remove(ask())).toMatchObject(NOTHING);
      expect((await memory.apply(ask({ sessionId: "s" }), CALLER)).messages).toEqual([]);
      expect((await memory.apply(ask({ sessionId: "other" }), CALLER)).messages).toHaveLength(2);
      await memory.commit(said("three", "3", { key: "k" }));
      expect(short(await memory.turns("s", 10))).toEqual(["three>3"]);
    });

    listed("commit() does not keep a turn that began before its session was deleted", async () => {
      const store = await makeStore();
      const [a, b] = [await openIn(store), await openIn(store)];
      const begin = async (memory: Memory) =>
        (await memory.apply(ask({ sessionId: "s" }), CALLER)).mark;
      const early = await begin(a); // before the session was there at all
      await a.commit(said("one", "1"));
      const mark = await begin(a);
      const other = await a.apply(ask({ sessionId: "other" }), CALLER);
      await b.remove(ask({ sessionId: "s" }));
      for (const began of [early, mark]) {
        const late = a.commit(said("two", "2", { mark: began }));
        expect(await late.catch((error) => error)).toMatchObject({
          code: "conflict",
          why: "removed",
        });
      }
      expect(short(await a.turns("s", 10))).toEqual([]);
      await a.commit(said("x", "y", { sessionId: "other", mark: other.mark }));
      await a.commit(said("three", "3", { mark: await begin(a) }));
      expect(short(await b.turns("s", 10))).toEqual(["three>3"]);
      expect(short(await b.turns("other", 10))).toEqual(["x>y"]);
    });

    listed("commit() replaces what is kept in part under its key, and nothing else", async () => {
      const store = await makeStore();
      const [a, b] = [await openIn(store), await openIn(store)];
      const history = async (memory: Memory) =>
        (await memory.apply(ask({ sessionId: "s" }), CALLER)).messages.map((one) => one.content);
      await a.commit(said("zero", "0"));
      await a.commit(said("one", "1 par", { key: "k", isPartial: true }));
      await b.commit(said("two", "2"));
      expect(await history(b)).toEqual(["zero", "0", "one", "1 par", "two", "2"]);
      await a.commit(said("one", "1 part", { key: "k", isPartial: true }));
      await a.commit(said("one", "1 whole", { key: "k" }));
      await a.commit(said("one", "1", { key: "k", isPartial: true }));
      await a.commit(said("three", "3"));
      const wanted = ["zero>0", "two>2", "one>1 whole", "three>3"];
      for (const memory of [a, b]) {
        // A store behind an outbox hears of it when the whole turn arrives.
        await waitFor(async () => (await memory.turns("s", 10)).length === wanted.length);
        expect(short(await memory.turns("s", 10))).toEqual(wanted);
        expect(await history(memory)).toEqual(wanted.flatMap((turn) => turn.split(">")));
      }
    });

    listed("apply() does not show what is kept in part under the key that is asked", async () => {
      const memory = await openNew();
      const history = async (key: string) =>
        (await memory.apply(ask({ sessionId: "s", key }), CALLER)).messages.map((one) =>
          one.content
        );
      await memory.commit(said("zero", "0"));
      await memory.commit(said("one", "1", { key: "k", isPartial: true }));
      await memory.commit(said("two", "2", { key: "whole" }));
      expect(await history("k")).toEqual(["zero", "0", "two", "2"]);
      for (const key of ["", "other", "whole"]) {
        expect(await history(key)).toEqual(["zero", "0", "one", "1", "two", "2"]);
      }
    });

    listed("claim() gives a key to one opening at a time, and tells what is kept", async () => {
      const store = await makeStore();
      const [a, b] = [await openIn(store), await openIn(store)];
      const claim = { sessionId: "s", key: "k", owner: "a" };
      const others = { ...claim, owner: "b" };
      const mine = { state: "mine", turn: undefined } as const;
      expect(await a.claim?.(claim)).toEqual(mine);
      expect(await a.claim?.(claim)).toEqual(mine);
      expect(await b.claim?.(others)).toEqual({ state: "busy" });
      expect(await b.claim?.({ ...others, key: "other" })).toEqual(mine);
      expect(await b.claim?.({ ...others, sessionId: "other" })).toEqual(mine);
      await b.release?.(others); // not b's
      expect(await b.claim?.(others)).toEqual({ state: "busy" });
      await a.release?.(claim);
      expect(await b.claim?.(others)).toEqual(mine);
      const part = said("q", "par", { key: "k", isPartial: true, claim: "b" });
      await b.commit(part);
      expect(await b.claim?.(others)).toMatchObject({ state: "mine", turn: { answer: "par" } });
      await b.commit(said("q", "whole", { key: "k", claim: "b" }));
      expect(await a.claim?.(claim)).toMatchObject({ state: "kept", turn: { answer: "whole" } });
      await b.release?.(others);
      expect(await a.claim?.(claim)).toMatchObject({ state: "kept", turn: { answer: "whole" } });
    });

    listed("commit() with a claim tells of another answer under its key", async () => {
      const memory = await openNew();
      const turn = said("q", "first", { key: "k", claim: "a" });
      await memory.commit(turn);
      await memory.commit(turn);
      const second = memory.commit({ ...turn, answer: "second", claim: "b" });
      expect(await second.catch((error) => error)).toMatchObject({ why: "answered" });
      expect(short(await memory.turns("s", 10))).toEqual(["q>first"]);
    });
    /** What is named → the sessions that go, and how many turns. */
    const REMOVALS: readonly (readonly [Partial<SessionIds>, readonly number[], number])[] = [
      [{ userId: "u1" }, [0, 1, 2, 3], 5],
      [{ userId: "u1", roleId: "r" }, [0, 1, 3], 4],
      [{ roleId: "r" }, [0, 1, 3, 4], 5],
      [{ groupId: "群" }, [1], 1],
      [{ sessionId: "s1" }, [3], 1],
      [{ sessionId: "s1", userId: "u2" }, [], 0],
      [{ sessionId: "user_id=u1&role_id=r" }, [0], 2],
      [{ userId: "u" }, [], 0],
    ];
    for (const [ids, gone, turns] of REMOVALS) {
      listed(`remove() of ${JSON.stringify(ids)} forgets ${gone.length} sessions`, async () => {
        const memory = await openNew();
        const sessions = [
          { userId: "u1", roleId: "r" },
          { groupId: "群", userId: "u1", roleId: "r" },
          { userId: "u1" },
          { sessionId: "s1", userId: "u1", roleId: "r" },
          { userId: "u2", roleId: "r" },
          { sessionId: "s2" },
        ];
        for (const session of sessions) {
          await memory.apply(ask({ ...session, rolePrompt: "bard" }), CALLER);
          await memory.commit(said("one", "1", session));
        }
        await memory.commit(said("two", "2", sessions[0]!));
        const removed = await memory.remove(ask(ids));
        expect(removed).toMatchObject({ turns, sessions: gone.length });
        for (const [i, session] of sessions.entries()) {
          const { messages, systemPrompt } = await memory.apply(ask(session), CALLER);
          expect(messages).toHaveLength(gone.includes(i) ? 0 : i === 0 ? 4 : 2);
          // Its user may have said it of the role elsewhere, too.
          if (!gone.includes(i)) expect(systemPrompt).toEndWith("Role: bard");
          else if (gone.includes(0) && gone.includes(1)) {
            expect(systemPrompt).not.toContain("Role:");
          }
        }
        expect(await memory.remove(ask(ids))).toMatchObject(NOTHING);
      });
    }

    listed("remove() forgets a role's prompt in a session without turns", async () => {
      const memory = await openNew();
      await memory.apply(ask({ sessionId: "told", rolePrompt: "bard" }), CALLER);
      await memory.commit(said("one", "1"));
      expect(await memory.remove(ask({ sessionId: "told" }))).toMatchObject({
        turns: 0,
        sessions: 1,
      });
      const { systemPrompt } = await memory.apply(ask({ sessionId: "told" }), CALLER);
      expect(systemPrompt).not.toContain("Role:");
    });

    listed("remove() forgets more than one part holds", async () => {
      const memory = await openNew();
      const long = Array.from({ length: 2500 }, (_, i) => said(`q${i}`, "a", { userId: "u" }));
      const many = Array.from(
        { length: 450 },
        (_, i) => said("q", "a", { sessionId: `s${i}`, userId: "u" }),
      );
      await Promise.all([...long, ...many].map((turn) => memory.commit(turn)));
      await memory.commit(said("q", "kept", { userId: "other" }));
      expect(await memory.remove(ask({ userId: "u" }))).toMatchObject({
        turns: 2950,
        sessions: 451,
      });
      expect(await memory.turns("user_id=other", 9)).toHaveLength(1);
      expect(await memory.turns("user_id=u", 9)).toEqual([]);
    }, 60_000);

    listed("prune() forgets what is older, across many sessions", async () => {
      const memory = await openNew();
      const ids = Array.from({ length: 450 }, (_, i) => `s${i}`);
      await Promise.all(ids.flatMap((sessionId) => [
        memory.commit(said("old", "1", { sessionId, atMs: START_MS - 1 })),
        memory.commit(said("new", "2", { sessionId, atMs: START_MS })),
      ]));
      await memory.commit(said("old", "only", { sessionId: "gone", atMs: 0 }));
      expect(await memory.prune(START_MS)).toBe(451);
      expect(await memory.prune(START_MS)).toBe(0);
      expect(short(await memory.turns("s449", 10))).toEqual(["new>2"]);
      const { messages } = await memory.apply(ask({ sessionId: "s0" }), CALLER);
      expect(messages.map(({ content }) => content)).toEqual(["new", "2"]);
      expect((await memory.apply(ask({ sessionId: "gone" }), CALLER)).messages).toEqual([]);
    });

    listed("two openings see each other's turns at once, in one order", async () => {
      const store = await makeStore();
      const a = await openIn(store);
      const b = await openIn(store);
      const expected: string[] = [];
      for (let i = 0; i < 10; i++) {
        await (i % 2 === 0 ? a : b).commit(said(`q${i}`, `a${i}`));
        expected.push(`q${i}`, `a${i}`);
        for (const memory of [a, b]) {
          const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
          expect(messages.map(({ content }) => content)).toEqual(expected);
        }
      }
      await b.remove(ask({ sessionId: "s" }));
      expect((await a.apply(ask({ sessionId: "s" }), CALLER)).messages).toEqual([]);
      await a.commit(said("new", "1"));
      expect(short(await b.turns("s", 10))).toEqual(["new>1"]);
    });

    listed("two openings that write at once lose nothing and double nothing", async () => {
      const store = await makeStore();
      const openings = [await openIn(store), await openIn(store)];
      const turns = Array.from(
        { length: 400 },
        (_, i) => said(`q${i}`, "a", { key: `k${i}`, sessionId: `s${i % 7}` }),
      );
      await Promise.all(turns.flatMap((turn) => openings.map((memory) => memory.commit(turn))));
      for (let i = 0; i < 7; i++) {
        const kept = await openings[0]!.turns(`s${i}`, 1000);
        const wanted = turns.filter(({ sessionId }) => sessionId === `s${i}`);
        expect(short(kept).sort()).toEqual(short(wanted).sort());
      }
    });

    listed("a closed memory keeps its turns for the next opening", async () => {
      const store = await makeStore();
      const first = await store.open(storeOptions());
      void first.commit(said("one", "1"));
      await first.close();
      const second = await openIn(store);
      expect(short(await second.turns("s", 10))).toEqual(["one>1"]);
    });
  });
}
