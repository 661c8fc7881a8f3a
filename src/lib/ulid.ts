/**
 * ULIDs: 26 characters, 48 bits of time before 80 of chance, so that text order is time order
 * (github.com/ulid/spec).
 *
 * @module
 */

/** Crockford's base 32: no I, L, O, U. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TIME_CHARS = 10;
const RANDOM_CHARS = 16;

/** A ULID of `wallMs`, milliseconds since 1970; `randomBytes` fills what it is given. */
export function ulid(
  wallMs: number,
  randomBytes: (target: Uint8Array<ArrayBuffer>) => void,
): string {
  let time = "";
  let rest = Math.floor(wallMs);
  for (let i = 0; i < TIME_CHARS; i++) {
    time = ALPHABET[rest % 32]! + time;
    rest = Math.floor(rest / 32);
  }
  const bytes = new Uint8Array(RANDOM_CHARS);
  randomBytes(bytes);
  return time + Array.from(bytes, (byte) => ALPHABET[byte % 32]).join(""); // 256 is 8 × 32: fair
}

/** When a ULID was made: milliseconds since 1970. Undefined = `id` is none. */
export function ulidMs(id: string): number | undefined {
  const digits = [...id.slice(0, TIME_CHARS)].map((char) => ALPHABET.indexOf(char));
  if (id.length !== TIME_CHARS + RANDOM_CHARS || digits.includes(-1)) return undefined;
  return digits.reduce((sum, digit) => sum * 32 + digit, 0);
}
