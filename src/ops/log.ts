/**
 * The log: one line per event to standard error. It never holds an answer or a secret, and a prompt
 * only when `ops.log_prompts` wants it.
 *
 * @module
 */

import type {} from "../core/facts.ts";
import type { Event, Watch } from "../core/events.ts";
import type { LogBuffer } from "./log_buffer.ts";
import { type Fields, type LineFormat, type Severity, severityOf } from "./log_line.ts";

/** requests: every request · errors: what went wrong · off: nothing. */
export type LogLevel = "requests" | "errors" | "off";

/** A watcher that writes lines; undefined when the level is off, so nothing is called at all. */
export function logWatcher(
  level: LogLevel,
  format: LineFormat,
  buffer: Pick<LogBuffer, "add">,
): Watch | undefined {
  if (level === "off") return undefined;
  const writesAll = level === "requests";
  return (event) => {
    if (event.kind === "exchange_ended") {
      const severity = severityOf(event.exchange);
      if (writesAll || severity !== "info") buffer.add(format.request(event.exchange, severity));
      return;
    }
    const note = noteOf(event);
    if (note === undefined) return;
    const [severity, fields] = note;
    if (!writesAll && severity === "info") return;
    buffer.add(format.note(event.kind, severity, fields), severity !== "info");
  };
}

type Note = Exclude<Event, { readonly kind: "exchange_ended" }>;

function noteOf(event: Note): readonly [Severity, Fields] | undefined {
  switch (event.kind) {
    case "upstream_ended":
      return undefined; // the line of its request has it all
    case "upstream_retried": {
      const { attempt, delayMs, cause } = event;
      return ["warn", { attempt, delay_ms: Math.round(delayMs), cause }];
    }
    case "retry_forgone":
    case "answer_hedged":
      return undefined; // the line of its request says what came of it
    case "breaker_turned":
      return ["warn", { upstream: event.upstream, state: event.state }];
    case "answer_moved":
      // While a breaker is open, each request would have a line of it.
      return event.isOpen ? undefined : ["warn", { from: event.from, cause: event.cause }];
    case "upstream_unfinished":
      return ["warn", { cause: "the upstream's stream ended without [DONE]" }];
    case "limit_reached":
      return undefined; // the line of its exchange says which
    case "memory_write_failed":
    case "memory_file_vanished":
    case "store_failed":
    case "shared_failed":
    case "usage_unsafe":
    case "objects_unsafe":
    case "prune_failed":
      return ["error", { cause: event.cause }];
    case "usage_lost":
    case "objects_lost":
      return ["error", { count: event.count }];
    case "memory_write_recovered":
    case "store_recovered":
    case "shared_recovered":
      return ["warn", {}]; // as grave as what it takes back: who reads the one must see the other
    case "delivery_retried": {
      const { attempt, delayMs, cause } = event;
      return ["warn", { attempt, delay_ms: Math.round(delayMs), cause }];
    }
    case "turn_dead": {
      const { letter, attempts, cause } = event;
      return ["error", { table: "dead_letters", letter, attempts, cause }];
    }
    case "turns_pruned":
      return ["info", { count: event.count }];
    case "trace_export_failed":
      return ["warn", { cause: event.cause }];
    case "trace_export_recovered":
      return ["warn", {}];
    case "tape_replayed":
    case "tape_recorded":
      return undefined;
    case "tape_lost": // what was wrong with the folder is told once
      return undefined;
    case "tape_missed":
      return undefined; // the line of its request says what became of it
    case "tape_abandoned":
      return ["warn", { cause: event.cause }];
    case "tape_write_failed":
      return ["error", { cause: event.cause }];
    case "tape_write_recovered":
      return ["warn", {}];
    case "tape_unreadable":
      return ["error", { file: event.file, cause: event.cause }];
    case "bug":
      return ["error", { where: event.where, stack: stackOf(event.error) }];
  }
}

/**
 * The stack of a bug. Where a text would not parse, the message quotes that text: it is left out.
 */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return `a thrown ${typeof error}`;
  const { name, message, stack = "" } = error;
  if (!(error instanceof SyntaxError)) {
    return stack.includes(message) ? stack : `${message}\n${stack}`;
  }
  return `${name}\n${stack.replaceAll(message, "")}`;
}
