/**
 * What an answer tells of the way it took.
 *
 * @module
 */

import type { CacheNote, Call } from "./exchange.ts";

/** The fields of an answer that begins now; undefined = it tells nothing. `tellsRoute`: also of its way. */
export function toldFields(
  call: Call,
  tellsRoute: boolean,
): Readonly<Record<string, string>> | undefined {
  const { cache, target } = call;
  const tellsWay = tellsRoute && target !== "";
  if (cache === undefined) return tellsWay ? routeFields(call) : undefined;
  return { ...(tellsWay ? routeFields(call) : {}), ...cacheFields(cache, call, tellsRoute) };
}

/** What a cache has to tell (RFC 9111 section 5.1), and the id that is not the one of the answer it kept. */
function cacheFields(
  { result, ageS, idName }: CacheNote,
  { requestId }: Call,
  tellsRoute: boolean,
): Readonly<Record<string, string>> {
  return {
    ...(tellsRoute ? { "x-weir-cache": result } : {}),
    ...(ageS < 0 ? {} : { age: String(ageS) }),
    ...(idName === "" || requestId === "" ? {} : { [idName]: requestId }),
  };
}

/**
 * The fields of an answer that begins now: its route, who answers, how many requests went up for it,
 * and the microseconds that were weir's own: from the request to the first of these, and from what was
 * heard last of the upstream to now.
 */
function routeFields(call: Call): Readonly<Record<string, string>> {
  const { route, target, attempts, askedMs, startMs, upstream, engine } = call;
  const fields: Record<string, string> = {
    "x-weir-upstream": target,
    "x-weir-attempts": String(attempts),
  };
  if (route !== "") fields["x-weir-route"] = route;
  if (askedMs < 0 || upstream === undefined) return fields;
  // While it has not begun its body, the time is its own.
  const sinceMs = upstream.firstChunkMs < 0 ? 0 : engine.wheel.nowMs - upstream.heardMs;
  const ownMs = askedMs - startMs + sinceMs;
  fields["x-weir-overhead-us"] = String(Math.round(ownMs * 1000));
  return fields;
}
