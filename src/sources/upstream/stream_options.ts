/**
 * Whether an upstream is asked for the usage of its streams. Most know `stream_options`, and some
 * refuse a request that has it: that is remembered when the same request without it is answered well.
 *
 * @module
 */

/** auto: asked until it refuses that. never: not asked. */
export type StreamOptionsRule = "auto" | "never";

/** Statuses with which a request is refused for what stands in it. */
const REFUSED: ReadonlySet<number> = new Set([400, 422]);
const NAMED = /stream_options|include_usage/;

/** What is known of one upstream in this process. */
export class StreamOptions {
  /** refused: for the time being, or for good. */
  #state: "unknown" | "taken" | "refused";
  /** What was known before they were refused for the time being. */
  #before: "unknown" | "taken" = "unknown";
  /** True when nothing changes the state any more. */
  #isSure: boolean;

  constructor(rule: StreamOptionsRule) {
    this.#isSure = rule === "never";
    this.#state = this.#isSure ? "refused" : "unknown";
  }

  /** True when the next request asks for it. */
  get areSent(): boolean {
    return this.#state !== "refused";
  }

  /** A request that had them was answered well. */
  onTaken(): void {
    if (!this.#isSure) this.#state = "taken";
  }

  /** A request that was refused with them was answered well without: it was them. */
  onTakenWithout(): void {
    this.#state = "refused";
    this.#isSure = true;
  }

  /**
   * A request that had them was refused with `status` and `body`. True: it is to be asked again, and
   * they are left out until it is known what comes of that. That is so when the body names them, and as long as the upstream
   * has never taken them.
   */
  onRefused(status: number, body: string): boolean {
    if (!REFUSED.has(status)) return false;
    const isNamed = NAMED.test(body);
    if (!isNamed && this.#state === "taken") return false;
    if (this.#state !== "refused") this.#before = this.#state;
    this.#state = "refused";
    return true;
  }

  /** The request without them was not answered well, either: it had another fault. */
  onRefusedWithout(): void {
    if (!this.#isSure) this.#state = this.#before;
  }
}
