/**
 * The table of an audit: every check, in the order in which they run and are told.
 *
 * @module
 */

import { backPressure } from "./checks/back_pressure.ts";
import { byteIntegrity } from "./checks/bytes.ts";
import { cancel } from "./checks/cancel.ts";
import { coalescing } from "./checks/coalescing.ts";
import { errors } from "./checks/errors.ts";
import { eventLateness } from "./checks/events.ts";
import { fidelity } from "./checks/fidelity.ts";
import { firstByte } from "./checks/first_byte.ts";
import { headers } from "./checks/headers.ts";
import { holdBack } from "./checks/hold_back.ts";
import { isolation } from "./checks/isolation.ts";
import { keepAlive } from "./checks/keep_alive.ts";
import { limitPassThrough } from "./checks/limits.ts";
import { overload } from "./checks/overload.ts";
import { retries } from "./checks/retries.ts";
import { silence } from "./checks/silence.ts";
import { truncation } from "./checks/truncation.ts";
import type { Check } from "./rig.ts";

/** Every check. */
export const CHECKS: readonly Check[] = [
  firstByte,
  eventLateness,
  coalescing,
  holdBack,
  byteIntegrity,
  cancel,
  retries,
  truncation,
  headers,
  keepAlive,
  isolation,
  silence,
  backPressure,
  fidelity,
  limitPassThrough,
  overload,
  // The gateway may take the upstream for dead behind it.
  errors,
];
