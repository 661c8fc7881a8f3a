/**
 * A server on a free port of this machine.
 *
 * @module
 */

import { Http1Server, type Http1ServerOptions } from "../../../src/lib/http1/server.ts";
import type { Http1Handler } from "../../../src/lib/http1/server_connection.ts";
import { Wheel } from "../../../src/lib/wheel.ts";

/** When it is, for everybody who answers. */
export const WALL_MS = 1_700_000_000_000;

/**
 * Listens. Nothing that the server waits for is ever over unless `more` has a wheel that turns; what
 * is no request is answered with its code, and what a handler throws gets lost in no test.
 */
export function listen(
  onRequest: Http1Handler["onRequest"],
  more: Partial<Omit<Http1ServerOptions, "handler">> & Partial<Http1Handler> = {},
): Http1Server {
  const { onBadRequest = (exchange, { code }) => exchange.whole(400, {}, code), ...options } = more;
  return new Http1Server({
    place: { hostname: "127.0.0.1", port: 0, isShared: false },
    tls: undefined,
    handler: { onRequest, onBadRequest },
    wheel: new Wheel(() => 0, () => {}),
    wallMs: () => WALL_MS,
    targetBytesMax: 8192,
    headTimeoutMs: 1000,
    idleTimeoutMs: 1000,
    writeTimeoutMs: 1000,
    onBug(error) {
      queueMicrotask(() => {
        throw error;
      });
    },
    ...options,
  });
}

/** Where `server` is. */
export function urlOf({ port }: Pick<Http1Server, "port">): string {
  return `http://127.0.0.1:${port}`;
}
