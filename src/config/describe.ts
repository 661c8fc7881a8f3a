/**
 * The effective configuration as YAML, without its secrets: what `weir check` prints.
 *
 * @module
 */

import { Document, isScalar } from "yaml";
import type { Config, ConfigOrigins } from "./config.ts";
import { SETTING_ROWS } from "./schema.ts";
import { mapScalars } from "./shape.ts";
import { TREE } from "./tree.ts";

/** Stands for a secret that is set. One that is not set shows as empty. */
const MASK = "***";

/**
 * `config` as YAML text in the order of `config.yaml`. Secrets, passwords in URLs and the values of
 * header fields are masked; without any, the text loads as the same configuration again. With
 * `origins` each line that is not a default says where it came from.
 */
export function describeConfig(config: Config, origins?: ConfigOrigins): string {
  const masked = mapScalars(TREE, config, (value, shows) => {
    if (shows === "secret") return value === "" ? "" : MASK;
    return shows === "url" ? maskUrl(value as string) : value;
  });
  const doc = new Document(masked);
  for (const { path, keys } of SETTING_ROWS.values()) {
    const origin = origins?.get(path) ?? "default";
    const node = doc.getIn(keys, true);
    if (origin !== "default" && isScalar(node)) node.comment = ` ${origin}`;
  }
  return doc.toString({ lineWidth: 0 });
}

/**
 * Every secret that `config` holds: what masks hide, as it may turn up in a text. In the order of
 * the tree; none is empty.
 */
export function secretsOf(config: Config): readonly string[] {
  const secrets: string[] = [];
  mapScalars(TREE, config, (value, shows) => {
    if (shows === "secret") secrets.push(value as string);
    if (shows === "url") secrets.push(...passwordsOf(value as string));
  });
  return secrets.filter((secret) => secret !== "");
}

/** The password and the secret options of a URL, as they are written there. */
function passwordsOf(url: string): readonly string[] {
  const user = /^[a-z]+:\/\/([^/?#]*)@/i.exec(url)?.[1] ?? "";
  const at = user.indexOf(":");
  const isWeb = /^https?:/i.test(url);
  const password = at >= 0 ? user.slice(at + 1) : isWeb ? user : "";
  const options = [...url.matchAll(SECRET_OPTION)].map(([option, name]) =>
    option.slice(name!.length)
  );
  return [password, ...options];
}

/** Options of an address whose values are nobody's business. */
const SECRET_OPTION = /([?&][^=&]*(?:pass|pwd|secret|token|key)[^=&]*=)[^&]*/gi;

/**
 * A URL without its password. The user name stays with a store (postgres://weir@db, redis://weir@cache) and goes with a
 * web address, where it may be a token. Options that look like secrets go as well.
 */
export function maskUrl(url: string): string {
  if (url.startsWith("sqlite:")) return url;
  return url
    .replace(/^(https?:\/\/)[^/?#]*@/i, `$1${MASK}@`)
    .replace(/^((?:postgres(?:ql)?|rediss?):\/\/[^/?#:@]*):[^/?#]*@/i, `$1:${MASK}@`)
    .replace(SECRET_OPTION, `$1${MASK}`);
}
