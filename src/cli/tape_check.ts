/**
 * `weir tape check`: is every tape whole, unchanged, and without a secret?
 *
 * @module
 */

import { secretsOf } from "../config/describe.ts";
import { linearExpression } from "../lib/linear_expression.ts";
import { checkPartial, checkTape } from "../sources/tape/check.ts";
import type { Forbidden } from "../sources/tape/leaks.ts";
import type { Settings } from "./settings.ts";
import { bytesOfTape, PARTIAL_WHY, type TapePath } from "./tape_files.ts";
import { EXIT, type Terminal } from "./terminal.ts";
import { readTokens } from "./token_files.ts";
import { counted } from "./units.ts";

/** What must stand in no tape, as far as `settings` know it. */
export function forbiddenBy(settings: Settings): Forbidden {
  const { config } = settings;
  const tokens = readTokens(settings).map(({ token }) => token);
  return {
    secrets: [...new Set([...secretsOf(config), ...tokens])],
    patterns: config.tape.redact.map((pattern) => linearExpression(pattern, "")),
  };
}

/** Tells every problem of `files` as FILE:LINE. */
export async function checkTapes(
  files: readonly TapePath[],
  forbidden: Forbidden,
  terminal: Terminal,
): Promise<number> {
  let problemCount = 0;
  let wholeCount = 0;
  for (const { path, isPartial } of files) {
    const bytes = bytesOfTape(path);
    const problems = isPartial ? checkPartial(bytes, forbidden) : await checkTape(bytes, forbidden);
    for (const { line, what } of problems) terminal.complain(`${path}:${line}: ${what}`);
    problemCount += problems.length;
    if (isPartial) {
      terminal.complain(`weir: warning: ${path}: ${PARTIAL_WHY}`);
    } else if (problems.length === 0) wholeCount++;
  }
  if (problemCount > 0) {
    terminal.complain(
      `weir: ${counted(problemCount, "problem")} in ${counted(files.length, "file")}`,
    );
    return EXIT.failed;
  }
  terminal.print(`ok: ${counted(wholeCount, "tape")}, and no secret in them`);
  return EXIT.done;
}
