/**
 * Values of the flags of `weir load`.
 *
 * @module
 */

import type { Arrivals } from "../load/shape/arrivals.ts";
import type { Shard } from "../load/shape/shards.ts";
import { type Slo, SLO_NAMES } from "../load/slo.ts";
import { oneOf, readNumber, type ReadValue } from "./flags.ts";
import { EXIT, Failure } from "./terminal.ts";

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  "": 1000,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
};

/** A time, "500ms", "30s", "2m", "1h", or a number of seconds, in milliseconds. */
export const readTime: ReadValue<number> = (value, name) => {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(value) ?? [];
  const factor = digits !== undefined && Object.hasOwn(UNITS_MS, unit) ? UNITS_MS[unit] : undefined;
  if (factor !== undefined) return Number(digits) * factor;
  throw new Failure(
    `${name} must be a time such as 500ms, 30s or 2m: it is "${value}"`,
    EXIT.usage,
  );
};

/** A time that something takes: more than none. */
export const readLength: ReadValue<number> = (value, name) => {
  const ms = readTime(value, name);
  if (ms > 0) return ms;
  throw new Failure(`${name} must be longer than 0: it is "${value}"`, EXIT.usage);
};

/** They are counted through before the first is sent. */
const WARMUP = { min: 0, max: 10_000_000, isWhole: true } as const;

/** A number of requests, or a time. */
export type Span = { readonly requests: number } | { readonly ms: number };

/** What warms up, by time and by number; 0 = nothing of the kind. */
export type Warmup = Readonly<Record<"ms" | "requests", number>>;

/** What is to warm up. */
export function warmupOf(warmup: Span | undefined): Warmup {
  return { ms: 0, requests: 0, ...warmup };
}

/** "100" are requests, "5s" is a time. */
export const readWarmup: ReadValue<Span> = (value, name) =>
  /^\d+$/.test(value)
    ? { requests: readNumber(value, name, WARMUP) }
    : { ms: readTime(value, name) };

/** A list of numbers, "1,8,64". */
export function readNumbers(
  range: { readonly min: number; readonly max: number; readonly isWhole: boolean },
): ReadValue<readonly number[]> {
  return (value, name) => value.split(",").map((one) => readNumber(one, name, range));
}

/** "constant", "poisson", "gamma:K". */
export const readArrivals: ReadValue<Arrivals> = (value, name) => {
  if (value === "constant" || value === "poisson") return { kind: value };
  const k = Number(/^gamma:(.+)$/.exec(value)?.[1]);
  if (k > 0 && Number.isFinite(k)) return { kind: "gamma", k };
  const hint = value === "uniform" ? ", which here is constant" : "";
  throw new Failure(
    `${name} must be constant, poisson or gamma:K with K above 0: it is "${value}"${hint}`,
    EXIT.usage,
  );
};

/**
 * "ttft=300ms,tpot=50ms,e2e=5s", in milliseconds. A number without a unit is milliseconds for some
 * tools and seconds for others: it is none here.
 */
export const readSlo: ReadValue<Slo> = (value, name) => {
  const entries = value.split(",").map((part) => {
    const [key = "", limit = ""] = part.split("=").map((piece) => piece.trim());
    if (!SLO_NAMES.some((one) => one === key)) {
      throw new Failure(`${name} has limits on ${oneOf(SLO_NAMES)}: not on "${key}"`, EXIT.usage);
    }
    if (/^\d+(?:\.\d+)?$/.test(limit)) {
      throw new Failure(`${name} ${key}=${limit} has no unit: ${limit}ms or ${limit}s`, EXIT.usage);
    }
    return [key, readLength(limit, name)] as const;
  });
  const twice = entries.find(([key], at) => entries.findIndex(([other]) => other === key) < at);
  if (twice !== undefined) {
    throw new Failure(`${name} has two limits on ${twice[0]}`, EXIT.usage);
  }
  return Object.fromEntries(entries);
};

/** Kubernetes sets it for each pod of an Indexed Job, from 0. */
const JOB_INDEX = "JOB_COMPLETION_INDEX";

/** "2/8": the second of eight. "job/8": one of the eight pods of a Job, which knows its own number. */
export const readShard: ReadValue<Shard> = (value, name) => {
  const [, which, count] = /^(\d+|job)\/(\d+)$/.exec(value) ?? [];
  const pod = process.env[JOB_INDEX] ?? "";
  if (which === "job" && !/^\d+$/.test(pod)) {
    throw new Failure(
      `${name} ${value} needs ${JOB_INDEX}, which Kubernetes sets for a pod of an ` +
        `Indexed Job: it is ${pod === "" ? "not set" : `"${pod}"`}`,
      EXIT.usage,
    );
  }
  const index = which === "job" ? Number(pod) + 1 : Number(which);
  if (index >= 1 && index <= Number(count)) return { index: index - 1, count: Number(count) };
  throw new Failure(
    which === "job"
      ? `${name} ${value} is for pods 0 to ${Number(count) - 1}: ${JOB_INDEX} is ${pod}`
      : `${name} must be I/N with I from 1 to N, or job/N: it is "${value}"`,
    EXIT.usage,
  );
};

/** A moment, as ISO 8601 or as seconds since 1970, in milliseconds since 1970. */
export const readMoment: ReadValue<number> = (value, name) => {
  const ms = /^\d+(?:\.\d+)?$/.test(value) ? 1000 * Number(value) : Date.parse(value);
  if (!Number.isNaN(ms)) return ms;
  throw new Failure(
    `${name} must be a time such as 2026-11-28T22:00:00Z, or seconds since 1970: it is "${value}"`,
    EXIT.usage,
  );
};
