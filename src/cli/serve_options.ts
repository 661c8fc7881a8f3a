/**
 * What a command that serves says of how it does so.
 *
 * @module
 */

import type { RunNote } from "../workflows/engine.ts";
import type { Settings } from "./settings.ts";

/** How a command serves. */
export interface ServeOptions {
  /** Reads the settings again, for a reload. */
  readonly read: () => Settings;
  /** Told what happens to each run of a workflow. */
  readonly noteRun?: (note: RunNote) => void;
  /** Resolves when the server shall stop, besides on a signal. Not asked for by a worker. */
  readonly stopped?: () => Promise<void>;
}
