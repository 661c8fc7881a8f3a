/**
 * `GET /metrics`: what weir counts, for Prometheus.
 *
 * @module
 */

import type { Authorize } from "../../core/exchange.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Surface } from "../../core/surface.ts";
import { bodyTooLarge, errorAnswer, keyError } from "../../dialects/openai/errors.ts";

/** What the surface needs. */
export interface MetricsDeps {
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  readonly stamps: Stamps;
  /** The metrics as text, and the headers that it has. */
  readonly read: () => Promise<string>;
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes the surface. */
export function metrics({ authorize, secrets, stamps, read, headers }: MetricsDeps): Surface {
  return {
    name: "metrics",
    source: "",
    takes: "nothing",
    isSpared: true,
    admit({ fields }, exchange) {
      exchange.requestId = `req_${stamps.hex(32)}`;
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, secrets);
    },
    answer: async () => ({ kind: "whole", status: 200, headers, body: await read() }),
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId }) => errorAnswer(error, requestId),
  };
}
