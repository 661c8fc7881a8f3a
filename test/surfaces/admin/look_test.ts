import { expect, test } from "bun:test";
import { Look, type LookDeps, momentOf, type ShownPart } from "../../../src/surfaces/admin/look.ts";

const look = new Look({} as LookDeps);

function part(worker: number, atMs: readonly number[], hasMore: boolean): ShownPart {
  const requests = atMs.map((ms) => ({ at_ms: ms, id: `${worker}-${ms}` }));
  return { requests, count: 10, lost: 0, hasMore };
}

test("what one worker had no room for is passed over by no page", () => {
  const shown = look.joinShown([part(0, [1, 2, 9], false), part(1, [6, 7], true)], { limit: 100 });
  // Worker 1 may have others between 2 and 6.
  expect(shown.requests.map(({ at_ms }) => at_ms)).toEqual([6, 7, 9]);
  expect(momentOf(shown.next!)).toEqual({ atMs: 6, worker: 1, number: 6 });
  expect(shown.count).toBe(20);
});

test("requests of one millisecond have an order", () => {
  const parts = [part(1, [5], false), part(0, [5, 6], false)];
  expect(look.joinShown(parts, { limit: 2 })).toMatchObject({
    requests: [{ id: "1-5" }, { id: "0-6" }],
    next: "5-1-5",
  });
  expect(look.joinShown(parts, { limit: 3 }).next).toBeNull();
});
