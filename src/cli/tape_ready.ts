/**
 * Can `tape.folder` be what it is told to be? Whoever starts weir is told at once, and not by the
 * first exchange that is lost.
 *
 * @module
 */

import { accessSync, constants, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { tapeModes } from "../config/contradictions.ts";
import type { Settings } from "./settings.ts";
import { statOfTape } from "./tape_files.ts";
import { FOLDER_MODE } from "./tape_folder.ts";
import { Failure } from "./terminal.ts";
import { pathIn } from "./token_files.ts";

/**
 * What is odd about the folder of tapes. `isServing`: it is made where tapes are recorded.
 *
 * @throws {Failure} when there cannot be such a folder, or no tape in it.
 */
export function readyTapes(
  { config, folder }: Pick<Settings, "config" | "folder">,
  isServing: boolean,
): readonly string[] {
  const modes = tapeModes(config).filter((mode) => mode !== "off");
  if (modes.length === 0) return [];
  const path = pathIn(folder, config.tape.folder);
  const isRecorded = modes.some((mode) => mode === "record" || mode === "auto");
  const there = nearestOf(path);
  if (!statOfTape(there)?.isDirectory()) {
    const what = there === path ? "it is no folder" : `${there} is no folder`;
    throw new Failure(`tape.folder: there can be no tapes in ${path}: ${what}`);
  }
  if (isRecorded) {
    try {
      accessSync(there, constants.W_OK | constants.X_OK);
      if (isServing) mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
    } catch (error) {
      const { code } = error as { readonly code?: string };
      throw new Failure(`tape.folder: Cannot write tapes into ${path}: ${code ?? String(error)}`);
    }
  }
  if (isRecorded || there === path) return [];
  return [`tape.folder: there is no folder ${path}, and no tape until there is one`];
}

/** `path`, or the nearest folder above it that is there. */
function nearestOf(path: string): string {
  const above = dirname(path);
  return statOfTape(path) !== undefined || above === path ? path : nearestOf(above);
}
