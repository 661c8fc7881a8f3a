import { expect, test } from "bun:test";
import { stageTable } from "../../../src/load/report/stage_table.ts";
import { sampleStage } from "./sample_stages.ts";

test("all stages stand in one table, without columns that none has anything for", () => {
  const stages = [{ load: "1 at once" }, { load: "16 at once", requests: 50 }].map(sampleStage);
  const [heads, ...rows] = stageTable(stages.map(({ report }) => report));
  expect(heads).toBe(
    `${" ".repeat(10)} answers/s    failed  ttft p50  ttft p99  tpot p50   e2e p50   e2e p99`,
  );
  expect(rows.map((row) => row.slice(0, 10))).toEqual(["1 at once ", "16 at once"]);
  const figures = rows.map((row) => row.slice(10, heads!.length).trim().split(/ +/));
  expect(figures.map((cells) => cells.length)).toEqual([7, 7]);
  expect(figures.map(([, failed]) => failed)).toEqual(["0", "0"]);
});
