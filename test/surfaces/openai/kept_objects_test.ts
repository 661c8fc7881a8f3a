import { describe, expect, test } from "bun:test";
import { getRandomValues } from "node:crypto";
import { AppError } from "../../../src/core/errors.ts";
import { NO_PEERS, type PeerQuestion, type Peers } from "../../../src/core/peers.ts";
import { Stamps } from "../../../src/core/stamp.ts";
import {
  type KeptRow,
  KeptRows,
  objectUnknown,
  type Operation,
  pageOf,
  pagingOf,
  told,
} from "../../../src/surfaces/openai/kept_objects.ts";

const ROW = {
  name: "thing",
  hasBody: false,
  workerOf: ({ id }: Operation["params"]) => Number(id!.split("-")[0]),
};

/** The rows of several workers, which ask each other as the link lets them: in JSON. */
function crew(numbers: readonly number[], answer: (worker: number) => KeptRow["answer"]) {
  const asked: number[] = [];
  const workers = new Map<number, { readonly rows: KeptRows; readonly row: KeptRow }>();
  const relayed = async (worker: number, question: PeerQuestion) => {
    asked.push(worker);
    const rows = workers.get(worker)?.rows;
    const said = JSON.stringify(
      await rows?.answerPeer(JSON.parse(JSON.stringify(question))) ?? null,
    );
    return JSON.parse(said) ?? undefined;
  };
  for (const own of numbers) {
    const others = numbers.filter((one) => one !== own);
    const peers: Peers = {
      own,
      ask: relayed,
      askAll: (question) => Promise.all(others.map((one) => relayed(one, question))),
      tellAll: NO_PEERS.tellAll,
    };
    const rows = new KeptRows({
      peers,
      passed: undefined,
      answerer: () => "mock",
      stamps: new Stamps(() => 0, (target) => void getRandomValues(target), own),
      authorize: () => "ok",
      secrets: [],
      recordLateness() {},
      stream: { errorEvent: () => null },
    });
    workers.set(own, { rows, row: rows.internal({ ...ROW, answer: answer(own) }) });
  }
  return { workers, asked };
}

const question = (id: string): Operation => ({ params: { id }, query: "", body: null, owner: "" });

describe("KeptRows", () => {
  /** Worker N has "N-x". */
  const has = (worker: number): KeptRow["answer"] => ({ params: { id } }) => {
    if (id === `${worker}-bad`) throw objectUnknown("Part", "水");
    return id === `${worker}-x` ? told({ of: worker }) : undefined;
  };

  test("ask() finds an object wherever it is, and asks nobody for its own", async () => {
    const { workers, asked } = crew([1, 2, 3], has);
    const { rows, row } = workers.get(2)!;
    for (const worker of [1, 2, 3]) {
      expect(await rows.ask(row, question(`${worker}-x`))).toEqual(told({ of: worker }));
    }
    expect(asked).toEqual([1, 3]);
  });

  test("ask() gives nothing for what a worker does not have, or has taken with it", async () => {
    const { workers, asked } = crew([1, 2], has);
    const { rows, row } = workers.get(1)!;
    for (const id of ["2-y", "9-x", "none"]) {
      expect(await rows.ask(row, question(id))).toBeUndefined();
    }
    expect(asked).toEqual([2, 9]);
  });

  test("ask() throws what another worker has thrown", async () => {
    const { workers } = crew([1, 2], has);
    const { rows, row } = workers.get(1)!;
    const thrown: unknown = await rows.ask(row, question("2-bad")).catch((error) => error);
    expect(thrown).toBeInstanceOf(AppError);
    const { code, message } = thrown as AppError;
    expect([code as string, message]).toEqual(["object_unknown", "Part with id '水' not found."]);
  });

  test("tell() makes up what nobody has, and nothing else; ask() never does", async () => {
    const { workers } = crew([1, 2], has);
    const { rows, row } = workers.get(1)!;
    const making: KeptRow = { ...row, madeUp: ({ params: { id } }) => told({ made: id }) };
    expect(await rows.tell(making, question("2-x"))).toEqual(told({ of: 2 }));
    expect(await rows.tell(making, question("2-y"))).toEqual(told({ made: "2-y" }));
    expect(await rows.ask(making, question("2-y"))).toBeUndefined();
    expect(await rows.tell(row, question("2-y"))).toBeUndefined();
  });

  test("askAll() gathers from everybody", async () => {
    const { workers } = crew([1, 2, 3], (worker) => () => told(worker));
    const { rows, row } = workers.get(3)!;
    expect(await rows.askAll(row, question(""))).toEqual([told(3), told(1), told(2)]);
  });

  test("answerPeer() knows nothing of other topics and rows", async () => {
    const { rows } = crew([1], has).workers.get(1)!;
    for (const topic of ["kept", "other"]) {
      expect(await rows.answerPeer({ of: topic, row: "nothing", asked: question("1-x") }))
        .toBeUndefined();
    }
    expect(await NO_PEERS.askAll({ of: "kept" })).toEqual([]);
    expect(await NO_PEERS.ask(1, { of: "kept" })).toBeUndefined();
  });
});

describe("pages", () => {
  const ITEMS = ["a", "b", "c", "d"].map((id) => ({ id }));
  const cases = [
    ["", ["d", "c", "b", "a"], false],
    ["order=asc", ["a", "b", "c", "d"], false],
    ["limit=1", ["d"], true],
    ["order=asc&limit=2&after=b", ["c", "d"], false],
    ["order=asc&limit=2&after=a", ["b", "c"], true],
    ["after=a", [], false],
  ] as const;
  for (const [query, ids, hasMore] of cases) {
    test(`"${query}" has ${JSON.stringify(ids)}`, () => {
      const { data, has_more } = pageOf(ITEMS, pagingOf(query, "desc", "live"));
      expect([data.map(({ id }) => id), has_more]).toEqual([[...ids], hasMore]);
    });
  }

  const lenient = [
    ["limit=0", [], true],
    ["limit=-3", [], true],
    ["limit=101", ["d", "c", "b", "a"], false],
    ["after=z&limit=3", ["d", "c", "b"], true],
    ["after=c", ["b", "a"], false],
  ] as const;
  for (const [query, ids, hasMore] of lenient) {
    test(`"${query}" has ${JSON.stringify(ids)} on spec`, () => {
      const { data, has_more } = pageOf(ITEMS, pagingOf(query, "desc", "spec"));
      expect([data.map(({ id }) => id), has_more]).toEqual([[...ids], hasMore]);
    });
  }

  const refused = [
    ["limit=0", "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0"],
    ["limit=101", "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got"],
    ["limit=x", "Invalid type for 'limit': expected an integer, but got a string"],
    ["order=up", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'."],
    ["after=z", "Item with id 'z' not found."],
  ] as const;
  for (const [query, sentence] of refused) {
    test(`"${query}" is refused`, () => {
      expect(() => pageOf(ITEMS, pagingOf(query, "asc", "live"))).toThrow(sentence);
    });
  }
});
