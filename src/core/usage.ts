/**
 * What an answer costs, and how that is known.
 *
 * @module
 */

/** Token counts of one answer. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** How many of the prompt's came out of a cache; absent = it is not told. */
  readonly cachedTokens?: number;
  /** How many of the prompt's were put into a cache; absent = it is not told. */
  readonly cacheWriteTokens?: number;
  /** How many of the completion's were spent on reasoning; absent = it is not told. */
  readonly reasoningTokens?: number;
  /** How many of the prompt's were sound; absent = it is not told. */
  readonly promptAudioTokens?: number;
  /** How many of the completion's were sound; absent = it is not told. */
  readonly completionAudioTokens?: number;
  /** How many of the completion's a prediction had right; absent = it is not told. */
  readonly acceptedPredictionTokens?: number;
  /** How many of a prediction's were of no use; absent = it is not told. */
  readonly rejectedPredictionTokens?: number;
}

/** Follows what an upstream says, for whoever counts it when the answer has ended. */
export interface UsageMeter {
  /** What was told of its cost so far; undefined = nothing. */
  readonly told: Usage | undefined;
  /** True: that is the whole cost. */
  readonly isTold: boolean;
  /** All that was said so far, as text. */
  said(): string;
}

/** How far an answer that is known beforehand has come. */
export interface ScriptProgress {
  /** Steps of its script that have left. */
  readonly stepsSaid: number;
}

/** How the usage of an answer is known. */
export type UsageRule =
  /** The upstream is asked to tell it, whatever the client wants. */
  | "ask"
  /** As the upstream tells it, else as weir counts it. */
  | "count"
  /** As the upstream tells it, and nothing is kept of it. */
  | "off";

/** The counts of an answer; -1 = not known. */
interface Counts {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  cacheWriteTokens: number;
  reasoningTokens: number;
}

/** Notes at `call` what its answer has cost. */
export function noteUsage(
  call: Counts,
  usage: Usage,
): void {
  call.promptTokens = usage.promptTokens;
  call.completionTokens = usage.completionTokens;
  call.cachedTokens = usage.cachedTokens ?? -1;
  call.cacheWriteTokens = usage.cacheWriteTokens ?? -1;
  call.reasoningTokens = usage.reasoningTokens ?? -1;
}

/** The same for what an answer says of itself, unless another one pays for it. */
export function noteSaid(
  call: Counts & { readonly cache: { readonly isFree: boolean } | undefined },
  usage: Usage,
): void {
  if (call.cache?.isFree !== true) noteUsage(call, usage);
}
