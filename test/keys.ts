/**
 * Keys as tests have them.
 *
 * @module
 */

import { FREE, type KeyFacts, type KeyRules } from "../src/core/keys.ts";
import { digestOf, KeyRing } from "../src/ops/key_ring.ts";

/** A key with the text `token`. */
export function keyFacts(
  name: string,
  token: string,
  rules: Partial<KeyRules> = {},
  endsMs = Infinity,
): KeyFacts {
  return { name, digest: digestOf(token), rules: { ...FREE, ...rules }, endsMs };
}

/** A ring of keys that no store has; undefined = there are none. */
export function ringOf(...fixed: readonly KeyFacts[]): KeyRing | undefined {
  if (fixed.length === 0) return undefined;
  return new KeyRing({
    fixed,
    taken: new Set(),
    store: undefined,
    wallMs: Date.now,
    watch: () => {},
  });
}
