/**
 * What a reload cannot change.
 *
 * @module
 */

import type { Config } from "../config/config.ts";

/** One sentence for each setting that differs and stays as it is until weir is restarted. */
export function restartNotes({ server: old }: Config, { server: next }: Config): readonly string[] {
  return (["host", "port", "unix"] as const).filter((key) => old[key] !== next[key]).map((key) =>
    `server.${key} stays ${old[key]} until weir is restarted: the config now says ${next[key]}`
  );
}
