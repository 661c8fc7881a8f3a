/**
 * How deep a value nests, without recursion: what recurses later is safe behind this.
 *
 * @module
 */

/** True when objects and lists of `value` stand more than `depthMax` inside one another. */
export function isDeeper(value: unknown, depthMax: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const below: unknown[] = [];
    for (const item of level) {
      if (typeof item !== "object" || item === null || ArrayBuffer.isView(item)) continue;
      if (depth >= depthMax) return true;
      for (const inner of Object.values(item)) {
        if (typeof inner === "object" && inner !== null) below.push(inner);
      }
    }
    level = below;
  }
  return false;
}
