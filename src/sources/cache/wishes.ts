/**
 * What the `cache-control` of a request wants of a cache (RFC 9111 section 5.2.1). An answer that is too
 * old is never given, whatever `max-stale` allows; `no-transform` and `stale-if-error` change nothing.
 *
 * @module
 */

/** What a client wants. */
export interface Wishes {
  /** The cache has no part in it. */
  readonly noStore: boolean;
  /** Nothing that is kept answers; the new answer is kept. */
  readonly noCache: boolean;
  /** Nothing older answers, in seconds. */
  readonly maxAgeS: number;
  /** Nothing answers that does not live for so much longer, in seconds. */
  readonly minFreshS: number;
  /** Nobody else is asked. */
  readonly onlyIfCached: boolean;
}

/** Of a request that says nothing. */
export const NO_WISHES: Wishes = {
  noStore: false,
  noCache: false,
  maxAgeS: Infinity,
  minFreshS: 0,
  onlyIfCached: false,
};

/** What `field`, the value of `cache-control`, wants; null = there is none. */
export function wishesOf(field: string | null): Wishes {
  if (field === null) return NO_WISHES;
  const said = directivesOf(field);
  const maxAgeS = secondsOf(said.get("max-age"), Infinity, 0);
  return {
    noStore: said.has("no-store"),
    noCache: said.has("no-cache") || maxAgeS === 0, // nothing that is kept is younger
    maxAgeS,
    minFreshS: secondsOf(said.get("min-fresh"), 0, Infinity),
    onlyIfCached: said.has("only-if-cached"),
  };
}

/** The directives of a `cache-control`, by their names in lower case; "" = one has no value. */
export function directivesOf(field: string): ReadonlyMap<string, string> {
  const said = new Map<string, string>();
  for (const [, name, quoted, plain] of field.matchAll(DIRECTIVE)) {
    said.set(name!.toLowerCase(), quoted ?? plain ?? "");
  }
  return said;
}

const DIRECTIVE = /([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,]*)))?/g;

/** What cannot be read is taken for the strictest: `wrong`. */
function secondsOf(text: string | undefined, absent: number, wrong: number): number {
  if (text === undefined) return absent;
  return /^\d{1,10}$/.test(text) ? Number(text) : wrong;
}
