import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ordinals, ordinalsBytes } from "../../src/lib/ordinals.ts";

function ordinals(places: number): Ordinals {
  return new Ordinals(new Uint8Array(ordinalsBytes(places)));
}

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

describe("Ordinals", () => {
  test("says how often each thing came before", () => {
    const seen = ordinals(64);
    const next = ([low, high]: readonly [number, number]) => seen.next(low, high);
    const things = [[1, 7], [2, -7], [1, 7], [1, 7], [2, -7], [-1, 0xffff_ffff]] as const;
    expect(things.map(next)).toEqual([0, 0, 1, 2, 1, 0]);
    expect(next([-1, 0xffff_ffff])).toBe(1);
  });

  test("begins anew with what another has taken the place of", () => {
    const seen = ordinals(4);
    expect([seen.next(1, 1), seen.next(1, 1), seen.next(5, 2), seen.next(1, 1)]).toEqual([
      0,
      1,
      0,
      0,
    ]);
  });

  test("forgets everything", () => {
    const seen = ordinals(4);
    seen.next(3, 3);
    seen.clear();
    expect(seen.next(3, 3)).toBe(0);
  });

  test("wants a power of two", () => {
    expect(() => ordinals(3)).toThrow(RangeError);
    expect(() => ordinals(0)).toThrow(RangeError);
  });

  test("counts for several processes at once, and loses none", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weir-ordinals-"));
    folders.push(folder);
    const file = join(folder, "page");
    writeFileSync(file, new Uint8Array(ordinalsBytes(64)));
    const script = `
      import { Ordinals } from ${
      JSON.stringify(join(import.meta.dir, "../../src/lib/ordinals.ts"))
    };
      const seen = new Ordinals(Bun.mmap(${JSON.stringify(file)}));
      let sum = 0;
      for (let i = 0; i < 20000; i++) sum += seen.next(9, 9);
      console.log(sum);
    `;
    const processes = [0, 1].map(() =>
      Bun.spawn([process.execPath, "--no-env-file", "-e", script], { stdout: "pipe" })
    );
    const sums = await Promise.all(processes.map(({ stdout }) => new Response(stdout).text()));
    expect(sums.map(Number).reduce((all, one) => all + one, 0)).toBe(40_000 * 39_999 / 2);
  }, 30_000);
});
