/**
 * `weir token`: a token for `/chat` and `/conv`.
 *
 * @module
 */

import { makeToken } from "../ops/token.ts";
import { parseTokenOptions } from "./command_line.ts";
import { readSettings } from "./settings.ts";
import { Failure, type Terminal } from "./terminal.ts";

/** Prints a token that is signed with `auth.secret_key`. */
export async function token(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseTokenOptions(args);
  const { id, hours } = options;
  const { config } = readSettings(options, terminal);
  const key = config.auth.secret_key;
  if (key === "") {
    throw new Failure(
      "Cannot make a token as auth.secret_key is not set: " +
        "set it in config.yaml, or SECRET_KEY in the environment or in .env",
    );
  }
  terminal.print(await makeToken({ id, hours, key, nowMs: Date.now() }));
  return 0;
}
