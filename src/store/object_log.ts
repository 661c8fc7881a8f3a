/**
 * Objects on their way to the store. Whoever tells a client of one may wait until the store has it.
 *
 * @module
 */

import type { Watch } from "../core/events.ts";
import type { Store, StoredObject } from "../core/store.ts";
import { RowLog } from "./row_log.ts";

/** Milliseconds in which objects are gathered: the end of an answer waits for it. */
const GATHER_MS = 2;
/** Characters of those that wait in memory. */
const WAITING_CHARS_MAX = 64 * 1024 * 1024;

/** What it needs. */
export interface ObjectLogOptions {
  readonly store: Pick<Store, "addObjects">;
  /** Where files of processes lie. Made when there are objects. */
  readonly folder: string;
  readonly uuid: () => string;
  readonly watch: Watch;
}

/** Objects on their way. */
export class ObjectLog extends RowLog<StoredObject> {
  constructor({ store, watch, ...options }: ObjectLogOptions) {
    super({
      ...options,
      watch,
      what: "objects",
      give: (objects) => store.addObjects(objects),
      weigh: ({ data }) => data.length,
      waitingMax: WAITING_CHARS_MAX,
      gatherMs: GATHER_MS,
      onLost: (count) => watch({ kind: "objects_lost", count }),
      onUnsafe: (cause) => watch({ kind: "objects_unsafe", cause }),
    });
  }
}
