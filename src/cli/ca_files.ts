/**
 * The certificate authorities that upstreams and Redis are trusted by besides the usual ones.
 *
 * @module
 */

import { readText, type Settings } from "./settings.ts";
import { pathIn } from "./token_files.ts";

/**
 * The PEM text of each `ca_file` of `llm`, `shared` and `upstreams`, by the name that the config has for the
 * file; "" has "".
 *
 * @throws {Failure} when one cannot be read.
 */
export function readCaFiles({ config, folder }: Settings): ReadonlyMap<string, string> {
  const files = [
    ["llm.ca_file", config.llm.ca_file],
    ["shared.ca_file", config.shared.ca_file],
    ...config.upstreams.map(({ ca_file }, i) => [`upstreams.${i}.ca_file`, ca_file] as const),
  ] as const;
  return new Map(
    files.map(([key, file]) => [file, file === "" ? "" : readText(pathIn(folder, file), key)]),
  );
}
