import { describe, expect, test } from "bun:test";
import { Tally, tallyBytes } from "../../src/lib/tally.ts";

describe("Tally", () => {
  test("adds up the numbers of all who share it, row by row", () => {
    const bytes = new Uint8Array(tallyBytes(2));
    const [one, two] = [new Tally(bytes, 1), new Tally(bytes, 2)];
    one.add(0, 3);
    two.add(0, 4);
    two.add(1, 5);
    two.add(1, -2);
    expect([one.total(0), one.total(1), two.total(0), one.own(0), one.own(1)])
      .toEqual([7, 3, 7, 3, 0]);
  });

  test("who begins at the place of one that has gone begins with nothing", () => {
    const bytes = new Uint8Array(tallyBytes(2));
    const gone = new Tally(bytes, 1);
    new Tally(bytes, 2).add(1, 1);
    gone.add(0, 3);
    gone.add(1, 3);
    new Tally(bytes, 1).begin();
    expect([gone.total(0), gone.total(1)]).toEqual([0, 1]);
  });
});
