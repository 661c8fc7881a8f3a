import { expect, test } from "bun:test";
import { latestMs, loopDelays } from "../../bench/loop_delay.ts";

function metrics(...below: readonly number[]): string {
  const edges = ["0.001", "0.05", "+Inf"];
  return [
    "# TYPE weir_event_loop_delay_seconds histogram",
    ...edges.map((edge, i) => `weir_event_loop_delay_seconds_bucket{le="${edge}"} ${below[i]}`),
    `weir_event_loop_delay_seconds_count ${below.at(-1)}`,
  ].join("\n");
}

/** counts before and after → the most that the loop was late in between. */
const READINGS: readonly (readonly [readonly number[], readonly number[], number | undefined])[] = [
  [[0, 0, 0], [5, 5, 5], 1],
  [[0, 0, 0], [4, 5, 5], 50],
  [[0, 1, 2], [4, 5, 6], 1],
  [[0, 0, 0], [4, 5, 6], Infinity],
  [[4, 5, 6], [4, 5, 6], undefined],
];
for (const [before, after, found] of READINGS) {
  test(`latestMs() from ${before} to ${after} is ${found}`, () => {
    expect(latestMs(loopDelays(metrics(...before)), loopDelays(metrics(...after)))).toBe(found);
  });
}

test("a server without the metric says nothing", () => {
  expect(latestMs(loopDelays("OK"), loopDelays("404"))).toBeUndefined();
});
