import { expect, test } from "bun:test";
import { AuditProgress } from "../../src/cli/audit_progress.ts";

test("the progress of an audit says what is running, and for how long", () => {
  const said: string[] = [];
  const progress = new AuditProgress(
    3,
    {
      print: () => {},
      complain: (line) => said.push(line),
    },
    "fail",
    false,
  );
  progress.started("silence");
  progress.started("cancel");
  progress.ended("cancel", []);
  expect(said).toEqual(["cancel: ok"]);
  expect(progress.line(performance.now() + 47_000)).toBe(
    "47 s: 1 of 3 checks over; running: silence for 47 s",
  );
  progress.stop();
});
