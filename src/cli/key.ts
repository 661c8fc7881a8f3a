/**
 * `weir key`: keys of the store, which a weir that runs takes within two seconds.
 *
 * @module
 */

import { getRandomValues } from "node:crypto";
import { isLocked } from "../config/own_keys.ts";
import { isMoment } from "../config/rules.ts";
import { FREE, KEY_PREFIX, type KeyRules, type StoredKey } from "../core/keys.ts";
import { LIMIT_KINDS } from "../core/limits.ts";
import type { Store } from "../core/store.ts";
import { digestOf } from "../ops/key_ring.ts";
import { openStore } from "../store/open.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { asText, choiceFlag, listFlag, numberFlag, switchFlag, textFlag } from "./flags.ts";
import { shownStore, storeFailure } from "./shown_store.ts";
import { readSettings, type Settings, warn } from "./settings.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { endOf } from "./token_files.ts";

const NAME = /^[\w.-]{1,64}$/;
const LIMIT_MAX = 1_000_000_000;
const GRACE_HOURS_MAX = 8760;
const USD_MAX = 1_000_000;
const HOUR_MS = 3_600_000;

const KEY_BYTES = 32;
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** So many of them have as many values as the bytes. */
const KEY_DIGITS = 43;

function limitFlag(text: string) {
  return numberFlag({
    value: "N",
    text: `add: ${text}; 0 = no limit`,
    min: 0,
    max: LIMIT_MAX,
    isWhole: true,
    default: 0,
  });
}

/** Makes keys, lists them, and ends them. */
export const key = defineCommand({
  name: "key",
  summary: "add, list, rotate and revoke keys of the store",
  details:
    "A key is shown once, when it is made: the store has its SHA-256. A weir that runs takes changes " +
    "within 2 s, in all its processes; answers that have begun go on.",
  operands: {
    action: {
      name: "ACTION",
      text: "add, list, rotate or revoke",
      choices: ["add", "list", "rotate", "revoke"],
    },
    name: {
      name: "NAME",
      text: "the key, as logs, usage and limits call it; not for list",
      isOptional: true,
    },
  },
  flags: {
    model: listFlag({
      value: "GLOB",
      text: "add: a model that it may ask, where * is any text",
      notes: ["default all"],
      read: asText,
    }),
    route: listFlag({
      value: "NAME",
      text: "add: a route that it may take",
      notes: ["default all"],
      read: asText,
    }),
    expires: textFlag({
      value: "DATE",
      text: "add: when it ends, 2027-01-31 or with a time",
      notes: ["default never"],
      mustHaveText: true,
    }),
    requestsPerMin: limitFlag("requests a minute"),
    requestsPerDay: limitFlag("requests a day"),
    tokensPerMin: limitFlag("tokens a minute, of questions and answers"),
    tokensPerDay: limitFlag("tokens a day"),
    concurrentMax: limitFlag("requests at once"),
    budgetPer: choiceFlag({
      value: "PERIOD",
      text: "add: for how long the budget is, in UTC",
      choices: ["day", "month"],
      default: "month",
    }),
    budgetTokens: numberFlag({
      value: "N",
      text: "add: tokens of its budget; 0 = no limit",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      isWhole: true,
      default: 0,
    }),
    budgetUsd: numberFlag({
      value: "N",
      text: "add: US dollars of its budget; 0 = no limit",
      min: 0,
      max: USD_MAX,
      isWhole: false,
      default: 0,
    }),
    admin: switchFlag({ text: "add: it reaches /__weir/… and /metrics, too" }),
    graceHours: numberFlag({
      value: "N",
      text: "rotate: hours for which the old key holds",
      min: 0,
      max: GRACE_HOURS_MAX,
      isWhole: false,
      default: 24,
    }),
    json: switchFlag({ text: "list: each key as JSON on a line, those that have ended, too" }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir key add ci --model 'gpt-4o*' --requests-per-min 60", text: "prints the key" },
    { line: "weir key list", text: "which keys there are" },
    { line: "weir key rotate ci --grace-hours 1", text: "prints a new one; the old holds an hour" },
    { line: "weir key revoke ci", text: "ends all keys of that name" },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config is wrong, the store cannot be asked, or it has (or has no) such key",
  },
  async run({ flags, operands: { action, name } }, terminal) {
    const settings = readSettings(settingOptions(flags), terminal);
    warn(settings.warnings, terminal);
    const { config, folder } = settings;
    const store = openStore(config, { folder, clock: () => performance.now() });
    try {
      if (action === "list") {
        if (name !== undefined) throw new Failure("list takes no NAME", EXIT.usage);
        const lines = listed(await store.keys(), flags.json, Date.now());
        for (const line of lines) terminal.print(line);
        if (lines.length === 0) {
          terminal.complain(`weir: ${shownStore(config)} has no keys in force`);
        }
        return EXIT.done;
      }
      if (name === undefined) {
        throw new Failure(`NAME is missing: weir key ${action} NAME`, EXIT.usage);
      }
      if (!NAME.test(name)) {
        throw new Failure(
          `NAME must be up to 64 letters, digits, _ . and -: it is ${name}`,
          EXIT.usage,
        );
      }
      if (isOfConfig(config, name)) {
        throw new Failure(
          `There is a key named ${name} in the config: ` +
            (action === "add" ? "choose another name" : "change it there, and reload weir"),
        );
      }
      switch (action) {
        case "add":
          await add(store, name, rulesOf(flags), endOfFlag(flags.expires), settings, terminal);
          break;
        case "rotate":
          await rotate(store, name, flags.graceHours, terminal);
          break;
        case "revoke":
          await store.changeKeys({ kind: "revoke", name, endsMs: Date.now() });
          terminal.complain(`weir: every key named ${name} opens nothing from now on`);
          break;
      }
      return EXIT.done;
    } catch (error) {
      throw storeFailure(error, config);
    } finally {
      await store.close();
    }
  },
});

function rulesOf(flags: {
  readonly model: readonly string[];
  readonly route: readonly string[];
  readonly requestsPerMin: number;
  readonly requestsPerDay: number;
  readonly tokensPerMin: number;
  readonly tokensPerDay: number;
  readonly concurrentMax: number;
  readonly budgetPer: "day" | "month";
  readonly budgetTokens: number;
  readonly budgetUsd: number;
  readonly admin: boolean;
}): KeyRules {
  return {
    models: flags.model,
    routes: flags.route,
    admin: flags.admin,
    requests_per_min: flags.requestsPerMin,
    requests_per_day: flags.requestsPerDay,
    tokens_per_min: flags.tokensPerMin,
    tokens_per_day: flags.tokensPerDay,
    concurrent_max: flags.concurrentMax,
    budget_per: flags.budgetPer,
    budget_tokens: flags.budgetTokens,
    budget_usd: flags.budgetUsd,
  };
}

function endOfFlag(expires: string | undefined): number {
  if (expires === undefined) return Infinity;
  const endsMs = isMoment(expires) ? endOf(expires) : NaN;
  if (endsMs > Date.now()) return endsMs;
  const must = Number.isNaN(endsMs)
    ? "a date such as 2027-01-31, or with a time such as 2027-01-31T12:00:00Z"
    : "a moment to come";
  throw new Failure(`--expires must be ${must}: it is ${expires}`, EXIT.usage);
}

function isOfConfig({ auth, keys }: Settings["config"], name: string): boolean {
  return [...keys, ...auth.tokens].some((entry) => entry.name === name);
}

async function add(
  store: Store,
  name: string,
  rules: KeyRules,
  endsMs: number,
  { config }: Settings,
  terminal: Terminal,
): Promise<void> {
  const known = config.routes.map((route) => route.name);
  const unknown = rules.routes.find((route) => !known.includes(route));
  if (unknown !== undefined) throw new Failure(`--route: there is no route named ${unknown}`);
  const text = await put(store, "add", name, rules, endsMs, Infinity);
  terminal.complain(`weir: the key ${name} of ${shownStore(config)}, shown this once:`);
  terminal.print(text);
  const trouble = unused(config);
  if (trouble !== "") warn([trouble], terminal);
}

/** Why keys of the store open nothing, or nobody asks for them; "" = they are asked for. */
function unused(config: Settings["config"]): string {
  if (config.store.keys === "off") return "it opens nothing while store.keys is off";
  if (isLocked(config, "bearer")) return "";
  return "weir asks nobody for a key until there is auth.token, keys, or store.keys: on";
}

async function rotate(
  store: Store,
  name: string,
  graceHours: number,
  terminal: Terminal,
): Promise<void> {
  const current = (await store.keys()).find((key) => key.name === name && key.isCurrent);
  const rules = current?.rules ?? FREE; // the store says that there is none
  const oldEndsMs = Date.now() + Math.round(graceHours * HOUR_MS);
  const text = await put(store, "rotate", name, rules, current?.endsMs ?? Infinity, oldEndsMs);
  terminal.complain(
    `weir: the new key ${name}, shown this once; the old one ends ${momentOf(oldEndsMs)}:`,
  );
  terminal.print(text);
}

/** Makes a key and keeps it. Gives its text. */
async function put(
  store: Store,
  kind: "add" | "rotate",
  name: string,
  rules: KeyRules,
  endsMs: number,
  oldEndsMs: number,
): Promise<string> {
  const text = newKey();
  const madeMs = Date.now();
  const key = { name, digest: digestOf(text), rules, madeMs, endsMs, isCurrent: true };
  await store.changeKeys(
    kind === "add" ? { kind, key } : { kind, key, endsMs: Math.max(oldEndsMs, madeMs) },
  );
  return text;
}

/** A key nobody can guess: 256 bits by chance, in digits and letters. */
function newKey(): string {
  let value = BigInt(
    `0x${Buffer.from(getRandomValues(new Uint8Array(KEY_BYTES))).toString("hex")}`,
  );
  let digits = "";
  while (digits.length < KEY_DIGITS) {
    digits = DIGITS[Number(value % 62n)]! + digits;
    value /= 62n;
  }
  return KEY_PREFIX + digits;
}

/** What is told of keys, a line each. */
function listed(keys: readonly StoredKey[], isJson: boolean, nowMs: number): readonly string[] {
  if (isJson) return keys.map((key) => JSON.stringify(shown(key, nowMs)));
  const open = keys.filter(({ endsMs }) => endsMs > nowMs);
  return open.map((key) => {
    const { name, endsMs, isCurrent } = key;
    const told = Object.entries(shown(key, nowMs).rules).map(([rule, value]) => `${rule} ${value}`);
    return [
      name,
      idOf(key),
      `made ${momentOf(key.madeMs)}`,
      ...(isCurrent ? [] : ["replaced"]),
      ...(endsMs === Infinity ? [] : [`ends ${momentOf(endsMs)}`]),
      ...told,
    ].join("  ");
  });
}

function shown({ name, rules, madeMs, endsMs, isCurrent, digest }: StoredKey, nowMs: number) {
  return {
    name,
    id: idOf({ digest }),
    state: endsMs <= nowMs ? "ended" : isCurrent ? "current" : "replaced",
    made: momentOf(madeMs),
    ends: endsMs === Infinity ? null : momentOf(endsMs),
    rules: Object.fromEntries(toldRules(rules)),
  };
}

/** What differs from a key without limits. */
function toldRules(rules: KeyRules): readonly (readonly [string, unknown])[] {
  const hasBudget = rules.budget_tokens > 0 || rules.budget_usd > 0;
  return [
    ...(rules.admin ? [["admin", true] as const] : []),
    ...(["models", "routes"] as const).filter((name) => rules[name].length > 0)
      .map((name) => [name, rules[name]] as const),
    ...LIMIT_KINDS.filter((kind) => rules[kind] > 0).map((kind) => [kind, rules[kind]] as const),
    ...(hasBudget
      ? (["budget_per", "budget_tokens", "budget_usd"] as const)
        .filter((name) => rules[name] !== 0).map((name) => [name, rules[name]] as const)
      : []),
  ];
}

/** By which a key can be told that one has: nobody can make the key of it. */
function idOf({ digest }: Pick<StoredKey, "digest">): string {
  return `sha256:${digest.slice(0, 8)}`;
}

function momentOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}/, "");
}
