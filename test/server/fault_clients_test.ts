import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY, TEST_MS_MAX } from "./launch.ts";
import { FAULT_ROWS } from "./fault_outcomes.ts";
import {
  type Bench,
  cellsOf,
  dialectTables,
  labelOf,
  PAGE,
  readersOf,
  rowsBelow,
  startBench,
  TABLES,
  versionTable,
} from "./fault_tables.ts";

setDefaultTimeout(TEST_MS_MAX);

const page = readFileSync(join(REPOSITORY, PAGE), "utf8");

test(`${PAGE} says which dialect has which fault`, () => {
  expect(page).toContain(dialectTables());
});

test(`${PAGE} says which clients were measured`, () => {
  expect(page).toContain(versionTable());
});

for (const [dialect, title] of TABLES) {
  describe(`${PAGE}: ${title}`, () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await startBench();
    });
    afterAll(() => bench.weir.stop());

    const [head, ...rows] = rowsBelow(page, title);

    test("has a column for each client and a row for each fault", () => {
      expect(head).toEqual(["fault", ...readersOf(dialect).map(({ name }) => name)]);
      expect(rows.map(([label]) => label)).toEqual(FAULT_ROWS.map((row) => labelOf(row, dialect)));
    });

    // Clients that hang are looked at when the table is written: `bun run fault-clients`.
    for (const row of FAULT_ROWS.filter(({ isSlow }) => isSlow !== true)) {
      const label = labelOf(row, dialect);
      test(`${label} does to each client what the table says`, async () => {
        const [, ...told] = rows.find(([first]) => first === label) ?? [];
        expect(await cellsOf(row, dialect, bench)).toEqual(told);
      });
    }
  });
}
