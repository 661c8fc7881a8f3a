/**
 * Whether an upstream is asked for the usage of its streams. Most know `stream_options`, and some
 * refuse a request that has it: what one says to the first such request is remembered.
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

  /** A request was answered that had them, or, where they are not sent, one without them. */
  onTaken(): void {
    if (this.#state === "refused") this.#isSure = true;
    else this.#state = "taken";
  }

  /**
   * A request that had them was refused with `status` and `body`. True: it is to be asked again, and
   * they are left out from now on. That is so when the body names them, and as long as the upstream
   * has never taken them.
   */
  onRefused(status: number, body: string): boolean {
    if (!REFUSED.has(status)) return false;
    const isNamed = NAMED.test(body);
    if (!isNamed && this.#state === "taken") return false;
    this.#state = "refused";
    this.#isSure ||= isNamed;
    return true;
  }

  /** The request without them was refused as well: it had another fault. */
  onRefusedWithout(): void {
    if (!this.#isSure) this.#state = "unknown";
  }
}
