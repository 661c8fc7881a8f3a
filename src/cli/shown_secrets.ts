/**
 * What of a URL and of headers is taken out of every text that is shown.
 *
 * @module
 */

import { isSecretName } from "../lib/secret_names.ts";
import { basicOf } from "../lib/userinfo.ts";

/** A shorter one would turn up inside ordinary words. */
const SECRET_CHARS_MIN = 6;

/** User, password, what they are sent as, and the options of `url`, as they may turn up. */
export function urlSecrets(url: string): readonly string[] {
  const { username, password, searchParams, search } = new URL(url);
  return [
    username,
    password,
    decoded(username),
    decoded(password),
    basicOf(url).slice("Basic ".length),
    search,
    ...[...searchParams].flatMap(([, value]) => [value, encodeURIComponent(value)]),
    ...search.slice(1).split("&").map((option: string) => option.slice(option.indexOf("=") + 1)),
  ];
}

/** Values of headers that are nobody's business. */
export function headerSecrets(
  fields: readonly (readonly [name: string, value: string])[],
): readonly string[] {
  return fields.filter(([name]) => isSecretName(name) || /cookie/i.test(name))
    .flatMap(([, value]) => [value, ...value.split(/[\s;=]+/)]);
}

/** Those of `secrets` that can be taken out: a scheme or a flag is none, and would go out of every sentence. */
export function worthHiding(secrets: readonly string[]): readonly string[] {
  return secrets.filter((secret) =>
    secret.length >= SECRET_CHARS_MIN && !/^(?:bearer|basic|digest)$/i.test(secret)
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
