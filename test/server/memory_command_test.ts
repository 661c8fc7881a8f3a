import { describe, expect, test } from "bun:test";
import { run } from "./launch.ts";

describe("weir memory", () => {
  /** words → exit code and what it complains of. */
  const CASES: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[], 2, /It is: weir memory backup FILE/],
    [["restore", "a.db"], 2, /It is: weir memory backup FILE/],
    [["backup"], 2, /It is: weir memory backup FILE/],
    [["backup", "--config"], 2, /--config needs a value/],
    [["backup", "a.db"], 1, /Cannot back up weir\.db: there is no such file/],
    [
      ["backup", "a.db", "--set", "memory.url=postgres://u:secret@db/weir"],
      1,
      /not on this machine \(memory\.url is postgres:\/\/…\)\. Try: pg_dump/,
    ],
    [
      ["backup", "a.db", "--set", "memory.url=http://127.0.0.1:9100"],
      1,
      /Back up the memory server itself/,
    ],
  ];
  for (const [words, code, complaint] of CASES) {
    test(`${words.join(" ")} exits with ${code}`, async () => {
      const ended = await run(["memory", ...words]);
      expect(ended.code).toBe(code);
      expect(ended.errors).toMatch(complaint);
      expect(ended.errors).not.toContain("secret");
    });
  }
});
