/**
 * Counts in sentences for people.
 *
 * @module
 */

/** "1 tape", "2 tapes" */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
