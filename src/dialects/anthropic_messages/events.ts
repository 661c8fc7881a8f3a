/**
 * One event of Anthropic's streams.
 *
 * @module
 */

/** An event of `type`, whose name stands on a line of its own: Anthropic's client reads only that. */
export function event(json: string, type: string): string {
  return `event: ${type}\ndata: ${json}\n\n`;
}
