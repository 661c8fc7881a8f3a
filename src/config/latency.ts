/**
 * What a latency profile has: every number with its range and meaning, and the profiles that weir
 * brings. A profile's file and `mock.latency` have the same keys.
 *
 * @module
 */

/** A number of a profile. Units are in its name: `_ms`, `_per_s`, `_tokens`; `_share` is 0 to 1. */
export interface LatencyNumber {
  readonly min: number;
  readonly max: number;
  /** True: whole numbers only. */
  readonly isWhole: boolean;
  readonly meaning: string;
}

/** An hour: longer than any client waits for an answer. */
const WAIT_MS_MAX = 3_600_000;
/** More requests at once than one process has files for. */
const REQUESTS_MAX = 1_000_000;
/** More tokens than the context of any model holds. */
const TOKENS_MAX = 10_000_000;
/** Of a lognormal spread: e³ is a factor of 20 between one request and the next. */
const SIGMA_MAX = 3;

function part(min: number, max: number, meaning: string): LatencyNumber {
  return { min, max, isWhole: false, meaning };
}

function whole(min: number, max: number, meaning: string): LatencyNumber {
  return { min, max, isWhole: true, meaning };
}

/** The numbers of a profile, in the order in which people read them. */
export const LATENCY_NUMBERS = {
  first_token_ms: part(0, WAIT_MS_MAX, "median time to the first token of an empty prompt"),
  prompt_token_ms: part(0, 1000, "added to it for each token of the prompt that no cache has"),
  first_token_sigma: part(0, SIGMA_MAX, "lognormal spread of the two together; 0 = none"),
  slow_share: part(0, 1, "share of requests in the slow mode, whose first token takes longer"),
  slow_factor_min: part(1, 1000, "a slow one takes at least so many times as long"),
  slow_factor_max: part(1, 1000, "and at most so many times; evenly between the two"),
  tokens_per_s: part(0.01, 1_000_000, "median speed; a request keeps its own to its end"),
  speed_sigma: part(0, SIGMA_MAX, "lognormal spread of the speeds of requests"),
  gap_cv: part(0, 3, "spread of a token's gap around its request's mean: deviation / mean"),
  pause_share: part(0, 1, "share of the gaps between events that have a pause besides"),
  pause_min_ms: part(0, WAIT_MS_MAX, "a pause lasts at least so long"),
  pause_max_ms: part(0, WAIT_MS_MAX, "and at most so long; evenly between the two"),
  event_tokens_min: whole(1, 64, "an event holds at least so many tokens"),
  event_tokens_max: whole(1, 64, "and at most so many; evenly between the two"),
  batch_max: whole(1, REQUESTS_MAX, "requests that run side by side, of all workers together"),
  load_factor: part(1, 100, "load: factor: how much slower it all is with batch_max running"),
  step_ms: part(0.1, 10_000, "load: steps: a step, in which a running request gets one token"),
  prefill_chunks_max: whole(1, REQUESTS_MAX, "load: steps: chunks of prompts in one step"),
  prefill_chunk_tokens: whole(1, TOKENS_MAX, "load: steps: tokens of a prompt in one chunk"),
  queue_max: whole(0, REQUESTS_MAX, "load: steps: requests that wait for a prompt's chunk (503)"),
  collapse_threshold: part(0, 1000, "load: steps: batches that wait before fewer are taken"),
  collapse_slope: part(0, 100, "load: steps: how much smaller it gets for each batch above that"),
  collapse_floor: part(0, 1, "load: steps: the share of batch_max that is left of it; 1 = all"),
  cache_tokens_min: whole(1, TOKENS_MAX, "tokens of a prompt that the prompt cache begins with"),
  cache_step_tokens: whole(1, TOKENS_MAX, "tokens by which what it has of a prompt grows"),
  cache_ttl_ms: part(0, 86_400_000, "how long it keeps what nobody asks for; 0 = no prompt cache"),
} as const satisfies Readonly<Record<string, LatencyNumber>>;

/** The name of a number. */
export type LatencyKey = keyof typeof LATENCY_NUMBERS;

/** What load does: nothing, it makes all slower, or a batch is filled step by step. */
export const LATENCY_LOADS = ["none", "factor", "steps"] as const;

/** One of them. */
export type LatencyLoad = (typeof LATENCY_LOADS)[number];

/** A profile with all of its numbers. */
export type LatencyProfile =
  & { readonly load: LatencyLoad }
  & { readonly [key in LatencyKey]: number };

/** What somebody says of a profile: `auto`, or nothing, is the number of the one that is named. */
export type LatencyValues =
  & {
    /** The name of a profile; "plain" or absent = none. */
    readonly profile?: string;
    readonly load?: LatencyLoad | "auto";
  }
  & { readonly [key in LatencyKey]?: number | "auto" };

/** A hosted service, as clients of one site saw several of them in a day, and a speed between theirs. */
const REALISTIC: LatencyProfile = {
  first_token_ms: 650,
  prompt_token_ms: 0.02,
  first_token_sigma: 0.33,
  slow_share: 0.02,
  slow_factor_min: 4,
  slow_factor_max: 10,
  tokens_per_s: 70,
  speed_sigma: 0.25,
  gap_cv: 0.3,
  pause_share: 0.03,
  pause_min_ms: 100,
  pause_max_ms: 400,
  event_tokens_min: 1,
  event_tokens_max: 4,
  load: "factor",
  batch_max: 256,
  load_factor: 2,
  step_ms: 5,
  prefill_chunks_max: 8,
  prefill_chunk_tokens: 512,
  queue_max: 1000,
  collapse_threshold: 1.5,
  collapse_slope: 0.5,
  collapse_floor: 0.3,
  cache_tokens_min: 1024,
  cache_step_tokens: 128,
  cache_ttl_ms: 300_000,
};

/** A service whose load is that of others: the first token as it was measured, the rest as above. */
function hosted(
  first_token_ms: number,
  first_token_sigma: number,
  [slow_share, slow_factor_min, slow_factor_max]: readonly [number, number, number],
): LatencyProfile {
  const first = { first_token_ms, first_token_sigma, slow_share, slow_factor_min, slow_factor_max };
  return { ...REALISTIC, ...first, load: "none" };
}

/** An engine of one's own: an event for each token, no slow mode and no pauses, blocks of 16 cached. */
const ENGINE: LatencyProfile = {
  ...REALISTIC,
  slow_share: 0,
  slow_factor_min: 1,
  slow_factor_max: 1,
  speed_sigma: 0,
  pause_share: 0,
  event_tokens_max: 1,
  cache_tokens_min: 16,
  cache_step_tokens: 16,
};

/**
 * The profiles that weir brings. `plain` is none of them: the mock's
 * own even pace.
 */
export const LATENCY_PROFILES = {
  realistic: REALISTIC,
  "gpt-4o": hosted(635, 0.31, [0.02, 4, 10]),
  "gpt-4o-mini": hosted(532, 0.25, [0.02, 5, 11]),
  "gpt-4.1": hosted(722, 0.3, [0.012, 2, 6]),
  "claude-sonnet-4.6": hosted(941, 0.69, [0, 1, 1]),
  "claude-haiku-4.5": hosted(538, 0.63, [0.015, 4, 20]),
  "gemini-2.5-flash": hosted(475, 0.28, [0.012, 2, 4]),
  "deepseek-v3": hosted(1476, 0.155, [0.012, 1.3, 2]),
  "8b-h100": {
    ...ENGINE,
    first_token_ms: 30,
    prompt_token_ms: 0.25,
    first_token_sigma: 0.198, // a deviation of 20 % of the mean
    tokens_per_s: 83.3,
    gap_cv: 0.167,
    load_factor: 2,
    batch_max: 16,
  },
  "70b-8xh100": {
    ...ENGINE,
    first_token_ms: 80,
    prompt_token_ms: 0.5,
    first_token_sigma: 0.198,
    tokens_per_s: 40,
    gap_cv: 0.16,
    load_factor: 3,
    batch_max: 64,
  },
  "small-l40s": {
    ...ENGINE,
    first_token_ms: 20,
    prompt_token_ms: 0.35,
    first_token_sigma: 0.136,
    tokens_per_s: 66.7,
    gap_cv: 0.133,
    load_factor: 1.5,
    batch_max: 4,
  },
  /** An engine that fills its batch step by step: 51 200 tokens per second, and a knee at 256 streams. */
  "steps-256": {
    ...ENGINE,
    first_token_ms: 20,
    prompt_token_ms: 0,
    first_token_sigma: 0,
    tokens_per_s: 200,
    gap_cv: 0,
    load: "steps",
  },
} as const satisfies Readonly<Record<string, LatencyProfile>>;

/** The name of one of them. */
export type LatencyProfileName = keyof typeof LATENCY_PROFILES;

/** What tells the name of a profile's file from that of a profile. */
export const PROFILE_FILE = /\.(?:ya?ml|json)$/i;

/** Numbers of which the first may not be more than the second. */
const PAIRS = [
  ["slow_factor_min", "slow_factor_max"],
  ["pause_min_ms", "pause_max_ms"],
  ["event_tokens_min", "event_tokens_max"],
] as const satisfies readonly (readonly [LatencyKey, LatencyKey])[];

/** What is wrong with a number of a profile, as the end of a sentence that begins with its key. */
export interface LatencyProblem {
  readonly key: keyof LatencyValues;
  readonly text: string;
}

/**
 * The profile that `values` name, with their own numbers in it; undefined = it is plain. `file` is what
 * the file says that they name; it names its own base, or `realistic` is it.
 */
export function latencyOf(values: LatencyValues, file?: LatencyValues): LatencyProfile | undefined {
  const { profile = "plain" } = values;
  if (profile === "plain") return undefined;
  const base = LATENCY_PROFILES[profile as LatencyProfileName] as LatencyProfile | undefined ??
    overridden(named(file?.profile), file ?? {});
  return overridden(base, values);
}

function named(name: string | undefined): LatencyProfile {
  return LATENCY_PROFILES[(name ?? "realistic") as LatencyProfileName] ?? REALISTIC;
}

function overridden(base: LatencyProfile, values: LatencyValues): LatencyProfile {
  const own = Object.entries(values).filter(([key, value]) =>
    key !== "profile" && value !== "auto"
  );
  return { ...base, ...Object.fromEntries(own) };
}

/** Numbers of `profile` that are right one by one and cannot hold together. */
export function latencyProblems(profile: LatencyProfile): readonly LatencyProblem[] {
  return PAIRS.filter(([least, most]) => profile[least] > profile[most]).map(([least, most]) => ({
    key: most,
    text: `must not be less than ${least}, ${profile[least]}: it is ${profile[most]}`,
  }));
}
