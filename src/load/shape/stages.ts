/**
 * Which loads come one after the other, where the next one depends on what the one before has found:
 * sweeps over the rates that a server bears, and the search for the highest that keeps limits. Pure.
 *
 * @module
 */

/** One load. */
export type Stage =
  | { readonly kind: "closed"; readonly concurrency: number }
  | { readonly kind: "open"; readonly ratePerSecond: number }
  /** When requests are due stands in a file. */
  | { readonly kind: "trace" };

/** What a stage has found. */
export interface StageResult {
  readonly stage: Stage;
  /** Completed answers; undefined = there were none. */
  readonly requestsPerSecond: number | undefined;
  /** Nothing failed, the limits held, and the client was not what was measured. */
  readonly isHeld: boolean;
  /** It was stopped early, since it ran away: a higher rate is not to be asked for. */
  readonly isSaturated: boolean;
}

/** Gives the next load; undefined = that was the last one. */
export type StagePlan = (before: readonly StageResult[]) => Stage | undefined;

/** Loads that are known beforehand. Rates above one that ran away are left out. */
export function listed(stages: readonly Stage[]): StagePlan {
  return (before) => {
    let done = 0;
    for (const stage of stages) {
      if (isTooMuch(stage, before.slice(0, done))) continue;
      if (done === before.length) return stage;
      done++;
    }
    return undefined;
  };
}

/** True for a rate that one which ran away does not exceed. */
function isTooMuch(stage: Stage, before: readonly StageResult[]): boolean {
  return stage.kind === "open" &&
    before.some((one) =>
      one.isSaturated && one.stage.kind === "open" && one.stage.ratePerSecond <= stage.ratePerSecond
    );
}

/**
 * A sweep: one request at a time gives the lowest rate, as many as allowed at once the highest, and
 * then come `size` − 2 rates between the two, and the highest itself.
 */
export function sweep(size: number, concurrencyMax: number): StagePlan {
  return (before) => {
    if (before.length === 0) return { kind: "closed", concurrency: 1 };
    if (before.length === 1) return { kind: "closed", concurrency: concurrencyMax };
    const [low, high] = before.map(({ requestsPerSecond }) => requestsPerSecond);
    const step = before.length - 1;
    if (low === undefined || high === undefined || step > size - 1) return undefined;
    const next: Stage = { kind: "open", ratePerSecond: low + ((high - low) * step) / (size - 1) };
    return isTooMuch(next, before) ? undefined : next;
  };
}

/** How near the highest rate that holds and the lowest that does not come to each other. */
const NEAR = 1.08;
/** Loads of one search. */
const STAGES_MAX = 24;

/**
 * Looks for the highest rate that is held: twice as much until one is not, then the middle between the
 * highest that was and the lowest that was not, by their ratio.
 */
export function search(fromPerSecond: number, toPerSecond: number): StagePlan {
  return (before) => {
    if (before.length === STAGES_MAX) return undefined;
    const { held, missed } = found(before);
    if (before.length === 0) return { kind: "open", ratePerSecond: fromPerSecond };
    if (missed === undefined) {
      const next = Math.min(2 * held!, toPerSecond);
      return next > held! ? { kind: "open", ratePerSecond: next } : undefined;
    }
    if (held === undefined) {
      const next = missed / 2;
      return next < fromPerSecond / 64 ? undefined : { kind: "open", ratePerSecond: next };
    }
    if (missed / held < NEAR) return undefined;
    return { kind: "open", ratePerSecond: Math.sqrt(held * missed) };
  };
}

/**
 * What a search has found: the highest rate that was held below every one that was not, and the lowest
 * that was not. A rate that is held above one that is not proves nothing.
 */
export function found(before: readonly StageResult[]): {
  readonly held: number | undefined;
  readonly missed: number | undefined;
} {
  const rates = (isHeld: boolean) =>
    before.flatMap((one) =>
      one.isHeld === isHeld && one.stage.kind === "open" ? [one.stage.ratePerSecond] : []
    );
  const missed = rates(false);
  const lowest = missed.length === 0 ? undefined : Math.min(...missed);
  const held = rates(true).filter((rate) => lowest === undefined || rate < lowest);
  return { held: held.length === 0 ? undefined : Math.max(...held), missed: lowest };
}
