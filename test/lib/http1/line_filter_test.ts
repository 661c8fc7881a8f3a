import { describe, expect, test } from "bun:test";
import { type Field, Fields } from "../../../src/lib/http1/fields.ts";
import { LineFilter } from "../../../src/lib/http1/line_filter.ts";
import { seeded } from "./pieces.ts";

/** A filter that drops "x-*" and what `drop` names, adds `Added`, and notes how often it decides. */
function dropping() {
  const seen = { decisions: 0 };
  const filter = new LineFilter(new Set(["drop"]), (fields) => {
    seen.decisions++;
    const dropped = fields.get("drop") ?? "";
    if (dropped === "?") throw new TypeError("It cannot be decided");
    return {
      passes: (name) => !name.startsWith("x-") && name !== dropped,
      added: fields.has("bare") ? Fields.NONE : Fields.of([["Added", dropped]]),
      meaning: dropped,
    };
  });
  return { filter, seen };
}

function textOf({ bytes, from, to }: Fields): string {
  return bytes.toString("latin1", from, to);
}

/** Lines as they were sent, in the middle of other bytes. */
function lines(text: string): Fields {
  const bytes = Buffer.from(`(${text})`, "latin1");
  return new Fields(bytes, 1, bytes.length - 1);
}

describe("LineFilter.of()", () => {
  const CASES: readonly (readonly [name: string, sent: string, passed: string])[] = [
    ["nothing", "", "Added: \r\n"],
    ["all of it, byte for byte", "A:1\r\nb:  2 \r\nC:\r\n", "A:1\r\nb:  2 \r\nC:\r\nAdded: \r\n"],
    ["nothing of what is dropped", "X-A: 1\r\nx-b: 2\r\n", "Added: \r\n"],
    ["what stands before", "a: 1\r\nX-A: 1\r\n", "a: 1\r\nAdded: \r\n"],
    ["what stands behind", "X-A: 1\r\na: 1\r\n", "a: 1\r\nAdded: \r\n"],
    [
      "what stands between",
      "x-a: 1\r\na: 1\r\nb: 2\r\nx-b: 1\r\nx-c: 1\r\nc: 3\r\nX-D: 1\r\n",
      "a: 1\r\nb: 2\r\nc: 3\r\nAdded: \r\n",
    ],
    ["each of several of a name", "a: 1\r\nx-a: 1\r\nA: 2\r\n", "a: 1\r\nA: 2\r\nAdded: \r\n"],
    ["what a value decides", "a: 1\r\nDrop: a\r\nb: 2\r\n", "Drop: a\r\nb: 2\r\nAdded: a\r\n"],
    ["without what is added", "bare: 1\r\nx-a: 1\r\n", "bare: 1\r\n"],
    ["obs-text", "a: \xe9\xff\r\n", "a: \xe9\xff\r\nAdded: \r\n"],
  ];
  for (const [name, sent, passed] of CASES) {
    test(`passes ${name}, whatever came before`, () => {
      for (const [, before] of CASES) {
        const { filter } = dropping();
        filter.of(lines(before));
        for (let again = 0; again < 2; again++) {
          expect(textOf(filter.of(lines(sent)).fields)).toBe(passed);
        }
      }
    });
  }

  const NEXT: readonly (readonly [name: string, next: string, decisions: number])[] = [
    ["the same", "A: 1\r\ndrop: b\r\nx-c: 3\r\n", 1],
    ["other values", "A: 2\r\ndrop: b\r\nx-c: 33333\r\n", 1],
    ["other capitals and blanks", "a:1\r\nDROP:  b \r\nX-C: 3\r\n", 1],
    ["another value that decides", "A: 1\r\ndrop: a\r\nx-c: 3\r\n", 2],
    ["other capitals in a value that decides", "A: 1\r\ndrop: B\r\nx-c: 3\r\n", 2],
    ["another name", "B: 1\r\ndrop: b\r\nx-c: 3\r\n", 2],
    ["a name that begins the same", "Ab: 1\r\ndrop: b\r\nx-c: 3\r\n", 2],
    ["another order", "drop: b\r\nA: 1\r\nx-c: 3\r\n", 2],
    ["one line less", "A: 1\r\ndrop: b\r\n", 2],
    ["one line more", "A: 1\r\ndrop: b\r\nx-c: 3\r\nd: 4\r\n", 2],
    ["no line", "", 2],
  ];
  for (const [name, next, decisions] of NEXT) {
    test(`decides ${decisions === 1 ? "not " : ""}again for ${name}`, () => {
      const { filter, seen } = dropping();
      filter.of(lines("A: 1\r\ndrop: b\r\nx-c: 3\r\n"));
      const fresh = dropping().filter.of(lines(next));
      const wanted = [textOf(fresh.fields), fresh.meaning];
      const given = filter.of(lines(next));
      expect([textOf(given.fields), given.meaning]).toEqual(wanted);
      expect(seen.decisions).toBe(decisions);
    });
  }

  test("keeps what it knows when the next cannot be decided", () => {
    const { filter, seen } = dropping();
    const before = () => textOf(filter.of(lines("a: 1\r\ndrop: a\r\n")).fields);
    const wanted = before();
    expect(() => filter.of(lines("a: 1\r\ndrop: ?\r\n"))).toThrow(TypeError);
    expect(before()).toBe(wanted);
    expect(seen.decisions).toBe(2);
  });

  test("grows with what it passes", () => {
    const { filter } = dropping();
    for (const length of [10, 5000, 1_000, 100_000]) {
      const sent = `a: ${"v".repeat(length)}\r\n`;
      expect(textOf(filter.of(lines(sent)).fields)).toBe(`${sent}Added: \r\n`);
    }
  });

  test("writes over what it gave before", () => {
    const { filter } = dropping();
    const { fields } = filter.of(lines("a: 1\r\n"));
    filter.of(lines("a: 2\r\n"));
    expect(fields.get("a")).toBe("2");
  });

  test("gives lines that can be asked, although other fields were asked meanwhile", () => {
    const { filter } = dropping();
    const sent = lines("x-a: 1\r\na: 1\r\nb: 2\r\n");
    const { fields } = filter.of(sent);
    expect(sent.get("x-a")).toBe("1");
    expect([fields.get("b"), fields.get("x-a"), fields.length]).toEqual(["2", null, 3]);
  });

  test("gives each of 5 000 heads what a new filter gives it", () => {
    const random = seeded(7);
    const { filter } = dropping();
    const names = ["a", "A", "b", "x-a", "X-B", "drop", "bare"];
    let fields: Field[] = [];
    for (let i = 0; i < 5000; i++) {
      if (random() % 2 === 0) {
        const at = random() % (fields.length + 1);
        const field: Field = [names[random() % names.length]!, ["a", "b", ""][random() % 3]!];
        fields = fields.toSpliced(at, random() % 2, ...(random() % 3 === 0 ? [] : [field]));
      }
      const given = filter.of(Fields.of(fields));
      const wanted = dropping().filter.of(Fields.of(fields));
      expect(textOf(given.fields)).toBe(textOf(wanted.fields));
      expect(given.meaning).toBe(wanted.meaning);
    }
  });
});
