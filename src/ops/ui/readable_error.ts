/**
 * What went wrong, as one sentence for the reader.
 *
 * @module
 */

import type { Wording } from "./wording.ts";

/** An error whose message is already a sentence for the reader. */
export class ReadableError extends Error {
  override readonly name = "ReadableError";
}

/** The sentence for whatever was thrown while an answer was asked for or read. */
export function sentenceOf(error: unknown, wording: Wording): string {
  if (error instanceof ReadableError) return error.message;
  // The browser says no more than "network error" about a body that was cut.
  if (error instanceof TypeError) return wording.text("error_interrupted");
  return wording.text("error_unreadable", error instanceof Error ? error.message : String(error));
}

/** True for what an aborted signal throws. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** The message in an error body: `{"detail"}`, `{"error":{"message"}}` or plain text; null = none. */
export function messageOf(text: string): string | null {
  if (text.trim() === "") return null;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return text.trimStart().startsWith("<") ? null : text; // a proxy's HTML page says nothing
  }
  const { detail, error, message } = (body ?? {}) as Readonly<Record<string, unknown>>;
  const nested = (error as { readonly message?: unknown } | null | undefined)?.message;
  const found = nested ?? detail ?? message ?? error ?? null;
  return found === null || typeof found === "string" ? found : JSON.stringify(found);
}
