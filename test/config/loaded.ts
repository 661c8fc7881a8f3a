/**
 * Loads configs for tests, from texts and lists.
 *
 * @module
 */

import {
  type Config,
  type ConfigInput,
  type ConfigResult,
  loadConfig,
} from "../../src/config/config.ts";

/** What there is to load; `text` is `config.yaml`. */
export type Input = Partial<Omit<ConfigInput, "file">> & { readonly text?: string };

/** Loads `input`, and nothing of the world around the test. */
export function load({ text, ...rest }: Input): ConfigResult {
  const file = text === undefined ? {} : { file: { name: "config.yaml", text } };
  return loadConfig({ env: {}, dotenv: {}, flags: [], ...file, ...rest });
}

/** The config of `input`. @throws {Error} when it is bad. */
export function configOf(input: Input): Config {
  const result = load(input);
  if (result.kind === "bad") throw new Error(result.problems.join("\n"));
  return result.config;
}

/** What is wrong with `input`; none = it is good. */
export function problemsOf(input: Input): readonly string[] {
  const result = load(input);
  return result.kind === "bad" ? result.problems : [];
}
