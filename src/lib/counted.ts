/**
 * Counts in sentences for people.
 *
 * @module
 */

/** "1 tape", "2 tapes"; `many` where that is no plain s: "1 request was", "2 requests were". */
export function counted(count: number, noun: string, many = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : many}`;
}
