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

/**
 * "held": all was sent and answered, nothing failed and the limits were kept. "unjudged": they were not,
 * and it may have been the client, not the server; or a limit has no figure.
 */
export type StageVerdict = "held" | "missed" | "unjudged";

/** What a stage has found. */
export interface StageResult {
  readonly stage: Stage;
  /** Completed answers; undefined = there were none. */
  readonly requestsPerSecond: number | undefined;
  readonly verdict: StageVerdict;
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
 * highest that was and the lowest that was not, by their ratio. One that could not be judged is asked
 * for once more, and then counts as not held.
 */
export function search(fromPerSecond: number, toPerSecond: number): StagePlan {
  return (before) => {
    if (before.length === STAGES_MAX) return undefined;
    const last = before.at(-1);
    if (last === undefined) return { kind: "open", ratePerSecond: fromPerSecond };
    if (last.verdict === "unjudged" && rateOf(before.at(-2)) !== rateOf(last)) return last.stage;
    const { held, missed, unjudged } = found(before);
    const over = unjudged ?? missed;
    if (over === undefined) {
      const next = Math.min(2 * held!, toPerSecond);
      return next > held! ? { kind: "open", ratePerSecond: next } : undefined;
    }
    if (held === undefined) {
      const next = over / 2;
      return next < fromPerSecond / 64 ? undefined : { kind: "open", ratePerSecond: next };
    }
    if (over / held < NEAR) return undefined;
    return { kind: "open", ratePerSecond: Math.sqrt(held * over) };
  };
}

/** What a search has found, in requests a second. */
export interface Found {
  /** The highest rate that was held. One that is held above one that is not proves nothing. */
  readonly held: number | undefined;
  /** The lowest that was not. */
  readonly missed: number | undefined;
  /** The lowest that was never judged, if that is below `missed`. */
  readonly unjudged: number | undefined;
}

/** What a search has found so far. */
export function found(before: readonly StageResult[]): Found {
  const rates = (verdict: StageVerdict) =>
    before.filter((one) => one.verdict === verdict)
      .map(rateOf).filter((rate) => rate !== undefined);
  const lowest = (all: readonly number[]) => all.length === 0 ? undefined : Math.min(...all);
  const missed = lowest(rates("missed"));
  const judged = new Set([...rates("held"), ...rates("missed")]);
  const unjudged = lowest(
    rates("unjudged").filter((rate) => !judged.has(rate) && rate < (missed ?? Infinity)),
  );
  const held = rates("held").filter((rate) => rate < (unjudged ?? missed ?? Infinity));
  return { held: held.length === 0 ? undefined : Math.max(...held), missed, unjudged };
}

function rateOf(result: StageResult | undefined): number | undefined {
  return result?.stage.kind === "open" ? result.stage.ratePerSecond : undefined;
}
