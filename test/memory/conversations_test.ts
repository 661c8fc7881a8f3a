import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Event } from "../../src/core/events.ts";
import type { Said } from "../../src/core/conversations.ts";
import { AppError } from "../../src/core/errors.ts";
import { openConversations, SqliteConversations } from "../../src/memory/conversations.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "weir-conv-"));
  folders.push(folder);
  return folder;
}

/** Time and ids that only count. */
function counted() {
  let count = 0;
  return {
    wallMs: () => 1_700_000_000_000 + count++,
    uuid: () => `id-${count++}`,
    watch: () => {},
  };
}

const said = (id: string, role: Said["role"], text: string): Said => ({ id, role, text });
const texts = (thread: readonly Said[] | undefined) => thread?.map(({ text }) => text);

const STORES: readonly (readonly [string, () => SqliteConversations])[] = [
  [
    "in a file",
    () => openConversations("sqlite://talks.db", newFolder(), counted()) as SqliteConversations,
  ],
  [
    "in this process",
    () => openConversations("http://127.0.0.1:1", "/", counted()) as SqliteConversations,
  ],
];

for (const [name, open] of STORES) {
  describe(`conversations ${name}`, () => {
    test("begin with nothing said, and stand where the last message is", () => {
      const store = open();
      const talk = store.begin("me");
      expect(store.find("me", talk.id)).toEqual(talk);
      expect(store.thread(talk.id, talk.currentNode, 10)).toEqual([]);
      store.add(talk.id, talk.currentNode, [
        said("a", "user", "你好 🌊\nsecond line"),
        said("b", "assistant", "hello"),
      ]);
      const now = store.find("me", talk.id)!;
      expect(now.currentNode).toBe("b");
      expect(now.title).toBe("你好 🌊");
      expect(now.updatedMs).toBeGreaterThan(talk.updatedMs);
      expect(texts(store.thread(talk.id, "b", 10))).toEqual(["你好 🌊\nsecond line", "hello"]);
      store.close();
    });

    test("are trees: an older message can be answered again", () => {
      const store = open();
      const { id, currentNode } = store.begin("me");
      store.add(id, currentNode, [said("a", "user", "1"), said("b", "assistant", "2")]);
      store.add(id, "b", [said("c", "user", "3"), said("d", "assistant", "4")]);
      store.add(id, "b", [said("e", "user", "5"), said("f", "assistant", "6")]);
      expect(texts(store.thread(id, "d", 10))).toEqual(["1", "2", "3", "4"]);
      expect(texts(store.thread(id, "f", 10))).toEqual(["1", "2", "5", "6"]);
      expect(texts(store.thread(id, "f", 3))).toEqual(["2", "5", "6"]);
      expect(texts(store.thread(id, "f", 0))).toEqual([]);
      expect(store.thread(id, currentNode, 10)).toEqual([]);
      expect(store.thread(id, "nothing", 10)).toBeUndefined();
      expect(store.thread("nowhere", "f", 10)).toBeUndefined();
      store.close();
    });

    test("belong to their owner, the last used first", () => {
      const store = open();
      const [one, two] = [store.begin("me"), store.begin("me")];
      const other = store.begin("you");
      store.add(one.id, one.currentNode, [said("a", "user", "x")]);
      expect(store.list("me", 0, 10).items.map(({ id }) => id)).toEqual([one.id, two.id]);
      expect(store.list("me", 1, 1)).toMatchObject({ total: 2, items: [{ id: two.id }] });
      expect(store.find("me", other.id)).toBeUndefined();
      expect(store.list("nobody", 0, 10)).toEqual({ total: 0, items: [] });
      store.close();
    });

    test("keep odd texts as far as SQLite can, and quote what looks like SQL", () => {
      const store = open();
      const { id, currentNode } = store.begin("'; DROP TABLE conv_nodes; --");
      const text = "a\0b '; DROP TABLE conv_nodes; -- \ud800";
      store.add(id, currentNode, [said("a", "user", text)]);
      expect(texts(store.thread(id, "a", 1))).toEqual(["a�b '; DROP TABLE conv_nodes; -- �"]);
      store.close();
    });
  });
}

describe("conversations in a file", () => {
  test("make it on first use, and are there again for the next process", () => {
    const folder = newFolder();
    const url = `sqlite://${join(folder, "talks.db")}`;
    const first = openConversations(url, "/nowhere", counted());
    expect(Bun.file(join(folder, "talks.db")).size).toBe(0);
    const { id } = first.begin("me");
    first.close();
    expect(openConversations(url, "/nowhere", counted()).find("me", id)?.id).toBe(id);
  });

  test("that cannot be opened say where", () => {
    const store = openConversations("sqlite://no/such/folder/x.db", newFolder(), counted());
    expect(() => store.begin("me")).toThrow(/Cannot open the conversations in .*x\.db/);
    expect(() => store.begin("me")).toThrow(AppError);
  });
});

describe("the limits of conversations", () => {
  function small() {
    const limits = { conversationsMax: 3, charsMax: 100 };
    return new SqliteConversations({ path: ":memory:", limits, ...counted() });
  }

  test("the longest unused goes first, and never the one in use", () => {
    const store = small();
    const ids = Array.from({ length: 4 }, () => store.begin("me").id);
    expect(store.list("me", 0, 10).total).toBe(3);
    expect(store.find("me", ids[0]!)).toBeUndefined();
    const last = store.find("me", ids[1]!)!;
    store.add(last.id, last.currentNode, [said("a", "user", "x".repeat(60))]);
    const next = store.find("me", ids[2]!)!;
    store.add(next.id, next.currentNode, [said("b", "user", "y".repeat(60))]);
    expect(store.find("me", ids[2]!)).toBeDefined();
    expect(store.find("me", ids[1]!)).toBeUndefined();
    // What went gave its room back: another 40 characters fit without anybody leaving.
    store.add(next.id, "b", [said("c", "user", "z".repeat(40))]);
    expect(texts(store.thread(next.id, "c", 10))).toEqual(["y".repeat(60), "z".repeat(40)]);
  });

  test("a conversation that is too long for all of it is refused, and nothing of it is kept", () => {
    const store = small();
    const talk = store.begin("me");
    store.add(talk.id, talk.currentNode, [said("a", "user", "x".repeat(90))]);
    expect(() => store.add(talk.id, "a", [said("b", "user", "y".repeat(20))])).toThrow(AppError);
    expect(() => store.add(talk.id, "a", [said("b", "user", "y".repeat(101))])).toThrow(AppError);
    expect(store.find("me", talk.id)?.currentNode).toBe("a");
    store.add(talk.id, "a", [said("b", "user", "y".repeat(10))]);
    expect(store.thread(talk.id, "b", 10)).toHaveLength(2);
  });
});

test("conversations whose file vanishes go on in a new one, and it is told", () => {
  const folder = newFolder();
  const events: Event[] = [];
  const watch = (event: Event) => void events.push(event);
  const store = openConversations("sqlite://talks.db", folder, { ...counted(), watch });
  const { id, currentNode } = store.begin("me");
  rmSync(join(folder, "talks.db"));
  expect(store.find("me", id)).toBeUndefined();
  expect(() => store.add(id, currentNode, [said("a", "user", "水")])).not.toThrow();
  const next = store.begin("me");
  rmSync(join(folder, "talks.db"));
  rmSync(join(folder, "talks.db-wal"));
  expect(store.list("me", 0, 10).items).toEqual([]);
  expect(store.find("me", next.id)).toBeUndefined();
  expect(events.map(({ kind }) => kind)).toEqual(["memory_file_vanished", "memory_file_vanished"]);
  store.close();
});
