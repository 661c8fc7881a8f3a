/**
 * What makes a load what it is: runs that agree in it are parts of one, runs that do not are none.
 *
 * @module
 */

import type { RunIdentity } from "../load/report/run_file.ts";
import { type Shard, WHOLE } from "../load/shape/shards.ts";
import type { Flags, LoadOptions } from "./load_options.ts";
import { longName } from "./flags.ts";

/** Flags that change what is asked, when, or how it is judged. Headers may be secrets of a machine. */
const ASKED = [
  ...["concurrency", "rate", "arrivals", "ramp", "rampFrom", "rampKind", "sweep", "search"],
  ...["duration", "requests", "warmup", "rounds", "maxConcurrency", "newConnections", "grace"],
  ...[
    "timeout",
    "connectTimeout",
    "seed",
    "promptTokens",
    "outputTokens",
    "whole",
    "speed",
    "turns",
    "think",
  ],
  ...["method", "stopWhenSaturated", "leaveAfter", "leaveShare", "readRate", "slo"],
] as const satisfies readonly (keyof Flags)[];

/** What was asked for, and which part of it this is. */
export function identityOf(
  { flags, endpoints, api, model, bodies, trace }: LoadOptions,
  { index, count }: Shard = WHOLE,
): RunIdentity {
  const asked = ASKED.flatMap((key) => {
    const value = flags[key];
    return value === undefined || value === false ? [] : [[longName(key), JSON.stringify(value)]];
  });
  const long = { "--prompt": flags.prompt, "the bodies": bodies, "the trace": trace };
  return {
    asked: {
      "the target": endpoints.map(({ url }) => withoutSecrets(url)).join(" "),
      "--api": api,
      "--model": model,
      ...Object.fromEntries(asked),
      ...Object.fromEntries(
        Object.entries(long).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, digestOf(JSON.stringify(value))]]
        ),
      ),
    },
    parts: { count, have: [index] },
  };
}

/** A query may be a key. */
function withoutSecrets(text: string): string {
  const { origin, pathname } = new URL(text);
  return origin + pathname;
}

/** Of a text that is too long for a file, or for an error. */
function digestOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 12);
}
