/**
 * Tests that need a program of the system: skipped with a visible line where it is absent, and failed
 * where nothing may be absent (`CI=true`).
 *
 * @module
 */

import { describe, test } from "bun:test";

/**
 * `describe`, when `isThere`. Else one test that is skipped, or fails when `CI` is "true"; `what`
 * says what to install.
 */
export function describeWith(
  isThere: boolean,
  what: string,
  name: string,
  body: () => void,
): void {
  if (isThere) return describe(name, body);
  process.stderr.write(`(skip) ${name}: this machine has no ${what}\n`);
  const isRequired = process.env["CI"] === "true";
  test.skipIf(!isRequired)(`${name}: needs ${what}`, () => {
    throw new Error(`CI=true, and there is no ${what}`);
  });
}
