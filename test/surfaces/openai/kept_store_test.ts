import { describe, expect, test } from "bun:test";
import { KeptStore } from "../../../src/surfaces/openai/kept_store.ts";

function filled(limits: { readonly entriesMax: number; readonly bytesMax: number }, count: number) {
  const store = new KeptStore(limits);
  const shelf = store.shelf<number>("number");
  for (let at = 1; at <= count; at++) shelf.set(String(at), at, 10);
  return { store, shelf };
}

describe("KeptStore", () => {
  const cases = [
    [{ entriesMax: 3, bytesMax: 1000 }, [3, 4, 5]],
    [{ entriesMax: 100, bytesMax: 29 }, [4, 5]],
    [{ entriesMax: 0, bytesMax: 1000 }, []],
    [{ entriesMax: 100, bytesMax: 9 }, []],
  ] as const;
  for (const [limits, left] of cases) {
    test(`${JSON.stringify(limits)} leave ${left.length} of 5`, () => {
      const { store, shelf } = filled(limits, 5);
      expect([...shelf.all()]).toEqual([...left]);
      expect([store.size, store.bytes]).toEqual([left.length, 10 * left.length]);
    });
  }

  test("the oldest goes first, and what is set anew is the youngest", () => {
    const { shelf } = filled({ entriesMax: 3, bytesMax: 1000 }, 3);
    shelf.set("1", 1, 10);
    shelf.get("2"); // to be asked for makes nothing younger
    shelf.set("4", 4, 10);
    expect([...shelf.all()]).toEqual([3, 1, 4]);
    expect(shelf.delete("1")).toBe(true);
    expect(shelf.delete("1")).toBe(false);
    shelf.set("5", 5, 10);
    shelf.set("6", 6, 10);
    expect([...shelf.all()]).toEqual([4, 5, 6]);
  });

  test("an emptied ring is filled again", () => {
    const { store, shelf } = filled({ entriesMax: 2, bytesMax: 1000 }, 2);
    for (const id of ["2", "1"]) shelf.delete(id);
    expect([store.size, store.bytes]).toEqual([0, 0]);
    for (const at of [7, 8, 9]) shelf.set(String(at), at, 10);
    expect([...shelf.all()]).toEqual([8, 9]);
  });

  test("a heavier one makes room for itself, and one too heavy is not kept", () => {
    const { store, shelf } = filled({ entriesMax: 9, bytesMax: 40 }, 4);
    shelf.set("5", 5, 25);
    expect([...shelf.all()]).toEqual([4, 5]);
    shelf.set("5", 5, 41);
    expect([...shelf.all(), store.bytes]).toEqual([4, 10]);
  });

  test("a shelf has what is of its kind", () => {
    const { store, shelf } = filled({ entriesMax: 9, bytesMax: 1000 }, 2);
    const texts = store.shelf<string>("text");
    texts.set("a", "水", 1);
    expect([...texts.all(), ...shelf.all()] as unknown[]).toEqual(["水", 1, 2]);
    expect([texts.get("1"), shelf.get("a"), texts.delete("1")]).toEqual([
      undefined,
      undefined,
      false,
    ]);
  });
});
