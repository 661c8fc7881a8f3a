import { afterEach, describe, expect, test } from "bun:test";
import type { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import { Batch } from "../../src/memory/batch.ts";
import { openDatabase } from "../../src/memory/database.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A batch of texts in a table of its own, with a clock that a test moves. */
function makeBatch() {
  const folder = mkdtempSync(join(tmpdir(), "weir-batch-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "a.db");
  const database = openDatabase(path, "process", ["CREATE TABLE texts (text TEXT) STRICT"]);
  cleanups.push(() => database.close());
  const insert = database.prepare("INSERT INTO texts VALUES (?)");
  const state = { nowMs: 0, undone: 0, events: [] as Event[] };
  const batch = new Batch<string>({
    path,
    open: () => database,
    write: (texts) => texts.forEach((text) => insert.run(text)),
    onUndone: () => void state.undone++,
    watch: (event) => void state.events.push(event),
    clock: () => state.nowMs,
  });
  const texts = () => database.query("SELECT text FROM texts ORDER BY rowid").values().flat();
  return { batch, database, path, state, texts };
}

function open(path: string): Database {
  const database = openDatabase(path, "process", ["CREATE TABLE texts (text TEXT) STRICT"]);
  cleanups.push(() => database.close());
  return database;
}

describe("Batch", () => {
  test("add() of one loop turn settles together, in order", async () => {
    const { batch, texts } = makeBatch();
    const promises = ["a", "b", "c"].map((text) => batch.add(text));
    expect(new Set(promises).size).toBe(1);
    await promises[0];
    expect(texts()).toEqual(["a", "b", "c"]);
  });

  test("add() of 2 000 items takes several transactions and keeps the order", async () => {
    const { batch, texts } = makeBatch();
    const wanted = Array.from({ length: 2000 }, (_, i) => String(i));
    const promises = wanted.map((text) => batch.add(text));
    expect(new Set(promises).size).toBe(4);
    await Promise.all(promises);
    expect(texts()).toEqual(wanted);
  });

  test("a full disk undoes the batch and refuses more until a write succeeds", async () => {
    const { batch, database, state, texts } = makeBatch();
    await batch.add("a");
    const pages = database.query("PRAGMA page_count").values()[0]![0] as number;
    database.run(`PRAGMA max_page_count = ${pages}`);
    const big = "x".repeat(100_000);
    const errors = await Promise.all([batch.add("b"), batch.add(big)].map(thrownBy));
    for (const error of errors) {
      expect(error).toBeInstanceOf(AppError);
      expect(error).toMatchObject({ code: "unavailable", status: 503 });
    }
    expect(texts()).toEqual(["a"]);
    expect(state.undone).toBe(1);
    expect(() => batch.checkReady()).toThrow(/takes no turns now: .*SQLITE_FULL/);
    state.nowMs += 1000;
    expect(() => batch.checkReady()).toThrow(/SQLITE_FULL/); // it tried, and the disk is still full
    database.run("PRAGMA max_page_count = 1000000");
    expect(() => batch.checkReady()).toThrow(/SQLITE_FULL/); // it does not try at every request
    state.nowMs += 1000;
    batch.checkReady();
    await batch.add(big);
    expect(texts()).toEqual(["a", big]);
    expect(state.events).toMatchObject([
      { kind: "memory_write_failed", cause: "database or disk is full (SQLITE_FULL)" },
      { kind: "memory_write_recovered" },
    ]);
  });

  test("add() waits while another process writes, and gives up after 10 s", async () => {
    const { batch, path, state, texts } = makeBatch();
    const other = open(path);
    other.run("BEGIN IMMEDIATE");
    const waiting = thrownBy(batch.add("a"));
    await Bun.sleep(20);
    expect(texts()).toEqual([]);
    other.run("COMMIT");
    expect(await waiting).toBeUndefined();
    other.run("BEGIN IMMEDIATE");
    const lost = thrownBy(batch.add("b"));
    state.nowMs += 10_001;
    expect(await lost).toMatchObject({ code: "unavailable" });
    other.run("ROLLBACK");
    expect(texts()).toEqual(["a"]);
  });

  test("close() writes what waits and takes nothing more", async () => {
    const { batch, path } = makeBatch();
    const kept = batch.add("a");
    batch.close();
    expect(open(path).query("SELECT text FROM texts").values()).toEqual([["a"]]);
    await kept;
    expect(await thrownBy(batch.add("b"))).toMatchObject({ code: "unavailable" });
  });
});

async function thrownBy(promise: Promise<void>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
}
