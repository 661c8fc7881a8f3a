/**
 * Ports for what must be told one beforehand. Whoever can, listens on port 0.
 *
 * @module
 */

/**
 * Where ports are looked for: below what Linux (from 32768) and macOS (from 49152) give out for port
 * 0 and for outgoing connections, so that no test running at the same time is handed it in between.
 */
const [FIRST, COUNT] = [20_000, 12_000];

/**
 * A port of 127.0.0.1 on which nobody listens.
 *
 * @throws {Error} the system's own when it lets nobody listen, on 100 ports in turn.
 */
export function freePort(): number {
  for (let attempt = 1;; attempt++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch (error) {
      if (attempt === 100) throw error;
    }
  }
}
