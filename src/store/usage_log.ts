/**
 * Usage on its way to the store.
 *
 * @module
 */

import type { Watch } from "../core/events.ts";
import type { Store, UsageRow } from "../core/store.ts";
import { RowLog } from "./row_log.ts";

/** Milliseconds in which rows are gathered: of a hundred together each costs a third of one alone. */
const GATHER_MS = 500;
/** Rows that wait in memory. 20 MiB. */
const WAITING_MAX = 50_000;

/** What it needs. */
export interface UsageLogOptions {
  readonly store: Pick<Store, "addUsage">;
  /** Where files of processes lie. Made when there is usage. */
  readonly folder: string;
  readonly uuid: () => string;
  readonly watch: Watch;
  /**
   * Rows from before that are not taken any more when a killed process has left them: nobody can tell
   * whether the store has had them. Milliseconds since 1970; absent = all are taken.
   */
  readonly takenSinceMs?: (() => number) | undefined;
}

/** Usage on its way. */
export class UsageLog extends RowLog<UsageRow> {
  constructor({ store, watch, takenSinceMs, ...options }: UsageLogOptions) {
    super({
      ...options,
      watch,
      what: "usage",
      give: (rows) => store.addUsage(rows),
      ...(takenSinceMs === undefined
        ? {}
        : { isTakenLate: ({ atMs }: UsageRow) => atMs >= takenSinceMs() }),
      weigh: () => 1,
      waitingMax: WAITING_MAX,
      gatherMs: GATHER_MS,
      onLost: (count) => watch({ kind: "usage_lost", count }),
      onUnsafe: (cause) => watch({ kind: "usage_unsafe", cause }),
    });
  }
}
