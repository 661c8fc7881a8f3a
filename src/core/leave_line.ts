/**
 * Where requests wait whose clients nobody watches yet.
 *
 * To hear of a client that leaves before its answer begins costs 3 µs with `Bun.serve`, so nobody
 * asks before the answer has been waited for some milliseconds: most local answers are there by
 * then. Bun 1.4.5 tells a signal that is asked for late of a client that has left before.
 *
 * @module
 */

import { WaitingLine } from "../lib/waiting_line.ts";
import type { Wheel } from "../lib/wheel.ts";

/** Milliseconds, up to a quarter more, after which a client is watched. */
const PATIENCE_MS = 8;

/** One for the driver. */
export class LeaveLine extends WaitingLine {
  constructor(wheel: Wheel) {
    super(wheel, PATIENCE_MS);
  }
}
