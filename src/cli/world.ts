/**
 * What this process gives to an app, and an app's beginning and end.
 *
 * @module
 */

import { getRandomValues } from "node:crypto";
import { type App, makeApp, type World } from "../app.ts";
import { AppError } from "../core/errors.ts";
import type { Desk } from "../surfaces/admin/desk.ts";
import { makingTrouble, mayHaveTurns } from "../memory/open.ts";
import { readCaFiles } from "./ca_files.ts";
import { readLatency } from "./latency_file.ts";
import { processFacts } from "./process_facts.ts";
import { readText, type Settings } from "./settings.ts";
import { Failure, terminal } from "./terminal.ts";
import { tapeFolder } from "./tape_folder.ts";
import { readyTapes } from "./tape_ready.ts";
import { pathIn, readKeys, readTokens } from "./token_files.ts";
import { OPENAI_SDK_VERSION, VERSION } from "./version.ts";

/** At the end, the last lines of the log, spans and usage have this long to leave. */
const CLOSE_MS = 2000;

/**
 * Makes the app of `settings`, with what only some processes can give.
 *
 * @throws {Failure} when its memory cannot be opened.
 */
export function openApp(
  settings: Settings,
  { desk, gather, peers, noteRun, connections }: Pick<
    World,
    "desk" | "gather" | "peers" | "noteRun" | "connections"
  >,
): App {
  const ownWorld: World = {
    ...world(settings, desk),
    ...(gather === undefined ? {} : { gather }),
    ...(peers === undefined ? {} : { peers }),
    ...(noteRun === undefined ? {} : { noteRun }),
    ...(connections === undefined ? {} : { connections }),
  };
  const app = makeApp(settings.config, ownWorld, settings.workflows);
  openMemory(app, settings);
  return app;
}

/**
 * Opens a memory that may have turns to deliver or to forget; one that is empty waits for its first
 * use.
 *
 * @throws {Failure} when it cannot be opened.
 */
function openMemory(app: App, { config, folder, origins }: Settings): void {
  if (!mayHaveTurns(config.memory, folder)) {
    const trouble = makingTrouble(config.memory, folder);
    // Nobody asked for the default: health and the first lines tell of it.
    if (trouble !== "" && origins.get("memory.url") !== "default") throw new Failure(trouble);
    return;
  }
  try {
    app.memory.checkReady();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    // A memory that is full is open: what waits in it is on its way.
    if (error.code !== "unavailable") throw new Failure(error.message);
  }
}

/** What this process gives to the app. */
export function world(settings: Settings, desk: Desk): World {
  const { config, folder } = settings;
  const { system_prompt_file: promptFile } = config.memory;
  const caTexts = readCaFiles(settings);
  readyTapes(settings, true);
  return {
    version: VERSION,
    openaiSdkVersion: OPENAI_SDK_VERSION,
    clock: () => performance.now(),
    wallMs: Date.now,
    random: Math.random,
    randomBytes: (target) => void getRandomValues(target),
    process: processFacts(),
    tapeFolder: (path) => tapeFolder(pathIn(folder, path)),
    caOf: (file) => caTexts.get(file) ?? "",
    tokens: readTokens(settings),
    keys: readKeys(settings),
    systemPrompt: promptFile === ""
      ? ""
      : readText(pathIn(folder, promptFile), "memory.system_prompt_file"),
    latencyFile: readLatency(settings),
    folder,
    desk,
    uuid: () => Bun.randomUUIDv7(),
  };
}

/** Closes what `app` has open, with what is still to be written. What cannot be is told: weir ends all the same. */
export async function closeApp(app: App): Promise<void> {
  const all = [
    // What the store does not take in time is in a file, for the next one.
    () => Promise.race([app.closeStore(), Bun.sleep(CLOSE_MS)]),
    () => app.memory.close(),
    () => app.close(),
    () => app.observer.close(CLOSE_MS),
  ];
  for (const close of all) {
    try {
      await close();
    } catch (error) {
      terminal.complain(`weir: warning: closing failed: ${(error as Error).message}`);
    }
  }
}
