import { expect, test } from "bun:test";
import { counted } from "../../src/lib/counted.ts";

test("counted() has one of one thing, and more of none and of many", () => {
  expect([0, 1, 2].map((count) => counted(count, "note"))).toEqual([
    "0 notes",
    "1 note",
    "2 notes",
  ]);
  expect(counted(1, "request was", "requests were")).toBe("1 request was");
  expect(counted(3, "request was", "requests were")).toBe("3 requests were");
});
