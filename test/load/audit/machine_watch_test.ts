import { afterEach, describe, expect, test } from "bun:test";
import { type Echo, MachineWatch } from "../../../src/load/audit/machine_watch.ts";
import { waitFor } from "../../server/launch.ts";

let nowMs = 1000;
let watch: MachineWatch;
afterEach(() => watch.stop());

/** A watch whose echo has been sent a byte at 1000. */
async function watching(): Promise<Echo> {
  nowMs = 1000;
  let sent = false;
  const echo: Echo = { onEcho: () => {}, send: () => void (sent = true) };
  watch = new MachineWatch(() => nowMs, echo);
  watch.start();
  await waitFor(() => sent);
  watch.stop();
  return echo;
}

describe("MachineWatch", () => {
  test("worst() knows an echo that came late, and where", async () => {
    const echo = await watching();
    nowMs = 1050;
    echo.onEcho();
    expect(watch.worst(1000, 1060)).toBeCloseTo(49.6);
    expect(watch.worst(1020, 1021)).toBeCloseTo(49.6);
    expect(watch.worst(1051, 2000)).toBe(0);
    expect(watch.worst(0, 999)).toBe(0);
  });

  test("worst() knows an echo that has not come yet", async () => {
    await watching();
    nowMs = 1200;
    expect(watch.worst(1000, 1100)).toBeCloseTo(99.6);
  });

  test("worst() forgives what an idle machine needs", async () => {
    const echo = await watching();
    nowMs = 1000.4;
    echo.onEcho();
    expect(watch.worst(900, 1100)).toBe(0);
  });

  test("stalls() counts what was later than that, once", async () => {
    const echo = await watching();
    nowMs = 1050;
    echo.onEcho();
    expect(watch.stalls(900, 1100, 10)).toBe(1);
    expect(watch.stalls(900, 1100, 60)).toBe(0);
    expect(watch.stalls(1051, 1100, 10)).toBe(0);
  });

  test("pressure() is the share of the time in which others waited for a processor", () => {
    nowMs = 1000;
    let waitedMs: number | undefined = 500;
    watch = new MachineWatch(() => nowMs, undefined, () => waitedMs);
    expect(watch.pressure(900, 1000)).toBe(0);
    nowMs = 1100;
    waitedMs = 530;
    expect(watch.pressure(1000, 1100)).toBeCloseTo(0.3);
    expect(watch.isBusy(1000, 1100)).toBe(true);
    waitedMs = undefined;
    expect(new MachineWatch(() => nowMs, undefined, () => waitedMs).pressure(0, 1)).toBe(0);
    watch.start();
  });
});
