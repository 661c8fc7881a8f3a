import { expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import { Abort } from "../../../src/lib/abort.ts";
import type { Http1Upload } from "../../../src/lib/http1/upload.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import { Deadline } from "../../../src/sources/upstream/deadline.ts";
import { ClockedUpload } from "../../../src/sources/upstream/upload_clock.ts";

const LIMIT_MS = 1000;
const PIECE = new Uint8Array(3);

/** An upload that gives what the test says, and its clock. */
function clocked() {
  const clock = { nowMs: 0 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const abort = new Abort();
  const deadline = new Deadline(wheel, abort, "llm");
  let following: Uint8Array | null | undefined = undefined;
  const inner: Http1Upload = {
    lengthBytes: 7,
    canStart: true,
    start() {},
    next: () => following,
    stop() {},
  };
  const upload = new ClockedUpload(inner, deadline, LIMIT_MS);
  deadline.start("headers", LIMIT_MS);
  return {
    upload,
    abort,
    deadline,
    give(next: typeof following) {
      following = next;
      expect(upload.next()).toBe(next);
    },
    pass(ms: number) {
      for (const endMs = clock.nowMs + ms; clock.nowMs < endMs; clock.nowMs += 10) wheel.turn();
    },
  };
}

test("ClockedUpload gives the headers their time from the last piece that was taken", () => {
  const { give, pass, abort } = clocked();
  for (let i = 0; i < 5; i++) {
    pass(LIMIT_MS * 0.9);
    give(PIECE);
  }
  pass(LIMIT_MS * 0.9);
  expect(abort.aborted).toBe(false);
  pass(LIMIT_MS * 0.2);
  expect((abort.reason as AppError).code).toBe("upstream_timeout");
});

test("ClockedUpload counts no time in which the client lets it wait", () => {
  const { give, pass, abort } = clocked();
  give(PIECE);
  give(undefined);
  pass(10 * LIMIT_MS);
  give(PIECE);
  give(undefined);
  pass(10 * LIMIT_MS);
  give(null);
  pass(LIMIT_MS * 0.9);
  expect(abort.aborted).toBe(false);
  pass(LIMIT_MS * 0.2);
  expect(abort.aborted).toBe(true);
});

test("ClockedUpload leaves the clock alone once the headers are here", () => {
  const { upload, give, pass, abort, deadline } = clocked();
  give(PIECE);
  upload.onAnswered();
  deadline.start("idle", LIMIT_MS);
  pass(LIMIT_MS * 0.9);
  give(PIECE);
  give(undefined);
  pass(LIMIT_MS * 0.2);
  expect((abort.reason as AppError).message).toContain("llm.idle_timeout_ms");
});
