/**
 * How deep a value nests: what recurses later is safe behind this.
 *
 * @module
 */

/**
 * True when objects and lists of `value` stand more than `depthMax` inside one another; bytes are
 * neither. Recurses `depthMax` deep and no further, and allocates nothing.
 */
export function isDeeper(value: unknown, depthMax: number): boolean {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return false;
  if (depthMax <= 0) return true;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (typeof value[i] === "object" && isDeeper(value[i], depthMax - 1)) return true;
    }
    return false;
  }
  for (const key in value) {
    const inner = (value as Readonly<Record<string, unknown>>)[key];
    if (typeof inner === "object" && isDeeper(inner, depthMax - 1)) return true;
  }
  return false;
}
