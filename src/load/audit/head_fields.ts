/**
 * The lines of a head as it came off the wire.
 *
 * @module
 */

/** The lines of a head, names in lower case. */
export function headFields(headText: string): readonly (readonly [name: string, value: string])[] {
  return headText.split("\r\n").slice(1).filter((line) => line.includes(":")).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
}
