/**
 * Patterns of names.
 *
 * @module
 */

/** `pattern`, in which `*` stands for any text, as an expression. Names are compared as written. */
export function globOf(pattern: string): RegExp {
  return new RegExp(`^${pattern.split("*").map(RegExp.escape).join(".*")}$`, "su");
}
