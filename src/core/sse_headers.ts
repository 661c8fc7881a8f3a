/**
 * The headers that every stream of events begins with.
 *
 * @module
 */

/**
 * `own` on top of what all have in common: nobody keeps the stream, nginx passes each event on at once
 * (`X-Accel-Buffering`), and pages of other origins may read it.
 */
export function sseHeaders(own: Readonly<Record<string, string>> = {}): Headers {
  return new Headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "access-control-allow-origin": "*",
    ...own,
  });
}
