/**
 * One of several processes of a load: it does what its parent says, and ends with it.
 *
 * @module
 */

import { type Shard, WHOLE, within } from "../load/shape/shards.ts";
import type { LoadOptions } from "./load_options.ts";
import { type FromWorker, messagesOf, type ToWorker } from "./load_protocol.ts";
import { LoadHere, type RunningRound, type StartRound } from "./load_round.ts";
import { EXIT } from "./terminal.ts";
import { type HeldLines, heldLines } from "./whole_files.ts";

/** How often the parent hears how far it is. */
const PROGRESS_MS = 500;
/** Characters of raw lines that the parent has not taken: if there are more, it cannot keep up. */
const BEHIND_CHARS_MAX = 64 * 1024 * 1024;

/** Works until the parent is gone; `part`: of the parent's own part. */
export async function workLoad(options: LoadOptions, part: Shard): Promise<number> {
  const { flags } = options;
  // A terminal sends Ctrl-C to all of them: the parent says when it is over.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const raw = flags.raw === undefined ? undefined : rawSender(say);
  const here = new LoadHere(options, within(flags.shard ?? WHOLE, part), raw);
  let start: StartRound | undefined;
  let running: RunningRound | undefined;
  const work = async (round: RunningRound) => {
    const timer = setInterval(() => {
      const { sent, over, active, waiting, failed, ttft } = round.progress();
      say({ kind: "progress", sent, over, active, waiting, failed, ttft: ttft.toBrief() });
    }, PROGRESS_MS);
    const { round: { tally, facts }, gathered, kept } = await round.result;
    clearInterval(timer);
    say({ kind: "over" });
    await Bun.sleep(0);
    raw?.flush();
    say({
      kind: "result",
      tally: tally.toFile(),
      facts,
      kept,
      gathered: gathered?.toParts() ?? null,
    });
  };
  say({ kind: "ready" });
  for await (const told of messagesOf<ToWorker>(Bun.stdin.stream())) {
    switch (told.kind) {
      case "prepare":
        start = await here.prepare(told.stage, told.place);
        say({ kind: "prepared" });
        break;
      case "start":
        running = start!(told.atMs);
        void work(running);
        break;
      case "end":
        running?.end(told.why);
    }
  }
  // Whoever wanted to know is gone.
  process.exit(EXIT.failed);
}

/** Sends raw lines with `send`, which calls `taken` when the parent has them, and no more once it is far behind. */
export function rawSender(send: (message: FromWorker, taken?: () => void) => void): HeldLines {
  let behind = 0;
  let isGivenUp = false;
  return heldLines((lines) => {
    if (isGivenUp) return;
    isGivenUp = behind > BEHIND_CHARS_MAX;
    if (isGivenUp) return send({ kind: "raw", lines: null });
    behind += lines.length;
    send({ kind: "raw", lines }, () => behind -= lines.length);
  });
}

function say(message: FromWorker, taken?: () => void): void {
  process.stdout.write(`${JSON.stringify(message)}\n`, taken);
}
