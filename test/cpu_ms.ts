/**
 * How long something takes of the processor: what a test may limit, since time on the clock is also
 * its neighbours'.
 *
 * @module
 */

/** Milliseconds of processor time that this process has had so far, on all cores. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
