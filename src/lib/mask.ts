/**
 * Takes secrets out of texts that others may read.
 *
 * @module
 */

/** A shorter secret is left: it would turn up inside ordinary words. In UTF-16 units. */
const SECRET_CHARS_MIN = 4;

/** So much of a secret at the end of a text that was cut off there is one. */
const CUT_CHARS_MIN = 8;

const MASK = "***";

/**
 * Gives texts without any of `secrets`, also where the end of a text has cut one off. Secrets of
 * fewer than 4 characters stay.
 */
export function masker(secrets: readonly string[]): (text: string) => string {
  const known = [...new Set(secrets)].filter(({ length }) => length >= SECRET_CHARS_MIN)
    .sort((a, b) => b.length - a.length); // one may stand in another
  if (known.length === 0) return (text) => text;
  return (text) => {
    let clean = text;
    for (const secret of known) {
      clean = clean.replaceAll(secret, MASK);
      for (let chars = secret.length - 1; chars >= CUT_CHARS_MIN; chars--) {
        if (!clean.endsWith(secret.slice(0, chars))) continue;
        clean = clean.slice(0, -chars) + MASK;
        break;
      }
    }
    return clean;
  };
}
