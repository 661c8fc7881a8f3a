/**
 * `weir run`: runs a workflow in this process and prints what it gives, as it comes.
 *
 * @module
 */

import { createWriteStream } from "node:fs";
import { makeApp } from "../app.ts";
import { AppError } from "../core/errors.ts";
import type { RunOutput, TaskState } from "../core/workflow.ts";
import { parseRunOptions, type RunOptions } from "./command_line.ts";
import { world } from "./world.ts";
import { readSettings, warn } from "./settings.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { writeLast } from "./process_facts.ts";
import { noteText } from "./up.ts";

/** What a shell gives for a program that Ctrl-C has ended. */
const INTERRUPTED = 130;
/** Bytes of an input from standard input. */
const INPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Runs to the end. Exit code 1 when the workflow fails, 130 after Ctrl-C. */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseRunOptions(args);
  const settings = readSettings(options, terminal);
  warn(settings.warnings, terminal);
  const app = makeApp(settings.config, {
    ...world(settings),
    ...(options.isVerbose ? { noteRun: (note) => terminal.complain(noteText(note)) } : {}),
  }, settings.workflows);
  process.once("exit", () => writeLast(app.observer.takeLog()));
  const abort = new AbortController();
  let code = 0;
  const interrupt = () => {
    code = INTERRUPTED;
    abort.abort(new AppError("unavailable", "Interrupted"));
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const sink = openSink(options.output, () => abort.abort());
  try {
    const input = await readInput(options);
    const { signal } = abort;
    const { settled, taskId } = app.workflows.start(options.workflowId, input, {
      signal,
      isKept: false,
    });
    const state = await settled;
    await tell(state, sink);
    const { errorText } = app.workflows.task(taskId) ?? state;
    if (errorText !== "") throw new AppError("workflow_failed", errorText);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    terminal.complain(`❌ ${error.message}`);
    code ||= 1;
  } finally {
    await sink.close();
  }
  return code;
}

async function readInput({ input }: RunOptions): Promise<unknown> {
  if (input === undefined) return null;
  const text = input === "-" ? await readStandardInput() : input;
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("request_invalid", "Invalid JSON provided for --input");
  }
}

async function readStandardInput(): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of Bun.stdin.stream()) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > INPUT_BYTES_MAX) {
      throw new Failure(`The input has more than ${INPUT_BYTES_MAX} bytes`);
    }
  }
  return new TextDecoder().decode(Buffer.concat(pieces));
}

/** Where the output goes. A write settles when there is room for the next. */
interface Sink {
  readonly write: (chunk: string | Uint8Array) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** The file, or standard output. `onBroken`: nobody takes it any more, as behind `| head`. */
function openSink(file: string | undefined, onBroken: () => void): Sink {
  const stream = file === undefined ? process.stdout : createWriteStream(file);
  let broken: Error | undefined;
  stream.on("error", (error: Error) => {
    broken = error;
    onBroken();
  });
  return {
    write: (chunk) =>
      new Promise((resolve, reject) => {
        stream.write(chunk, (error) => {
          const cause = error ?? broken;
          if (cause === undefined) return resolve();
          reject(new AppError("unavailable", `Cannot write the output: ${cause.message}`));
        });
      }),
    close: () =>
      file === undefined || broken !== undefined
        ? Promise.resolve()
        : new Promise((resolve) => void stream.end(() => resolve())),
  };
}

async function tell({ output }: TaskState, sink: Sink): Promise<void> {
  if (output === undefined) return;
  if (output.kind !== "chunks") return await tellWhole(output, sink);
  let isMidLine = false;
  try {
    for await (const chunk of output.chunks) {
      const isText = output.format === "text" && typeof chunk === "string";
      const text = isText ? chunk : `${JSON.stringify(chunk)}\n`;
      if (text === "") continue;
      await sink.write(text);
      isMidLine = !text.endsWith("\n");
    }
  } finally {
    if (isMidLine) await sink.write("\n");
  }
}

async function tellWhole(output: RunOutput, sink: Sink): Promise<void> {
  if (output.kind === "file") return await sink.write(output.file.bytes);
  const value = output.kind === "value" ? output.value ?? null : null;
  if (value === null) return;
  const text = typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
  await sink.write(`${text}\n`);
}
