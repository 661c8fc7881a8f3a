/**
 * The desk of this process: fixtures and the journal, which outlive the apps that reloads replace.
 *
 * @module
 */

import {
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { NO_PEERS, type Peers } from "../core/peers.ts";
import { CountPage, countPageBytes } from "../lib/count_page.ts";
import { Limiter, limiterBytes } from "../lib/limiter.ts";
import { Ordinals, ordinalsBytes } from "../lib/ordinals.ts";
import { Recent, recentBytes } from "../lib/recent.ts";
import { Tally, tallyBytes } from "../lib/tally.ts";
import { timerAlarm, Wheel } from "../lib/wheel.ts";
import { Journal, type JournalOptions } from "../ops/journal.ts";
import { checkFixture } from "../sources/fixtures/check.ts";
import { fixtureSet } from "../sources/fixtures/fixture_set.ts";
import { LOAD_ROWS } from "../sources/physics/physics.ts";
import { readAdded } from "../sources/fixtures/read.ts";
import { Failure } from "./terminal.ts";
import { Desk, type FixtureState } from "../surfaces/admin/desk.ts";

/** Counters of all workers: those of sequences, and of sessions. 2 MiB, of which what is used is there. */
const COUNTERS = 16_384;
/** Places of requests that chance is drawn for: 2 MiB. */
const ORDINALS = 262_144;
/** Names of limits: each key and model has one for each kind. 2.5 MiB, of which what is used is there. */
const LIMITED = 4096;

/** Places of prompts' beginnings: 1 MiB, of which what is used is there. */
const PREFIXES = 131_072;

const COUNTS_FILE = "counts";
const ORDINALS_FILE = "ordinals";
const LIMITS_FILE = "limits";
const PREFIXES_FILE = "prefixes";
const LOAD_FILE = "load";
const FIXTURES_FILE = "fixtures.json";
const PREFIX = "weir-shared-";

/** What all workers of one weir share: files in a folder that nobody else may look into. */
export class SharedFolder {
  readonly path: string;

  /** The folder at `path`, where a supervisor has made it. */
  constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes it. `remove` is to be called at the end.
   *
   * @throws {Failure} when the system has no place for it.
   */
  static make(): SharedFolder {
    const shared = new SharedFolder(made(join(tmpdir(), PREFIX)));
    for (
      const [file, bytes] of [
        [COUNTS_FILE, countPageBytes(COUNTERS)],
        [ORDINALS_FILE, ordinalsBytes(ORDINALS)],
        [LIMITS_FILE, limiterBytes(LIMITED)],
        [PREFIXES_FILE, recentBytes(PREFIXES)],
        [LOAD_FILE, tallyBytes(LOAD_ROWS)],
      ] as const
    ) {
      const path = join(shared.path, file);
      writeFileSync(path, "", { mode: 0o600 });
      truncateSync(path, bytes); // what nobody has written takes no room
    }
    shared.state = { fixtures: [], trouble: "" };
    return shared;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  counts(): CountPage {
    return new CountPage(Bun.mmap(join(this.path, COUNTS_FILE)));
  }

  ordinals(): Ordinals {
    return new Ordinals(Bun.mmap(join(this.path, ORDINALS_FILE)));
  }

  /** `number`: this process's. */
  limiter(number: number): Limiter {
    return new Limiter(Bun.mmap(join(this.path, LIMITS_FILE)), Date.now, number);
  }

  prefixes(): Recent {
    return new Recent(Bun.mmap(join(this.path, PREFIXES_FILE)));
  }

  /** For the worker with this number, which begins. */
  tally(own: number): Tally {
    return begun(new Tally(Bun.mmap(join(this.path, LOAD_FILE)), own));
  }

  /** The fixtures of files that are in force: one reading for all workers. */
  get state(): FixtureState {
    return JSON.parse(readFileSync(join(this.path, FIXTURES_FILE), "utf8"));
  }

  set state(state: FixtureState) {
    const file = join(this.path, FIXTURES_FILE);
    writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

function begun(tally: Tally): Tally {
  tally.begin();
  return tally;
}

function made(prefix: string): string {
  try {
    return mkdtempSync(prefix);
  } catch (error) {
    const { code } = error as { readonly code?: string };
    throw new Failure(
      `Several workers need a temporary folder to count in, and none can be made at ${prefix}… ` +
        `(${code}): set TMPDIR, or server.workers to 1`,
    );
  }
}

/** What a desk is made of besides the config. */
export interface DeskPlace {
  readonly wheel: Wheel;
  readonly peers?: Peers;
  /** Absent: this process is the only one. */
  readonly shared?: SharedFolder;
}

/** Makes the desk. */
export function openDesk(config: Config, { wheel, peers = NO_PEERS, shared }: DeskPlace): Desk {
  return new Desk({
    makeSet: fixtureSet,
    readAdded: (values, makeId) => readAdded(values, makeId, checkFixture),
    counts: shared?.counts() ?? new CountPage(new Uint8Array(countPageBytes(COUNTERS))),
    ordinals: shared?.ordinals() ?? new Ordinals(new Uint8Array(ordinalsBytes(ORDINALS))),
    limiter: shared?.limiter(peers.own) ??
      new Limiter(new Uint8Array(limiterBytes(LIMITED)), Date.now),
    prefixes: shared?.prefixes() ?? new Recent(new Uint8Array(recentBytes(PREFIXES))),
    tally: shared?.tally(peers.own) ?? new Tally(new Uint8Array(tallyBytes(LOAD_ROWS)), 0),
    wheel,
    wallMs: Date.now,
    journal: new Journal(journalOptions(config), Date.now),
    peers,
    ...(shared === undefined ? {} : { readFiles: () => shared.state }),
  });
}

/** The desk of a process that serves nobody else. */
export function loneDesk(config: Config): Desk {
  return openDesk(config, { wheel: processWheel() });
}

/** A wheel for what outlives apps. */
export function processWheel(): Wheel {
  return new Wheel(() => performance.now(), timerAlarm());
}

/** What the config says of the journal. */
export function journalOptions({ ops }: Config): JournalOptions {
  const { journal, journal_max, journal_max_bytes } = ops;
  return { mode: journal, entriesMax: journal_max, bytesMax: journal_max_bytes };
}
