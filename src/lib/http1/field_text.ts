/**
 * What people write into a header field. Fields are bytes, and are read one character each; clients that write
 * other letters than ASCII's send UTF-8.
 *
 * @module
 */

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** `value`, one character per byte, as the text that it is: UTF-8, or else as it stands. */
export function fieldText(value: string): string {
  if (!/[\x80-\xff]/.test(value)) return value;
  try {
    return UTF8.decode(Buffer.from(value, "latin1"));
  } catch {
    return value;
  }
}
