/**
 * The header that says how long an answer took to begin.
 *
 * @module
 */

/** Its name. */
export const PROCESSING_HEADER = "openai-processing-ms";

/** What it says of so many milliseconds. */
export function processingValue(ms: number): string {
  return String(Math.max(1, Math.round(ms)));
}

/** The header where all answers take `ms`; none where each has its own time: undefined. */
export function processingFields(ms: number | undefined): Readonly<Record<string, string>> {
  return ms === undefined ? {} : { [PROCESSING_HEADER]: processingValue(ms) };
}
