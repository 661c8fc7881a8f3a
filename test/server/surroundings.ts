/**
 * What stands between every weir of a file of tests and its upstream: the tests of one upstream hold
 * behind a route, too.
 *
 * @module
 */

/** What stands around the upstream of each weir of a file. */
let around: { readonly to: readonly string[]; readonly env: Readonly<Record<string, string>> } = {
  to: [],
  env: {},
};

/**
 * Puts everything that a route may have around the upstream of every weir from now on: what holds for
 * one upstream holds behind wrappers, too. `to`: its targets, of which `llm` is the upstream and `away`
 * one that is not there.
 */
export function surround(to: readonly string[]): void {
  const env = {
    WEIR_UPSTREAMS: JSON.stringify([
      { name: "away", base_url: "http://127.0.0.1:1/v1", retries: 0, breaker_share: 0 },
    ]),
    WEIR_ROUTES: JSON.stringify([
      {
        ...{ name: "all", to, usage: "count" },
        ...{ rename: { "none*": "other" }, params_max: { max_tokens: 1_000_000 } },
      },
    ]),
    WEIR_STORE_USAGE: "on",
    WEIR_LLM_CONCURRENCY_MAX: "10000",
    WEIR_LLM_BREAKER_MIN: "1000000", // tests fail on purpose, one after the other
  };
  around = { to, env };
}

/** True: something is put around the upstream. */
export function isSurrounded(): boolean {
  return around.to.length > 0;
}

/** True: where the upstream fails, another one is asked. */
export function hasOthers(): boolean {
  return isSurrounded() && around.to.at(-1) !== "llm";
}

/** The environment of a weir whose upstream is `llm`. */
export function surroundings(): Readonly<Record<string, string>> {
  return around.env;
}
