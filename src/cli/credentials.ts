/**
 * Secrets in files of their own, as systemd and container platforms hand them over: `NAME_file`
 * names the file that holds what `NAME` would.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import type { Config, ConfigOrigins, HeldSetting } from "../config/config.ts";
import { Failure } from "./terminal.ts";

/** A setting that a file holds. */
interface Credential {
  readonly key: string;
  readonly fileKey: string;
  /** As it is written in the config. */
  readonly file: string;
  /** True: each line is one. */
  readonly isList?: true;
}

/** The settings of `config` that are in files. */
function credentialsOf({ auth, llm, upstreams }: Config): readonly Credential[] {
  const all = [
    { key: "auth.token", file: auth.token_file },
    { key: "llm.api_key", file: llm.api_key_file },
    { key: "llm.api_keys", file: llm.api_keys_file, isList: true as const },
    ...upstreams.flatMap(({ api_key_file, api_keys_file }, i) => [
      { key: `upstreams.${i}.api_key`, file: api_key_file },
      { key: `upstreams.${i}.api_keys`, file: api_keys_file, isList: true as const },
    ]),
  ];
  return all.filter(({ file }) => file !== "")
    .map((one) => ({ ...one, fileKey: `${one.key}_file` }));
}

/** Where files with secrets are looked for. */
export interface SecretFolders {
  /** The folder of the config file. */
  readonly folder: string;
  /** `$CREDENTIALS_DIRECTORY`, where systemd puts what LoadCredential= names; "" = none. */
  readonly credentials: string;
}

/** The same, and how they are read. */
export interface CredentialFolders extends SecretFolders {
  /** Reads the file at a path; the second word names it in the error. */
  readonly read: (path: string, what: string) => string;
}

/** The files with secrets that `config` names, as they are written there. */
export function secretFiles(config: Config): readonly string[] {
  const tokens = [...config.auth.tokens, ...config.keys].map(({ token_file }) => token_file);
  return [
    ...credentialsOf(config).map(({ file }) => file),
    ...tokens.filter((file) => file !== ""),
  ];
}

/** Where `file` is, as the config names it. */
export function secretPath(file: string, { folder, credentials }: SecretFolders): string {
  // systemd's copy has the name without its folder, and may be the only one weir can read.
  const copy = join(credentials, basename(file));
  if (credentials !== "" && existsSync(copy)) return copy;
  return isAbsolute(file) ? file : join(folder, file);
}

/**
 * What the credential files of `config` hold, as settings that win over all others.
 *
 * @throws {Failure} when one cannot be read, is empty, or its setting is given besides.
 */
export function readCredentials(
  config: Config,
  origins: ConfigOrigins,
  folders: CredentialFolders,
): readonly HeldSetting[] {
  return credentialsOf(config).map(({ key, fileKey, file, isList }) => {
    // A list has one origin, and its entries are checked for this when they are read.
    const origin = origins.get(key) ?? "default";
    if (origin !== "default") {
      throw new Failure(`${fileKey}: ${key} is given as well (${origin}): keep one of them`);
    }
    const found = secretPath(file, folders);
    const text = folders.read(found, fileKey).replace(/\r?\n$/, "");
    if (text.trim() === "") throw new Failure(`${fileKey}: ${found} is empty`);
    const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
    return { key, value: isList ? lines : text, name: fileKey };
  });
}
