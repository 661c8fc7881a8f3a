/**
 * Secrets in files of their own, as systemd and container platforms hand them over: `NAME_file`
 * names the file that holds what `NAME` would.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import type { Config, ConfigFlag, ConfigOrigins } from "../config/config.ts";
import { Failure } from "./terminal.ts";

/** A setting that a file may hold. */
interface Credential {
  readonly key: string;
  readonly fileKey: string;
  readonly file: (config: Config) => string;
}

const CREDENTIALS: readonly Credential[] = [
  { key: "auth.token", fileKey: "auth.token_file", file: ({ auth }) => auth.token_file },
  { key: "llm.api_key", fileKey: "llm.api_key_file", file: ({ llm }) => llm.api_key_file },
];

/** Where files are looked for, and how they are read. */
export interface CredentialFolders {
  /** The folder of the config file. */
  readonly folder: string;
  /** `$CREDENTIALS_DIRECTORY`, where systemd puts what LoadCredential= names; "" = none. */
  readonly credentials: string;
  /** Reads the file at a path; the second word names it in the error. */
  readonly read: (path: string, what: string) => string;
}

/** The credential files that `config` names: setting → file as it is written there. */
export function credentialFiles(config: Config): ReadonlyMap<string, string> {
  return new Map(
    CREDENTIALS.map(({ fileKey, file }): [string, string] => [fileKey, file(config)])
      .filter(([, file]) => file !== ""),
  );
}

/**
 * What the credential files of `config` hold, as settings that win over all others.
 *
 * @throws {Failure} when one cannot be read, is empty, or its setting is given besides.
 */
export function readCredentials(
  config: Config,
  origins: ConfigOrigins,
  { folder, credentials, read }: CredentialFolders,
): readonly ConfigFlag[] {
  return CREDENTIALS.flatMap(({ key, fileKey, file }): readonly ConfigFlag[] => {
    const path = file(config);
    if (path === "") return [];
    const origin = origins.get(key);
    if (origin !== "default") {
      throw new Failure(`${fileKey}: ${key} is given as well (${origin}): keep one of them`);
    }
    // systemd's copy has the name without its folder, and may be the only one weir can read.
    const copy = join(credentials, basename(path));
    const found = credentials !== "" && existsSync(copy)
      ? copy
      : isAbsolute(path)
      ? path
      : join(folder, path);
    const text = read(found, fileKey).replace(/\r?\n$/, "");
    if (text === "") throw new Failure(`${fileKey}: ${found} is empty`);
    return [{ key, value: text, name: fileKey }];
  });
}
