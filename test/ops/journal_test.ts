import { describe, expect, test } from "bun:test";
import { type Engine, Exchange } from "../../src/core/exchange.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import type { RequestHead } from "../../src/lib/http1/request_head.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { Journal, type JournalOptions } from "../../src/ops/journal.ts";

const HEADS: JournalOptions = { mode: "heads", entriesMax: 4, bytesMax: 1_000_000 };

function head(fields: Readonly<Record<string, string>> = {}, target = "/v1/x?key=hidden") {
  return {
    method: "POST",
    target,
    fields: Fields.of(Object.entries(fields)),
  } as unknown as RequestHead;
}

/** A journal, and exchanges on a clock that stands still unless it is moved. */
function rig(options: Partial<JournalOptions> = {}) {
  const clock = { ms: 0 };
  const engine: Engine = {
    wheel: new Wheel(() => clock.ms, () => {}),
    streams: new Set(),
    watch() {},
    keepaliveMs: 0,
    writeTimeoutMs: 1000,
  };
  const journal = new Journal({ ...HEADS, ...options }, () => 1_000_000 + clock.ms);
  function begin(asked: RequestHead = head(), model = ""): Exchange {
    const exchange = new Exchange(engine, "v1_x", { method: "POST" });
    exchange.model = model;
    exchange.note = journal.note(exchange, asked);
    return exchange;
  }
  const models = () => [...journal.entries()].map(({ facts }) => facts.model);
  return { journal, begin, clock, models };
}

describe("Journal", () => {
  test("tells of a request while it is open and when it has ended", () => {
    const { journal, begin, clock } = rig();
    const exchange = begin(head({ "x-weir-session": "s" }), "m");
    const [entry] = journal.entries();
    expect([entry!.facts.outcome, entry!.facts.model, entry!.atMs]).toEqual([
      undefined,
      "m",
      1_000_000,
    ]);
    expect([entry!.head.method, entry!.head.path, entry!.head.session]).toEqual([
      "POST",
      "/v1/x",
      "s",
    ]);
    clock.ms = 5;
    exchange.fixture = "f";
    exchange.complete(200, 12);
    exchange.model = "changed later";
    expect(entry!.facts).toMatchObject({
      surface: "v1_x",
      model: "m",
      fixture: "f",
      status: 200,
      outcome: "completed",
      durationMs: 5,
      bodyBytes: 12,
    });
  });

  test("keeps no secret, and the rest of a head as it came", () => {
    const { journal, begin } = rig();
    const secret = "hidden-5ecret";
    const names = ["Authorization", "X-Api-Key", "Cookie", "api-key", "Proxy-Authorization"];
    for (let round = 0; round < 2; round++) {
      begin(head({
        "Accept": "a/b",
        ...Object.fromEntries(names.map((name) => [name, secret])),
        "X-Test": `t${round}`,
      }));
    }
    // The same places, other names.
    begin(head({ "X-First": "1", "X-Second": "2", "x-api-key": secret, "Via": "3" }));
    const all = [...journal.entries()].map(({ head }) => [...head.fields]);
    expect(JSON.stringify(all)).not.toContain(secret);
    expect(all[1]).toEqual([
      ["Accept", "a/b"],
      ...names.map((name) => [name.toLowerCase(), "***"] as [string, string]),
      ["X-Test", "t1"],
    ]);
    expect(all[2]).toEqual([
      ["X-First", "1"],
      ["X-Second", "2"],
      ["x-api-key", "***"],
      ["Via", "3"],
    ]);
    for (const { head } of journal.entries()) expect(head.path).toBe("/v1/x");
  });

  test("frames that leave together are one time; those after thousands count with the last", () => {
    const { journal, begin } = rig();
    const exchange = begin();
    exchange.note!.left(3, 10);
    exchange.note!.left(1, 20);
    exchange.note!.left(2, 30);
    const [entry] = journal.entries();
    expect(entry!.timesLeft()).toEqual({ times: [[10, 3], [20, 1], [30, 2]], isCut: false });
    for (let i = 0; i < 10_000; i++) exchange.note!.left(1, 40 + i);
    const { times, isCut } = entry!.timesLeft();
    expect([isCut, times.length]).toEqual([true, 4097]);
    expect(times.reduce((sum, [, frames]) => sum + frames, 0)).toBe(10_006);
  });

  test("an answer in one piece leaves with its first byte", () => {
    const { journal, begin, clock } = rig();
    const whole = begin();
    clock.ms = 7;
    whole.complete(200, 1);
    const atOnce = begin();
    clock.ms = 9;
    atOnce.note!.left(20, -1);
    atOnce.complete(200, 1);
    expect([...journal.entries()].map((entry) => entry.timesLeft().times)).toEqual([
      [[7, 1]],
      [[2, 20]],
    ]);
  });

  test("keeps so many, and what an older one still does is lost", () => {
    const { begin, models } = rig();
    const exchanges = Array.from({ length: 10 }, (_, i) => begin(head(), `m${i}`));
    expect(models()).toEqual(["m6", "m7", "m8", "m9"]);
    exchanges[0]!.note?.left(5, 1);
    for (const exchange of exchanges) exchange.complete(200, 1);
    expect(models()).toEqual(["m6", "m7", "m8", "m9"]);
  });

  test("keeps so many bytes, whatever they are of, and at least the last one", () => {
    const { journal, begin, models } = rig({ mode: "bodies", entriesMax: 100, bytesMax: 200_000 });
    for (let i = 0; i < 20; i++) {
      begin(head(), `m${i}`).note!.body("x".repeat(5000));
      expect(journal.bytes).toBeLessThanOrEqual(200_000);
    }
    expect(models()).toEqual(["m17", "m18", "m19"]);
    for (let i = 0; i < 20; i++) begin(head({ long: "y".repeat(50_000) }), `n${i}`);
    expect(models()).toEqual(["n17", "n18", "n19"]);
    const last = begin(head(), "large");
    last.note!.body("x".repeat(100_000));
    expect(models()).toEqual(["large"]);
    last.complete(200, 1);
    begin(head(), "next");
    expect(models()).toEqual(["next"]);
    expect(journal.bytes).toBeLessThan(10_000);
  });

  test("cuts a long body, and says so", () => {
    const { journal, begin } = rig({ mode: "bodies", bytesMax: 1_000_000_000 });
    begin().note!.body("x".repeat(3_000_000));
    begin().note!.body("short");
    expect([...journal.entries()].map(({ text, isTextCut }) => [text!.length, isTextCut])).toEqual([
      [1024 * 1024, true],
      [5, false],
    ]);
  });

  test("forgets a session's requests, or all", () => {
    const { journal, begin, models } = rig();
    for (const session of ["s", "t", "s"]) begin(head({ "x-weir-session": session }), session);
    expect(journal.clear("s")).toBe(2);
    expect(models()).toEqual(["t"]);
    begin(head(), "new");
    expect(models()).toEqual(["t", "new"]);
    expect([journal.clear(undefined), models(), journal.bytes]).toEqual([2, [], 0]);
  });

  test("counts by session what it has no room for, until that is cleared", () => {
    const { journal, begin, clock } = rig({ entriesMax: 2 });
    for (let i = 0; i < 3; i++) begin(head({ "x-weir-session": "a" }));
    clock.ms = 10;
    for (let i = 0; i < 2; i++) begin(head({ "x-weir-session": "b" }));
    const lost = (session?: string, sinceMs = 0) => journal.lost(session, sinceMs);
    expect([lost(), lost("a"), lost("b")]).toEqual([3, 3, 0]);
    expect([lost("a", 1_000_000), lost("a", 1_000_001)]).toEqual([3, 0]);
    journal.clear("a");
    expect([lost(), lost("a")]).toEqual([0, 0]);
    begin();
    expect(lost()).toBe(1);
    journal.clear(undefined);
    expect(lost()).toBe(0);
  });

  test("takes another limit, and goes on", () => {
    const { journal, begin, models } = rig();
    for (let i = 0; i < 4; i++) begin(head(), `m${i}`);
    journal.configure({ ...HEADS, bytesMax: 3000 });
    expect(models()).toEqual(["m2", "m3"]);
    journal.configure({ ...HEADS, entriesMax: 2 });
    expect(models()).toEqual([]);
    for (let i = 0; i < 4; i++) begin(head(), `n${i}`);
    expect(models()).toEqual(["n2", "n3"]);
    journal.configure({ ...HEADS, mode: "off" });
    expect([models(), journal.bytes]).toEqual([[], 0]);
  });
});
