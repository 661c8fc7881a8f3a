/**
 * Which store there is: the one that `store.url` names, else the memory's, where that is one, else a file
 * of its own.
 *
 * @module
 */

import { dirname, join } from "node:path";
import type { Watch } from "../core/events.ts";
import type { Store } from "../core/store.ts";
import { inFolder, sqlitePath } from "../lib/sqlite_file.ts";
import { openPostgresStore } from "./postgres.ts";
import { openSqliteStore } from "./sqlite.ts";
import { ObjectLog } from "./object_log.ts";
import { UsageLog } from "./usage_log.ts";

/** The store where the memory is a server. */
const OWN_URL = "sqlite://weir-store.db";
/** The folder of usage on its way. */
const USAGE_FOLDER = "weir-usage";
/** The same of objects. */
const OBJECTS_FOLDER = "weir-objects";

/** The settings that decide. */
export interface StoreConfig {
  readonly store: { readonly url: string };
  readonly memory: { readonly url: string; readonly timeout_ms: number; readonly outbox: string };
}

/** What the store needs of its process. */
export interface StoreWorld {
  /** The folder that relative paths count from. */
  readonly folder: string;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
}

/** Where the store is. */
export function storeUrl(
  { store, memory }: {
    readonly store: { readonly url: string };
    readonly memory: { readonly url: string };
  },
): string {
  if (store.url !== "") return store.url;
  return /^https?:/.test(memory.url) ? OWN_URL : memory.url;
}

/** The store. It is opened on first use. */
export function openStore(config: StoreConfig, { folder, clock }: StoreWorld): Store {
  const url = storeUrl(config);
  if (!url.startsWith("sqlite://")) {
    return openPostgresStore({ url, timeoutMs: config.memory.timeout_ms });
  }
  return openSqliteStore({ path: sqlitePath(url, folder), clock, sleep: Bun.sleep });
}

/** What a log needs of its process. */
export interface LogWorld {
  /** The folder that relative paths count from. */
  readonly folder: string;
  readonly uuid: () => string;
  readonly watch: Watch;
}

/** Usage on its way to `store`. `takenSinceMs`: see `UsageLogOptions`. */
export function openUsageLog(
  config: StoreConfig,
  store: Store,
  world: LogWorld & { readonly takenSinceMs?: () => number },
): UsageLog {
  return new UsageLog({ ...world, store, folder: besideStore(config, world.folder, USAGE_FOLDER) });
}

/** Objects on their way to `store`. */
export function openObjectLog(
  config: StoreConfig,
  store: Store,
  { folder, uuid, watch }: LogWorld,
): ObjectLog {
  return new ObjectLog({
    ...{ store, uuid, watch },
    folder: besideStore(config, folder, OBJECTS_FOLDER),
  });
}

/** The folder `name` beside the file of the store, of the memory, or of its outbox. */
function besideStore(config: StoreConfig, folder: string, name: string): string {
  // A service cannot write beside its config: what waits lies where the memory can.
  const file = [storeUrl(config), config.memory.url]
    .filter((url) => url.startsWith("sqlite://")).map((url) => sqlitePath(url, folder))
    .find((path) => path !== ":memory:") ?? inFolder(config.memory.outbox || name, folder);
  return join(dirname(file), name);
}
