/**
 * The accounts of a weir: who asks, what it costs, and what is kept of it, joined with the store and with
 * what several weirs share.
 *
 * @module
 */

import type { Config } from "./config/config.ts";
import type { Engine } from "./core/exchange.ts";
import { FREE, type KeyFacts } from "./core/keys.ts";
import type { Soon, Store, UsageQuery, UsageSum } from "./core/store.ts";
import type { Limiter } from "./lib/limiter.ts";
import type { BearerToken } from "./ops/auth.ts";
import { digestOf, KeyRing } from "./ops/key_ring.ts";
import { KeyWatch } from "./ops/key_watch.ts";
import { Spending } from "./ops/spending.ts";
import { Upkeep, type UpkeepLimits, usageSinceMs } from "./ops/upkeep.ts";
import { usageNotes } from "./ops/usage.ts";
import { openShared, type Shared } from "./shared/open.ts";
import type { SourceKeys } from "./sources/compose.ts";
import { KeyGuard } from "./sources/keys/guard.ts";
import type { TokenCounters } from "./sources/tokens.ts";
import { Prices } from "./sources/usage/prices.ts";
import { UsageCounts } from "./sources/usage/usage.ts";
import type { ObjectLog } from "./store/object_log.ts";
import { openObjectLog, openStore, openUsageLog } from "./store/open.ts";

/** A key of the config, and its text; "" = only its digest is known. */
export interface ConfiguredKey extends KeyFacts {
  readonly token: string;
}

/** What they need of the process. */
export interface AccountsWorld {
  /** The tokens of the `auth` section: keys without limits. */
  readonly tokens: readonly BearerToken[];
  /** The keys of the config. */
  readonly keys: readonly ConfiguredKey[];
  /** The folder that relative paths count from. */
  readonly folder: string;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** An id that no other process will make. */
  readonly uuid: () => string;
  /** PEM text of a `ca_file` of the config; "" = none. */
  readonly caOf: (file: string) => string;
  readonly desk: { readonly limiter: Limiter };
}

/** The keys, where the door is locked. */
export interface Keys extends SourceKeys {
  readonly ring: KeyRing;
}

/** They are open until `close`. */
export interface Accounts {
  /** undefined = whoever reaches the port may ask. */
  readonly keys: Keys | undefined;
  /** undefined = nothing is counted. */
  readonly counts: UsageCounts | undefined;
  /** Adds up what is kept of usage; undefined = nothing is. */
  readonly readUsage: ((query: UsageQuery) => Soon<readonly UsageSum[]>) | undefined;
  /** undefined = objects are kept in this process alone. */
  readonly objects: ObjectLog | undefined;
  /** undefined = no other weir is known. */
  readonly shared: Shared | undefined;
  /** True while it is not known yet which keys there are, or what others have. */
  readonly isStarting: boolean;
  /** What is wrong with the store; "" = nothing. */
  readonly trouble: string;
  /** Keeps what is to be kept, and looks for keys no more. */
  readonly close: () => Promise<void>;
}

type Locks = Pick<AccountsWorld, "tokens" | "keys">;

/** True when requests need a key. */
function isLocked({ store }: Config, { tokens, keys }: Locks): boolean {
  return tokens.length + keys.length > 0 || store.keys === "on";
}

/** True when what answers cost is counted. */
export function countsUsage(config: Config, locks: Locks): boolean {
  return isLocked(config, locks) || config.store.usage === "on";
}

/** Opens them. */
export function openAccounts(
  config: Config,
  world: AccountsWorld,
  engine: Engine,
  tokens: TokenCounters,
): Accounts {
  const { wheel, watch } = engine;
  const { wallMs, desk: { limiter } } = world;
  const isCounted = countsUsage(config, world);
  const shared = openShared(config, { ...world, wheel, watch, limiter });
  const store = isCounted || config.store.objects ? openStore(config, world) : undefined;
  const usage = store && isCounted ? openUsage(config, world, store, engine, tokens) : undefined;
  const objects = store && config.store.objects
    ? openObjectLog(config, store, { ...world, watch })
    : undefined;
  const upkeep = store && new Upkeep({
    ...upkeepLimits(config),
    ...{ store, wheel, wallMs, watch },
    ...(objects === undefined ? {} : {
      store: {
        pruneUsage: (...limits) => store.pruneUsage(...limits),
        pruneObjects: (...limits) => objects.askStore((store) => store.pruneObjects(...limits)),
      },
      isTroubled: () => objects.trouble !== "",
      recover: () => objects.recover(),
    }),
  });
  const ring = isLocked(config, world) ? ringOf(config, world, store, engine) : undefined;
  const guard = usage && new KeyGuard({
    limiter: shared?.limits ?? limiter,
    spent: (key, per) => usage.spending.of(key, per),
    isPriced: (model) => usage.prices.isPriced(model),
    wallMs,
  });
  const keeping = usage && new KeyWatch({ ...usage, ring: ring ?? NO_RING, wheel, watch });
  return {
    keys: ring && { ring, guard: guard!, hasLimits: () => ring.hasLimits },
    counts: usage?.counts,
    readUsage: usage && ((query) => usage.log.ask(() => usage.store.usage(query))),
    objects,
    shared,
    get isStarting() {
      const isReading = ring !== undefined && !ring.isRead && ring.trouble === "";
      return isReading || shared?.state === "joining";
    },
    get trouble() {
      return ring?.trouble || usage?.log.trouble || objects?.trouble || "";
    },
    async close() {
      await Promise.all([keeping?.close(), upkeep?.close()]);
      await usage?.log.close();
      await objects?.close();
      await store?.close();
    },
  };
}

/** What counts answers, and keeps it. */
function openUsage(
  config: Config,
  { folder, wallMs, uuid, tokens: ownTokens }: AccountsWorld,
  store: Store,
  { watch }: Engine,
  tokens: TokenCounters,
) {
  const takenSinceMs = () => usageSinceMs(upkeepLimits(config), wallMs());
  const log = openUsageLog(config, store, { folder, uuid, watch, takenSinceMs });
  const spending = new Spending({ store, log, wallMs });
  const prices = new Prices(config.prices, wallMs);
  const counts = new UsageCounts({
    tokens,
    costOf: prices.costOf,
    countsAll: config.store.usage === "on",
    uncounted: new Set(
      isOfMockAlone(config) ? ownTokens.map(({ token }) => digestOf(token)) : [],
    ),
    onCounted: usageNotes({
      ...{ takers: [log, spending], uuid, wallMs },
      keepsAll: config.store.usage !== "off",
    }),
  });
  return { store, log, spending, prices, counts };
}

/**
 * True where nothing but the mock answers, and to nobody but whoever has a token: nobody asks what that costs,
 * and counting it would be a third of an answer.
 */
function isOfMockAlone({ store, keys, upstreams, llm, chat, tape }: Config): boolean {
  return store.usage === "auto" && keys.length === 0 && upstreams.length === 0 &&
    llm.base_url === "" && llm.api_key === "" && chat.api_proxy === "" && tape.mode === "off";
}

function ringOf(
  config: Config,
  { tokens, keys, wallMs }: AccountsWorld,
  store: Store | undefined,
  { watch }: Engine,
): KeyRing {
  const fixed = [
    ...tokens.map(({ name, token }) => {
      const rules = { ...FREE, admin: true };
      return { name, digest: digestOf(token), rules, endsMs: Infinity };
    }),
    ...keys,
  ];
  return new KeyRing({
    ...{ fixed, wallMs, watch },
    store: config.store.keys === "off" ? undefined : store,
  });
}

/** How long and how much the store keeps. */
function upkeepLimits({ store }: Config): UpkeepLimits {
  return {
    usageDays: store.usage_days,
    sumsDays: store.usage_sums_days,
    objects: store.objects
      ? { days: store.objects_days, bytesMax: store.objects_max_bytes }
      : undefined,
  };
}

/** Where there are no keys to look for. */
const NO_RING = { look() {} };
