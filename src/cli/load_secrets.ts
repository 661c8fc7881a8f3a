/**
 * What goes out with the requests of a load and is nobody's business: servers repeat keys in their
 * errors.
 *
 * @module
 */

import { basicOf } from "../lib/userinfo.ts";
import { isSecretName } from "../lib/secret_names.ts";
import type { Endpoint } from "../load/requests/makers.ts";
import { redactor } from "../ops/log_line.ts";
import { withoutKeys } from "../sources/tape/leaks.ts";

/** Bytes of a body in which secrets are looked for. */
const BODY_CHARS_MAX = 64 * 1024;

/** Where they are looked for. */
export interface SecretPlaces {
  readonly endpoints: readonly Endpoint[];
  readonly bodies: readonly (string | undefined)[] | undefined;
}

/** Takes out what went out with requests and is nobody's business, and what looks like a key. */
export function cleanerOf(
  asked: SecretPlaces,
): (text: string) => string {
  return cleaner(secretsOf(asked));
}

function secretsOf({ endpoints, bodies }: SecretPlaces) {
  const secrets: string[] = [];
  for (const { url, headers } of endpoints) {
    const { username, password, searchParams } = new URL(url);
    secrets.push(username, password, decoded(username), decoded(password));
    secrets.push(basicOf(url).slice("Basic ".length));
    for (const [, value] of searchParams) secrets.push(value, encodeURIComponent(value));
    for (const [name, value] of Object.entries(headers)) {
      if (isSecretName(name) || /cookie/i.test(name)) {
        secrets.push(value, ...value.split(/[\s;=]+/));
      }
    }
  }
  for (const body of bodies?.slice(0, endpoints.length + 64) ?? []) {
    const pairs = (body ?? "").slice(0, BODY_CHARS_MAX).matchAll(
      /"([^"\\]+)"\s*:\s*"([^"\\]{4,})"/g,
    );
    for (const [, name, value] of pairs) if (isSecretName(name!)) secrets.push(value!);
  }
  // A scheme or a flag is no secret, and would be taken out of every sentence.
  return secrets.filter((secret) =>
    secret.length >= 6 && !/^(?:bearer|basic|digest)$/i.test(secret)
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Takes `secrets` and what looks like a key out of a text. */
export function cleaner(secrets: readonly string[]): (text: string) => string {
  const redact = redactor(secrets);
  return (text) => withoutKeys(redact(text));
}
