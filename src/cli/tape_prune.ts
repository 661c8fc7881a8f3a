/**
 * `weir tape prune`: removes tapes, and nothing else.
 *
 * @module
 */

import { unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ulidMs } from "../lib/ulid.ts";
import { isOwnName, statOfTape, type TapePath } from "./tape_files.ts";
import { REPLAYED_FILE, replayedIds } from "./tape_folder.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { fileFailure } from "./settings.ts";
import { counted, sizeText } from "./units.ts";

const ULID_CHARS = 26;

/** Which tapes go: those that fit all that is asked for. */
export interface PruneOptions {
  /** Older than so many milliseconds. */
  readonly olderThanMs: number | undefined;
  /** Whole ones, except for so many of the newest. */
  readonly keep: number | undefined;
  /** Whole ones, the oldest first, until the others have so many bytes together. */
  readonly maxBytes: number | undefined;
  /** Only those that end before their end. */
  readonly partial: boolean;
  /** Only those that no weir has replayed. */
  readonly unused: boolean;
  readonly dryRun: boolean;
}

/** A file that may go. */
interface Candidate extends TapePath {
  readonly bytes: number;
  /** When it began, as its id says: a copy of the file has other times. */
  readonly beganMs: number;
}

/**
 * Removes what fits of `files`, which are in the order in which they were recorded.
 *
 * @throws {Failure} when nobody has noted what was replayed; with exit code 2 when nothing is asked
 * for, or nothing can fit all of it.
 */
export async function pruneTapes(
  files: readonly TapePath[],
  options: PruneOptions,
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  checkOptions(options);
  const { olderThanMs, keep, maxBytes, partial, unused, dryRun } = options;
  for (const file of files.filter((one) => !isOwnName(one))) {
    terminal.complain(`weir: kept ${file.path}: that is no name that weir gives`);
  }
  const all = files.filter(isOwnName).flatMap((file): readonly Candidate[] => {
    const stat = statOfTape(file.path);
    if (stat === undefined) return [];
    const beganMs = ulidMs(idOf(file.path)) ?? stat.mtimeMs;
    return [{ ...file, bytes: stat.size, beganMs }];
  });
  const whole = all.filter(({ isPartial }) => !isPartial);
  const rules: readonly ((candidate: Candidate) => boolean)[] = [
    ...(partial ? [({ isPartial }: Candidate) => isPartial] : []),
    ...(olderThanMs === undefined
      ? []
      : [({ beganMs }: Candidate) => nowMs - beganMs > olderThanMs]),
    ...(unused ? [isIn(await neverReplayed(whole))] : []),
    ...(keep === undefined ? [] : [isIn(whole.slice(0, Math.max(0, whole.length - keep)))]),
    ...(maxBytes === undefined ? [] : [isIn(whole.slice(0, overflow(whole, maxBytes)))]),
  ];
  let count = 0;
  let bytes = 0;
  for (const candidate of all) {
    if (!rules.every((rule) => rule(candidate))) continue;
    if (!dryRun) remove(candidate.path);
    terminal.print(`${dryRun ? "would remove" : "removed"} ${candidate.path}`);
    count++;
    bytes += candidate.bytes;
  }
  const what = `${counted(count, "file")} of ${all.length}, ${sizeText(bytes)}`;
  terminal.print(dryRun ? `would remove ${what}` : `removed ${what}`);
  return EXIT.done;
}

function checkOptions({ olderThanMs, keep, maxBytes, partial, unused }: PruneOptions): void {
  const isLimited = keep !== undefined || maxBytes !== undefined;
  if (!isLimited && olderThanMs === undefined && !partial && !unused) {
    throw new Failure(
      "Nothing says what goes: --older-than, --keep, --max-size, --partial or --unused",
      EXIT.usage,
    );
  }
  if (partial && (isLimited || unused)) {
    throw new Failure(
      "--partial goes with --older-than only: the other flags are of whole tapes",
      EXIT.usage,
    );
  }
}

/** @throws {Failure} where nobody has noted what was replayed: all would seem unused. */
async function neverReplayed(whole: readonly Candidate[]): Promise<readonly Candidate[]> {
  const notes = new Map<string, ReadonlySet<string>>();
  for (const folder of new Set(whole.map(({ path }) => dirname(path)))) {
    const ids = await replayedIds(folder);
    if (ids === undefined) {
      throw new Failure(
        `Nothing tells which tapes of ${folder} are used: weir notes what it replays in ` +
          `${join(folder, REPLAYED_FILE)}, and there is none`,
      );
    }
    notes.set(folder, ids);
  }
  return whole.filter(({ path }) => !notes.get(dirname(path))!.has(idOf(path)));
}

function idOf(path: string): string {
  return basename(path).slice(0, ULID_CHARS);
}

function isIn(candidates: readonly Candidate[]): (candidate: Candidate) => boolean {
  const set = new Set(candidates);
  return (candidate) => set.has(candidate);
}

/** How many of the oldest make the others fit into `maxBytes`. */
function overflow(whole: readonly Candidate[], maxBytes: number): number {
  let bytes = whole.reduce((sum, one) => sum + one.bytes, 0);
  let count = 0;
  while (bytes > maxBytes) bytes -= whole[count++]!.bytes;
  return count;
}

/** Gone already is as good. */
function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as { readonly code?: string }).code === "ENOENT") return;
    throw fileFailure(error, `Cannot remove ${path}`);
  }
}
