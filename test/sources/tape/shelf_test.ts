import { describe, expect, test } from "bun:test";
import type { Ask } from "../../../src/core/answer.ts";
import { askOf } from "../../../src/core/answer.ts";
import type { Event } from "../../../src/core/events.ts";
import type { Call } from "../../../src/core/exchange.ts";
import { EMPTY_TURN } from "../../../src/core/turn.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { Ordinals, ordinalsBytes } from "../../../src/lib/ordinals.ts";
import { type Tape, tapeFile } from "../../../src/sources/tape/format.ts";
import { Redactor } from "../../../src/sources/tape/redactor.ts";
import { type Seeker, type ShelfDeps, TapeShelf } from "../../../src/sources/tape/shelf.ts";
import type { Asked } from "../../../src/sources/upstream/asked.ts";
import { MemoryFolder } from "./memory_folder.ts";
import { toldId, toldTape } from "./told_tape.ts";

const LLM: Seeker = { upstream: "llm", wantsWhole: false };
/** Nobody's turn. */
const NO_ASK: Ask = {
  model: () => "",
  turn() {
    throw new Error("no turn");
  },
};

function callOf(session = ""): Call {
  const fields = Fields.of(session === "" ? [] : [["x-weir-session", session]]);
  return { request: { head: { fields } } } as unknown as Call;
}

/** What is on tape number `number`, asked anew. */
function askedOf(number: number, more: Partial<Asked> = {}): Asked {
  const { request } = toldTape(number);
  return {
    dialect: "openai_chat",
    method: "POST",
    path: request.path,
    fields: Fields.NONE,
    body: Uint8Array.from(request.body),
    upload: undefined,
    isOwn: true,
    ...more,
  };
}

/** A tape with the request of number `question`. */
function tapeOf(number: number, question: number, more: Partial<Tape> = {}): Tape {
  return toldTape(number, { request: toldTape(question).request, ...more });
}

class Shelves {
  readonly folder = new MemoryFolder();
  readonly ordinals = new Ordinals(new Uint8Array(ordinalsBytes(1024)));
  readonly events: Event[] = [];

  /** Another worker's. */
  open(deps: Partial<ShelfDeps> = {}): TapeShelf {
    const shelf = new TapeShelf({
      folder: this.folder,
      redactor: Redactor.of([], ["ticket-[0-9]+"]),
      ignored: [],
      match: "request",
      isFresh: false,
      ordinals: this.ordinals,
      watch: (event) => void this.events.push(event),
      ...deps,
    });
    shelf.open();
    return shelf;
  }
}

async function found(
  shelf: TapeShelf,
  asked: Asked,
  seeker = LLM,
  session = "",
  ask = NO_ASK,
): Promise<string | undefined> {
  const tape = await shelf.find(asked, ask, callOf(session), seeker);
  return tape && String(Number(tape.id.slice(3)));
}

describe("TapeShelf", () => {
  test("finds the tape of an equal request, also right from the start", async () => {
    const shelves = new Shelves();
    shelves.folder.put(toldTape(1));
    shelves.folder.put(toldTape(2));
    const shelf = shelves.open();
    expect(await found(shelf, askedOf(2))).toBe("2");
    expect(await found(shelf, askedOf(1))).toBe("1");
    expect(await found(shelf, askedOf(3))).toBeUndefined();
    expect(shelf.find(askedOf(1), NO_ASK, callOf(), LLM)).not.toBeInstanceOf(Promise);
    expect(await found(shelf, askedOf(1, { path: "/other" }))).toBeUndefined();
  });

  test("gives the tapes of one request in turn, to all workers together", async () => {
    const shelves = new Shelves();
    for (const number of [3, 1, 2]) shelves.folder.put(tapeOf(number, 7));
    const workers = [shelves.open(), shelves.open()];
    const given: (string | undefined)[] = [];
    for (let i = 0; i < 7; i++) given.push(await found(workers[i % 2]!, askedOf(7)));
    expect(given).toEqual(["1", "2", "3", "1", "2", "3", "1"]);
    expect(await found(workers[0]!, askedOf(7), LLM, "a test of its own")).toBe("1");
  });

  test("gives tapes in the order in which they were recorded, each once", async () => {
    const shelves = new Shelves();
    for (const number of [2, 1]) shelves.folder.put(toldTape(number));
    shelves.folder.put(
      tapeOf(3, 3, {
        dialect: "openai",
        request: { method: "GET", path: "/models", fields: [], body: new Uint8Array(0) },
      }),
    );
    const workers = [shelves.open({ match: "order" }), shelves.open({ match: "order" })];
    expect(await found(workers[0]!, askedOf(99))).toBe("1");
    expect(
      await found(workers[1]!, askedOf(98, { path: "/responses", dialect: "openai_responses" })),
    )
      .toBe("2");
    expect(await found(workers[0]!, askedOf(1))).toBeUndefined();
    const models = askedOf(1, {
      dialect: "openai",
      method: "GET",
      path: "/models?x=1",
      body: null,
    });
    expect(await found(workers[1]!, models)).toBe("3");
    expect(await found(workers[1]!, askedOf(1), LLM, "another session")).toBe("1");
    // What came without a tape has its place, too.
    shelves.folder.put(tapeOf(4, 4));
    shelves.folder.put(tapeOf(5, 4));
    shelves.folder.put(tapeOf(6, 4));
    expect(await found(workers[0]!, askedOf(1))).toBe("5");
  });

  test("finds what another worker has recorded meanwhile, and forgets what is gone", async () => {
    const shelves = new Shelves();
    const shelf = shelves.open();
    expect(await found(shelf, askedOf(1))).toBeUndefined();
    shelves.folder.put(toldTape(1));
    expect(await found(shelf, askedOf(1))).toBe("1");
    shelves.folder.files.delete(tapeFile(toldId(1)));
    shelves.folder.tell();
    await shelf.refresh(true);
    expect(await found(shelf, askedOf(1))).toBeUndefined();
    expect(shelf.size).toBe(0);
  });

  test("reads a file again that has changed", async () => {
    const shelves = new Shelves();
    shelves.folder.put(toldTape(1));
    const shelf = shelves.open();
    expect(await found(shelf, askedOf(1))).toBe("1");
    shelves.folder.put(tapeOf(1, 2));
    shelves.folder.tell();
    await shelf.refresh(true);
    expect(await found(shelf, askedOf(1))).toBeUndefined();
    expect(await found(shelf, askedOf(2))).toBe("1");
  });

  test("tells of a broken file once, and plays the others", async () => {
    const shelves = new Shelves();
    shelves.folder.put(toldTape(1));
    const [name] = shelves.folder.files.keys();
    shelves.folder.set("x.tape.jsonl", shelves.folder.files.get(name!)!.slice(0, -20));
    const shelf = shelves.open();
    expect(await found(shelf, askedOf(1))).toBe("1");
    expect(await found(shelf, askedOf(2))).toBeUndefined();
    expect(shelves.events).toEqual([
      {
        kind: "tape_unreadable",
        file: "x.tape.jsonl",
        cause: expect.stringMatching(/^line \d+: /),
      },
    ]);
    expect(shelf.trouble).toBe("cannot be played: x.tape.jsonl");
    shelves.folder.files.delete("x.tape.jsonl");
    await shelf.refresh(true);
    expect(shelf.trouble).toBe("");
  });

  test("takes the upstream's own tapes before those of others", async () => {
    const shelves = new Shelves();
    shelves.folder.put(tapeOf(1, 7, { upstream: "other" }));
    shelves.folder.put(tapeOf(2, 7));
    const shelf = shelves.open();
    for (let i = 0; i < 3; i++) expect(await found(shelf, askedOf(7))).toBe("2");
    expect(await found(shelf, askedOf(7), { ...LLM, upstream: "third" })).toBe("1");
  });

  test("a tape whose client left is none where the answer can be had, else the last choice", async () => {
    const shelves = new Shelves();
    const left = { how: "client_left", atUs: 331_000, error: "" } as const;
    shelves.folder.put(tapeOf(1, 7, { ending: left }));
    const shelf = shelves.open();
    expect(await found(shelf, askedOf(7))).toBe("1");
    expect(await found(shelf, askedOf(7), { ...LLM, wantsWhole: true })).toBeUndefined();
    shelves.folder.put(tapeOf(2, 7));
    await shelf.refresh(true);
    for (let i = 0; i < 3; i++) expect(await found(shelf, askedOf(7))).toBe("2");
  });

  test("compares a request without what no tape has", async () => {
    const shelves = new Shelves();
    const text = toldTape(1).request;
    const body = (ticket: string) => Buffer.from(`{"ticket":"${ticket}","a":1}`);
    shelves.folder.put(tapeOf(1, 1, { request: { ...text, body: body("*".repeat(9)) } }));
    const shelf = shelves.open();
    expect(await found(shelf, askedOf(1, { body: Uint8Array.from(body("ticket-12")) }))).toBe("1");
  });

  test("finds a tape of another dialect by the turn, and of the same one by all of it", async () => {
    const shelves = new Shelves();
    shelves.folder.put(toldTape(1));
    const shelf = shelves.open();
    const { model } = JSON.parse(Buffer.from(toldTape(1).request.body).toString());
    const turn = { ...EMPTY_TURN, model, messages: [{ role: "user", content: "Hi 1" }] };
    const asked = askedOf(1, {
      dialect: "anthropic_messages",
      path: "/messages",
      body: Uint8Array.from(Buffer.from('{"max_tokens":1}')),
    });
    const wire = { ...asked, dialect: "anthropic_messages", upload: undefined } as const;
    expect(await found(shelf, asked, LLM, "", { ...askOf(turn), wire })).toBe("1");
    expect(await found(shelf, asked, LLM, "", askOf(turn))).toBe("1");
    const own = { ...wire, dialect: "openai_chat" } as const;
    expect(await found(shelf, asked, LLM, "", { ...askOf(turn), wire: own })).toBeUndefined();
  });

  test("tells what differs from the nearest", async () => {
    const shelves = new Shelves();
    shelves.folder.put(toldTape(1));
    const shelf = shelves.open();
    await shelf.refresh(true);
    expect(shelf.whyMissing(askedOf(2))).toBe(
      `the nearest, ${
        tapeFile(toldId(1))
      }, differs in messages[0].content: "Hi 2" instead of "Hi 1"`,
    );
  });
});
