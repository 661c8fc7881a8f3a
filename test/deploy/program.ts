/**
 * System programs that tests need and that are not part of weir.
 *
 * @module
 */

/**
 * Is `program` installed? When not, its tests are skipped visibly, but never in CI.
 *
 * @throws {Error} when it is missing and CI=true.
 */
export function hasProgram(program: string): boolean {
  // nginx lies where an unprivileged user's PATH does not look.
  const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;
  if (Bun.which(program, { PATH }) !== null) return true;
  if (process.env["CI"] === "true") throw new Error(`These tests need the program ${program}`);
  return false;
}
