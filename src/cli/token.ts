/**
 * `weir token`: a token for `/chat` and `/conv`.
 *
 * @module
 */

import { makeToken } from "../ops/jwt.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { numberFlag, textFlag } from "./flags.ts";
import { readSettings } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Hours a token holds at the most: more than any calendar needs. */
const HOURS_MAX = 999_999_999;

/** Prints a token that is signed with `auth.secret_key`. */
export const token = defineCommand({
  name: "token",
  summary: "print a token for /chat and /conv",
  details: "It is signed with auth.secret_key, which is SECRET_KEY in the environment or in .env.",
  operands: {},
  flags: {
    id: textFlag({ value: "ID", text: "who the token is for", notes: ["default nobody"] }),
    hours: numberFlag({
      value: "N",
      text: "hours it holds",
      min: 0,
      max: HOURS_MAX,
      isWhole: true,
      default: 24,
    }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "SECRET_KEY=s3 weir token --id 1000 --hours 10", text: "for user 1000, ten hours" },
  ],
  exits: { ...SETTING_EXITS, [EXIT.failed]: "the config is wrong, or has no auth.secret_key" },
  async run({ flags }, terminal) {
    const { id = "", hours } = flags;
    const { config } = readSettings(settingOptions(flags), terminal);
    const key = config.auth.secret_key;
    if (key === "") {
      throw new Failure(
        "Cannot make a token as auth.secret_key is not set: " +
          "set it in config.yaml, or SECRET_KEY in the environment or in .env",
      );
    }
    terminal.print(await makeToken({ id, hours, key, nowMs: Date.now() }));
    return EXIT.done;
  },
});
