/**
 * The log: one line per event to standard error. It never holds a prompt, an answer or a secret.
 *
 * @module
 */

import type { ErrorCode } from "../core/errors.ts";
import type { Event, Watch } from "../core/events.ts";
import type { Exchange } from "../core/exchange.ts";

/** requests: every request · errors: what went wrong · off: nothing. */
export type LogLevel = "requests" | "errors" | "off";

/** Where lines go, and the time that stands in front of them. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly wallMs: () => number;
}

/** A watcher that writes lines; undefined when the level is off, so nothing is called at all. */
export function logWatcher({ level, write, wallMs }: LogOptions): Watch | undefined {
  if (level === "off") return undefined;
  return (event) => {
    const text = lineOf(event, level);
    if (text !== undefined) write(`${new Date(wallMs()).toISOString()} ${text}\n`);
  };
}

function lineOf(event: Event, level: LogLevel): string | undefined {
  switch (event.kind) {
    case "exchange_ended": {
      const isError = event.exchange.status >= 500 || FAULTS.has(event.exchange.outcome ?? "");
      return level === "requests" || isError ? exchangeLine(event.exchange) : undefined;
    }
    case "upstream_retried":
      return `upstream_retried attempt=${event.attempt} delay_ms=${event.delayMs.toFixed(0)} ` +
        `cause=${JSON.stringify(event.cause)}`;
    case "upstream_unfinished":
      return "upstream_unfinished: the upstream's stream ended without [DONE]";
    case "memory_write_failed":
      return `memory_write_failed cause=${JSON.stringify(event.cause)}`;
    case "memory_write_recovered":
      return "memory_write_recovered: turns are taken again";
    case "delivery_retried":
      return `delivery_retried attempt=${event.attempt} delay_ms=${event.delayMs.toFixed(0)} ` +
        `cause=${JSON.stringify(event.cause)}`;
    case "turn_dead":
      return `turn_dead letter=${event.letter} cause=${JSON.stringify(event.cause)}`;
    case "turns_pruned":
      return level === "requests" ? `turns_pruned count=${event.count}` : undefined;
    case "prune_failed":
      return `prune_failed cause=${JSON.stringify(event.cause)}`;
    case "bug":
      return `bug where=${event.where} ${stackOf(event.error)}`;
  }
}

const FAULTS: ReadonlySet<string> = new Set([
  "upstream_failed",
  "timed_out",
  "shut_down",
  "failed",
]);

/** Errors whose sentence is all weir's own: others may repeat what a client or an upstream said. */
const SAFE_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "upstream_unreachable",
  "upstream_timeout",
  "loop_detected",
  "memory_failed",
  "shutting_down",
]);

function exchangeLine(exchange: Exchange): string {
  const fields = [
    exchange.method,
    exchange.surface,
    `status=${exchange.status}`,
    `outcome=${exchange.outcome}`,
    `source=${exchange.source || "-"}`,
    `model=${JSON.stringify(exchange.model)}`,
    `first_byte_ms=${exchange.firstByteMs.toFixed(1)}`,
    `duration_ms=${exchange.durationMs.toFixed(1)}`,
    `body_bytes=${exchange.bodyBytes}`,
    `request_id=${exchange.requestId || "-"}`,
  ];
  const { error } = exchange;
  if (error !== undefined) {
    fields.push(`error=${error.code}`);
    if (SAFE_CODES.has(error.code)) fields.push(`message=${JSON.stringify(error.message)}`);
  }
  return fields.join(" ");
}

/** The stack of a bug, on one line. */
function stackOf(error: unknown): string {
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  return JSON.stringify(text);
}
