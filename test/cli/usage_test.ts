import { describe, expect, test } from "bun:test";
import { run } from "../server/launch.ts";

/** What `weir usage …` is called with → its exit code, and what it says. */
const CASES: readonly (readonly [string, number, RegExp])[] = [
  ["--by user", 2, /--by must be some of day, key, model, with commas between them/],
  ["--since soon", 2, /--since must be a day such as 2026-11-28, a month such as 2026-11, today/],
  ["--until 2026-02-30", 2, /--until must be a day/],
  ["--since today --until yesterday", 2, /--until must be no day before \d{4}-/],
  ["--since 900d", 0, /nothing is known of days before .*: sums stay 800 days/],
  ["--csv --json", 2, /--csv and --json: choose one/],
  ["", 0, /^weir: the store sqlite:\/\/weir\.db knows of nothing in these days\n$/],
  ["--by day,key,model --since 2026-01-01 --json", 0, /knows of nothing/],
  ["--set store.url=postgres://u:hidden@127.0.0.1:1/db", 1, /Cannot read the store/],
];

describe("weir usage", () => {
  for (const [line, code, says] of CASES) {
    test(line === "" ? "of nothing" : line, async () => {
      const words = line.split(" ").filter((word) => word !== "");
      const ended = await run(["usage", ...words]);
      expect(ended.output + ended.errors).toMatch(says);
      expect(ended.output + ended.errors).not.toContain("hidden");
      expect(ended.code).toBe(code);
    });
  }
});
