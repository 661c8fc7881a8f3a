/**
 * Computes the rate-limit headers of recorded answers of a real API again, with weir's own limiter: what
 * was taken is limit − remaining, and the reset follows from it to the millisecond.
 *
 *     bun test/rate_limits.ts FOLDER
 *
 * An exchange in FOLDER is `NAME.request.json` (`{method, path, body}`) and `NAME.headers.json` (`{status,
 * headers}`). `same`: the reset is that of what was taken, which of tokens is what weir takes for the
 * request where that leaves as many. `refilled`: it is less, by no more than the part of a unit that
 * `remaining` does not show. Anything else DIFFERS, and ends with 1. The last column tells the estimate of a
 * request's tokens, and how many were taken.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseChatRequest } from "../src/dialects/openai_chat/request.ts";
import { parseCompletion } from "../src/dialects/openai_completions/request.ts";
import { goDuration } from "../src/dialects/openai/rate_limits.ts";
import { Bucket, Limiter, limiterBytes } from "../src/lib/limiter.ts";
import { chargeOf, inputTokens } from "../src/sources/limits/charge.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Go's units. */
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: MINUTE_MS, s: 1000, ms: 1 };

interface Headers {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write("Cannot compute anything: name the folder of the recordings\n");
  process.exit(2);
}
const counts = { same: 0, refilled: 0, DIFFERS: 0 };
for (const file of readdirSync(folder).sort()) {
  if (!file.endsWith(".headers.json")) continue;
  const { headers } = readJson(file) as Headers;
  if (!Object.keys(headers).some((name) => name.startsWith("x-ratelimit-"))) continue;
  const name = file.slice(0, -".headers.json".length);
  const charge = estimated(name);
  const told = [compared(headers, "requests"), compared(headers, "tokens", charge)];
  print(`${name.padEnd(44)} ${told.join("  ")}  estimate ${charge ?? "-"}`);
}
print(`${counts.same} same, ${counts.refilled} refilled, ${counts.DIFFERS} differ`);
process.exit(counts.DIFFERS === 0 ? 0 : 1);

/** One line about a reset. */
function compared(
  headers: Headers["headers"],
  what: "requests" | "tokens",
  charge?: number,
): string {
  const number = (part: string) => Number(headers[`x-ratelimit-${part}-${what}`]);
  const text = headers[`x-ratelimit-reset-${what}`] ?? "";
  const [limit, remaining] = [number("limit"), number("remaining")];
  const shown = limit - remaining;
  const taken = charge !== undefined && Math.ceil(charge) === shown ? charge : shown;
  const recordedMs = durationMs(text);
  // Accounts are limited by the minute, or by the day: what is nearer is meant.
  const factor = (ms: number) => Math.abs(Math.log((recordedMs + 1) / (ms + 1)));
  const [windowMs] = [MINUTE_MS, DAY_MS].toSorted((a, b) =>
    factor(computedMs(limit, taken, a)) - factor(computedMs(limit, taken, b))
  ) as [number, number];
  const resetMs = computedMs(limit, taken, windowMs);
  const leastMs = computedMs(limit, Math.max(0, shown - 1), windowMs);
  const verdict = goDuration(resetMs) === text
    ? "same"
    : recordedMs >= leastMs && recordedMs < resetMs
    ? "refilled"
    : "DIFFERS";
  counts[verdict]++;
  return `${what} ${taken} of ${limit}: ${text} ${verdict}` +
    (verdict === "same" ? "" : ` (${goDuration(resetMs)} without refill)`);
}

/** The reset of a full bucket of which `taken` are taken. */
function computedMs(limit: number, taken: number, windowMs: number): number {
  const limiter = new Limiter(new Uint8Array(limiterBytes(4)), () => 0);
  const bucket = new Bucket("a", "b", limit, windowMs);
  limiter.take([{ bucket, units: taken }]);
  return limiter.read(bucket).resetMs;
}

function durationMs(text: string): number {
  const parts = [...text.matchAll(/([\d.]+)(h|ms|m|s)/g)];
  return Math.round(
    parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS_MS[unit!]!, 0),
  );
}

/** Tokens that weir would take; undefined = the request is not known, or no rule for it is. */
function estimated(name: string): number | undefined {
  const file = `${name}.request.json`;
  if (!existsSync(join(folder!, file))) return undefined;
  const { path, body } = readJson(file) as { readonly path: string; readonly body: Body };
  return estimate(path, body);
}

type Body = Readonly<Record<string, unknown>>;

function estimate(path: string, body: Body): number | undefined {
  switch (path) {
    case "/v1/chat/completions":
      return sum(chargeOf(parseChatRequest(body, "spec", true)));
    case "/v1/completions":
      return sum(chargeOf(parseCompletion(JSON.stringify(body), "spec", () => undefined)));
    case "/v1/embeddings":
      return inputTokens(body["input"]);
    default:
      return undefined;
  }
}

function sum({ input, output }: ReturnType<typeof chargeOf>): number {
  return input + output;
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(join(folder!, file), "utf8"));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
