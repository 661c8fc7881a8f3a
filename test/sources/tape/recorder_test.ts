import { beforeEach, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { AppError } from "../../../src/core/errors.ts";
import type { Event } from "../../../src/core/events.ts";
import { Abort } from "../../../src/lib/abort.ts";
import { type Field, Fields } from "../../../src/lib/http1/fields.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import { bodyOfTape, readTape, type Tape } from "../../../src/sources/tape/format.ts";
import { Recorder } from "../../../src/sources/tape/recorder.ts";
import { Redactor } from "../../../src/sources/tape/redactor.ts";
import type { RequestTap } from "../../../src/sources/upstream/upstream.ts";
import { MemoryFolder } from "./memory_folder.ts";

const KEY = "sk-a-key-of-weir";
const BODY_BYTES_MAX = 2000;
const PLACE = { upstream: "llm", host: "api.example.com:443", base: "/v1" };

let nowMs = 0;
let folder: MemoryFolder;
let events: Event[];
let recorder: Recorder;
let names: string[];

beforeEach(() => {
  nowMs = 100;
  folder = new MemoryFolder();
  events = [];
  names = [];
  recorder = new Recorder({
    folder,
    redactor: Redactor.of([KEY], ["ticket-[0-9]+"]),
    wheel: new Wheel(() => nowMs, () => {}),
    wallMs: () => 1_795_000_000_000,
    randomBytes: (target) => void target.fill(7),
    version: "1.2.3",
    watch: (event) => void events.push(event),
    bodyMaxBytes: BODY_BYTES_MAX,
    onTape: (name) => void names.push(name),
  });
});

/** A tap whose request has left. */
function begun(body = '{"a":1}', fields: readonly Field[] = []): RequestTap {
  const tap = recorder.tap(PLACE, "openai_chat");
  tap.begin({
    method: "POST",
    path: "/chat/completions",
    fields: Fields.of([["authorization", `Bearer ${KEY}`], ...fields]),
    body: Uint8Array.from(Buffer.from(body)),
    signal: new Abort(),
  });
  tap.onSent();
  return tap;
}

function head(tap: RequestTap, fields: readonly Field[] = [], status = 200): void {
  tap.onHead({ status, statusText: "OK", fields: Fields.of(fields), isUntilClose: false });
}

function read(tap: RequestTap, ms: number, bytes: string | Uint8Array): void {
  nowMs = 100 + ms;
  tap.onBytes(Buffer.from(bytes));
}

/** The one tape that there is. */
async function theTape(): Promise<Tape> {
  await recorder.idle();
  expect(events).toEqual([{ kind: "tape_recorded" }]);
  expect([...folder.files.keys()]).toEqual(names);
  expect(folder.partial.size).toBe(0);
  expect(recorder.heldBytes).toBe(0);
  const [tape] = folder.tapes();
  return tape!;
}

/** Nothing is kept, and why. */
async function noTape(): Promise<readonly Event[]> {
  await recorder.idle();
  expect(folder.files.size + folder.partial.size).toBe(0);
  expect(recorder.heldBytes).toBe(0);
  return events;
}

describe("Recorder", () => {
  test("notes heads, bytes, times and the end", async () => {
    const tap = begun();
    nowMs = 101.5;
    head(tap, [["Content-Type", "text/event-stream"]]);
    read(tap, 2, "data: \xe6\xb0");
    read(tap, 2.25, "\xb4\n\n");
    nowMs = 130;
    tap.onWhole();
    const tape = await theTape();
    expect(tape).toMatchObject({
      ...PLACE,
      when: "2026-11-18T11:06:40.000Z",
      weir: "1.2.3",
      dialect: "openai_chat",
      request: {
        method: "POST",
        path: "/chat/completions",
        fields: [
          ["host", "api.example.com:443"],
          ["authorization", `Bearer ${"*".repeat(KEY.length)}`],
          ["content-length", "7"],
        ],
      },
      response: {
        status: 200,
        reason: "OK",
        atUs: 1500,
        fields: [["Content-Type", "text/event-stream"]],
        isUntilClose: false,
      },
      ending: { how: "whole", atUs: 30_000, error: "" },
    });
    expect(Buffer.from(tape.request.body).toString()).toBe('{"a":1}');
    expect(tape.reads.map(({ atUs }) => atUs)).toEqual([2000, 2250]);
    expect(bodyOfTape(tape)).toEqual(Buffer.from("data: \xe6\xb0\xb4\n\n"));
  });

  test("takes a secret out that two reads share, and keeps where they were cut", async () => {
    const text = `a ${KEY} ticket-123 b`;
    for (let cut = 1; cut < text.length; cut++) {
      const tap = begun(text);
      head(tap);
      read(tap, 1, text.slice(0, cut));
      read(tap, 2, text.slice(cut));
      tap.onWhole();
    }
    await recorder.idle();
    const clean = `a ${"*".repeat(KEY.length)} ********** b`;
    for (const [i, tape] of folder.tapes().entries()) {
      expect(Buffer.from(tape.request.body).toString()).toBe(clean);
      expect(Buffer.from(bodyOfTape(tape)).toString()).toBe(clean);
      expect(tape.reads.map(({ bytes }) => bytes.length)).toEqual([i + 1, text.length - i - 1]);
      expect(tape.redactions.map(({ where, at, bytes }) => [where, at, bytes])).toEqual([
        ["request.field", 7, KEY.length],
        ["request.body", 2, KEY.length],
        ["request.body", 3 + KEY.length, 10],
        ["response.body", 2, KEY.length],
        ["response.body", 3 + KEY.length, 10],
      ]);
    }
    for (const text of folder.files.values()) expect(text).not.toContain(KEY);
    expect(folder.files.size).toBe(text.length - 1);
  });

  test("begins with the request: what is killed then leaves half a file", async () => {
    begun();
    await new Promise((resolve) => setImmediate(resolve));
    expect(folder.files.size).toBe(0);
    const [text] = folder.partial.values();
    expect(text).toContain('"request":"POST"');
    expect(() => readTape(Buffer.from(text!))).toThrow("the file ends before it");
  });

  const ENDS: readonly (readonly [string, (tap: RequestTap) => void, Tape["ending"]])[] = [
    ["a client that has left", (tap) => tap.onGivenUp(), {
      how: "client_left",
      atUs: 5000,
      error: "",
    }],
    ["a time limit", (tap) => tap.onGivenUp(new AppError("upstream_timeout", "too long")), {
      how: "timed_out",
      atUs: 5000,
      error: "too long",
    }],
    ["a broken connection", (tap) => tap.onBroken(new Error(`closed ${KEY}`)), {
      how: "upstream_broke",
      atUs: 5000,
      error: `closed ${"*".repeat(KEY.length)}`,
    }],
  ];
  for (const [what, end, ending] of ENDS) {
    test(`notes that ${what} has ended it`, async () => {
      const tap = begun();
      head(tap);
      read(tap, 5, "a");
      end(tap);
      tap.onWhole(); // nothing counts behind the first end
      expect((await theTape()).ending).toEqual(ending);
    });
  }

  test("notes that a head did not come in time", async () => {
    const tap = begun();
    nowMs = 160;
    tap.onGivenUp(new AppError("upstream_timeout", "no head"));
    expect(await theTape()).toMatchObject({
      response: undefined,
      ending: { how: "timed_out", atUs: 60_000, error: "no head" },
    });
  });

  const NONE: readonly (readonly [string, (tap: RequestTap) => void])[] = [
    ["the connection broke before a head", (tap) => tap.onBroken(new Error("closed"))],
    ["the client left before a head", (tap) => tap.onGivenUp()],
  ];
  for (const [what, end] of NONE) {
    test(`keeps nothing when ${what}`, async () => {
      end(begun());
      expect(await noTape()).toEqual([]);
    });
  }

  test("keeps nothing of a request that never left", async () => {
    const tap = recorder.tap(PLACE, "openai_chat");
    tap.begin({ method: "GET", path: "/a", fields: Fields.NONE, body: null, signal: new Abort() });
    tap.onGivenUp(new AppError("upstream_timeout", "no connection"));
    expect(await noTape()).toEqual([]);
  });

  test("gives up what is too long, and says so", async () => {
    const tap = begun();
    head(tap);
    read(tap, 1, "x".repeat(BODY_BYTES_MAX));
    read(tap, 2, "x");
    tap.onWhole();
    const cause = "its answer has more than 2000 bytes (tape.body_max_bytes)";
    expect(await noTape()).toEqual([{ kind: "tape_abandoned", cause }]);
    begun("x".repeat(BODY_BYTES_MAX + 1));
    expect(events.at(-1)).toEqual({
      kind: "tape_abandoned",
      cause: cause.replace("answer", "request"),
    });
  });

  test("gives up what has a secret in compressed bytes, and keeps what has none", async () => {
    const ask = (text: string) => {
      const tap = begun();
      head(tap, [["content-encoding", "gzip"]]);
      read(tap, 1, gzipSync(text));
      tap.onWhole();
    };
    ask(`a ${KEY} b`);
    const cause = "a secret stands in a compressed body, which it cannot be taken out of";
    expect(await noTape()).toEqual([{ kind: "tape_abandoned", cause }]);
    events.length = 0;
    ask("a b");
    expect(bodyOfTape(await theTape())).toEqual(gzipSync("a b"));
  });

  test("tells once that the folder takes nothing, and that it does again", async () => {
    folder.trouble = "ENOSPC";
    const ask = async () => {
      const tap = begun();
      head(tap);
      tap.onWhole();
      await recorder.idle();
    };
    await ask();
    await ask();
    expect(events).toEqual([{ kind: "tape_write_failed", cause: "ENOSPC" }]);
    expect(recorder.trouble).toBe("the folder of tapes takes nothing (ENOSPC)");
    folder.trouble = "";
    await ask();
    expect(events.slice(1)).toEqual([{ kind: "tape_write_recovered" }, { kind: "tape_recorded" }]);
    expect([recorder.trouble, recorder.heldBytes]).toEqual(["", 0]);
  });

  test("a disk that is full in the middle leaves nothing", async () => {
    const tap = begun();
    head(tap);
    await new Promise((resolve) => setImmediate(resolve));
    expect(folder.partial.size).toBe(1);
    folder.trouble = "ENOSPC";
    tap.onWhole();
    await recorder.idle();
    expect(folder.partial.size + folder.files.size).toBe(0);
    expect(events).toEqual([{ kind: "tape_write_failed", cause: "ENOSPC" }]);
  });

  test("gives ids in the order of what began", () => {
    const ids = Array.from({ length: 300 }, () => recorder.id());
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(300);
  });
});
