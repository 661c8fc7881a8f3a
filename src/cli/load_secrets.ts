/**
 * What goes out with the requests of a load and is nobody's business: servers repeat keys in their
 * errors.
 *
 * @module
 */

import { isSecretName } from "../lib/secret_names.ts";
import type { Endpoint } from "../load/requests/makers.ts";
import { redactor } from "../ops/log_line.ts";
import { withoutKeys } from "../sources/tape/leaks.ts";
import { headerSecrets, urlSecrets, worthHiding } from "./shown_secrets.ts";

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

function secretsOf({ endpoints, bodies }: SecretPlaces): readonly string[] {
  const named = (bodies?.slice(0, endpoints.length + 64) ?? []).flatMap((body = "") =>
    [...body.slice(0, BODY_CHARS_MAX).matchAll(/"([^"\\]+)"\s*:\s*"([^"\\]{4,})"/g)]
      .filter(([, name]) => isSecretName(name!)).map(([, , value]) => value!)
  );
  return worthHiding([
    ...endpoints.flatMap(({ url }) => urlSecrets(url)),
    ...endpoints.flatMap(({ headers }) => headerSecrets(Object.entries(headers))),
    ...named,
  ]);
}

/** Takes `secrets` and what looks like a key out of a text. */
export function cleaner(secrets: readonly string[]): (text: string) => string {
  const redact = redactor(secrets);
  return (text) => withoutKeys(redact(text));
}
