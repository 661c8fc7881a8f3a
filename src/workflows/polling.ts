/**
 * Waits for the end of what a request started, by asking again and again.
 *
 * @module
 */

import { type Calls, failed } from "./call.ts";
import { textOfValue } from "./convert.ts";
import type { Component, Polling } from "./definition.ts";
import { type Pattern, render, type Scope } from "./interpolate.ts";
import { makeRequest } from "./request.ts";
import { send, whole } from "./send.ts";

/**
 * Asks until the status is one of `success_when`, and gives that answer.
 *
 * @throws {AppError} when it is one of `fail_when`, or when it takes too long.
 */
export async function poll(
  component: Component,
  polling: Polling,
  scope: Scope,
  calls: Calls,
  signal: AbortSignal,
): Promise<unknown> {
  const { wheel } = calls;
  const endMs = wheel.nowMs + polling.timeoutMs;
  for (;;) {
    const request = makeRequest(component, polling.request, scope);
    const { response, end } = await send(request, calls, signal, () => true);
    const result = await whole(response, end, calls);
    const known = { ...scope, result };
    const status = polling.status === null
      ? String(response.status)
      : textOfValue(render(polling.status, known));
    if (isAmong(status, polling.failWhen, known)) {
      throw failed(`Polling failed: status '${status}' matched a failure condition`);
    }
    if (isAmong(status, polling.successWhen, known)) return result;
    const isSuccess = polling.status === null && polling.successWhen.length === 0 && response.ok;
    if (isSuccess) return result;
    const nextMs = wheel.nowMs + polling.intervalMs;
    if (nextMs > endMs) {
      throw failed(`Polling timed out after ${polling.timeoutMs / 1000} seconds`);
    }
    if (!await wheel.until(nextMs, signal)) throw signal.reason;
  }
}

/** True when `status` is one of `patterns`; "2xx" stands for all codes that begin with 2. */
function isAmong(status: string, patterns: readonly Pattern[], scope: Scope): boolean {
  return patterns.some((pattern) => {
    const wanted = textOfValue(render(pattern, scope));
    if (/^[1-5]xx$/i.test(wanted)) return /^\d{3}$/.test(status) && status[0] === wanted[0];
    return wanted === status;
  });
}
