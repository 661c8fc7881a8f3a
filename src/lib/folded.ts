/**
 * Names that servers take for one, though they are spelled in two ways.
 *
 * @module
 */

/** `name` without regard to case, as servers compare that do: Go's JSON takes the long s for an s, too. */
export function folded(name: string): string {
  return name.toUpperCase().toLowerCase();
}
