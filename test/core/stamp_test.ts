import { describe, expect, test } from "bun:test";
import { getRandomValues } from "node:crypto";
import { Stamps, workerOfChatId, workerOfDigits } from "../../src/core/stamp.ts";

const text = (stamps: Stamps) => new TextDecoder().decode(stamps.fillId(new Uint8Array(29)));
const real = () =>
  new Stamps(() => Math.floor(Date.now() / 1000), (target) => void getRandomValues(target));

describe("Stamps", () => {
  test("fillId() gives 29 of [A-Za-z0-9], never the same twice in 20 000", () => {
    const stamps = real();
    const ids = new Set(Array.from({ length: 20_000 }, () => text(stamps)));
    expect(ids.size).toBe(20_000);
    for (const id of ids) if (!/^[A-Za-z0-9]{29}$/.test(id)) throw new Error(id);
  });

  test("fillId() favours no character", () => {
    const stamps = real();
    const counts = new Map<string, number>();
    for (let i = 0; i < 10_000; i++) {
      for (const char of text(stamps)) counts.set(char, (counts.get(char) ?? 0) + 1);
    }
    expect(counts.size).toBe(62);
    const expected = (10_000 * 29) / 62; // 4677, standard deviation 68: eight of them is 12 %
    for (const [char, count] of counts) {
      expect(Math.abs(count / expected - 1), char).toBeLessThan(0.12);
    }
  });

  test("the same random bytes give the same id", () => {
    const seeded = () => new Stamps(() => 0, (target) => target.fill(7));
    expect(text(seeded())).toBe(text(seeded()));
  });

  test("withIds() fills as many ids as are asked for, shared ones anew and in place", () => {
    const stamps = real().withIds(5, 2);
    const own = stamps.own(1);
    expect(own.map(({ length }) => length)).toEqual([10, 5]);
    const shared = stamps.shared(2);
    const before = new TextDecoder().decode(shared[1]);
    expect(stamps.shared(1)).toBe(shared);
    expect(new TextDecoder().decode(shared[1])).not.toBe(before);
    expect(new TextDecoder().decode(shared[2])).toMatch(/^[A-Za-z0-9]{2}$/);
  });

  test("withResponseIds() gives digits with the time among them, and those of calls", () => {
    const stamps = new Stamps(() => 0x69e2f3f5, (target) => void getRandomValues(target))
      .withResponseIds();
    const ids = () => stamps.own(3).slice(1).map((id) => new TextDecoder().decode(id));
    const [head, tail, calls] = ids();
    expect(head).toMatch(/^[0-9a-f]{16}0069e2f3f5$/);
    expect(tail).toMatch(/^[0-9a-f]{14}$/);
    expect(calls).toMatch(/^[A-Za-z0-9]{22}$/);
    expect(new Set(Array.from({ length: 1000 }, () => ids()[1])).size).toBe(1000);
  });

  test("hex(32) gives 32 hexadecimal digits", () => {
    expect(real().hex(32)).toMatch(/^[0-9a-f]{32}$/);
  });

  test("hex() gives as many digits as asked for, never the same, across many refills", () => {
    const stamps = real();
    const texts = Array.from({ length: 5_000 }, (_, i) => stamps.hex(20 + (i % 13)));
    texts.forEach((text, i) => expect(text).toMatch(new RegExp(`^[0-9a-f]{${20 + (i % 13)}}$`)));
    expect(new Set(texts).size).toBe(5_000);
  });

  test("created() is the second as digits, one array per second", () => {
    let wallS = 1_700_000_000;
    const stamps = new Stamps(() => wallS, (target) => target.fill(0));
    const first = stamps.created();
    expect(new TextDecoder().decode(first)).toBe("1700000000");
    expect(stamps.created()).toBe(first);
    wallS += 1;
    expect(new TextDecoder().decode(stamps.created())).toBe("1700000001");
  });
});

describe("a worker's ids", () => {
  const of = (worker: number) =>
    new Stamps(() => 1_776_481_268, (target) => void getRandomValues(target), worker);
  const chars = new TextDecoder();

  test("tell which one has made them", () => {
    for (const worker of [1, 2, 61, 62, 4711, 65_535]) {
      const [, head, tail] = of(worker).withResponseIds().own(2).map((id) => chars.decode(id));
      expect([head!.length, tail!.length]).toEqual([26, 14]);
      expect(workerOfDigits(tail!.slice(-4))).toBe(worker);
      const [, id] = of(worker).withChatIds(29, 5).own(2).map((id) => chars.decode(id));
      expect(id).toMatch(/^[A-Za-z0-9]{29}$/);
      expect(workerOfChatId(`chatcmpl-${id}`)).toBe(worker);
    }
  });

  test("are chance where there is one process", () => {
    const ends = Array.from({ length: 50 }, () => chars.decode(of(0).withChatIds(29).own(1)[1]));
    expect(new Set(ends.map((id) => id.slice(-3))).size).toBeGreaterThan(40);
  });

  test("of others name none", () => {
    expect([workerOfDigits("12g4"), workerOfDigits(""), workerOfChatId("chatcmpl-ab-c")])
      .toEqual([NaN, NaN, NaN]);
  });
});
