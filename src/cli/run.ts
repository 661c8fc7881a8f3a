/**
 * `weir run`: runs a workflow in this process and prints what it gives, as it comes.
 *
 * @module
 */

import { createWriteStream } from "node:fs";
import { makeApp } from "../app.ts";
import { AppError } from "../core/errors.ts";
import type { RunOutput, TaskState } from "../core/workflow.ts";
import { parseExactJson } from "../lib/exact_json.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { textFlag } from "./flags.ts";
import { readInputFiles } from "./input_files.ts";
import { loneDesk } from "./desk.ts";
import { world } from "./world.ts";
import { readSettings, warn } from "./settings.ts";
import { onEnding } from "./signals.ts";
import { EXIT, Failure } from "./terminal.ts";
import { writeLast } from "./process_facts.ts";
import { noteText, verboseFlag } from "./up.ts";

/** Bytes of an input from standard input. */
const INPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Runs to the end. */
export const run = defineCommand({
  name: "run",
  summary: "run a workflow here and now, and print what it gives",
  details: "It is printed as it comes: text as text, everything else as JSON.",
  operands: {
    workflow: {
      name: "WORKFLOW",
      text: "the workflow's id (default: the file's default workflow)",
      isOptional: true,
    },
  },
  flags: {
    input: textFlag({
      short: "i",
      value: "JSON",
      text: "the input; - reads it from standard input; a file in it is its path",
    }),
    output: textFlag({
      short: "o",
      value: "FILE",
      text: "write there what would be printed",
      completes: "files",
    }),
    verbose: verboseFlag,
    ...SETTING_FLAGS,
  },
  examples: [
    { line: `weir run --input '{"prompt":"Hello"}'`, text: "the default workflow" },
    {
      line: `echo '{"prompt":"Hello"}' | weir run -f model-compose.yml -i - -o answer.txt`,
      text: "input from a pipe, output into a file",
    },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config or a workflow file is wrong, or the workflow failed",
    [EXIT.interrupted]: "interrupted by Ctrl-C; upstreams are told to stop",
  },
  async run({ flags, operands }, terminal) {
    const settings = readSettings(settingOptions(flags), terminal);
    warn(settings.warnings, terminal);
    const app = makeApp(settings.config, {
      ...world(settings, loneDesk(settings.config)),
      ...(flags.verbose ? { noteRun: (note) => terminal.complain(noteText(note)) } : {}),
    }, settings.workflows);
    process.once("exit", () => writeLast(app.observer.takeLog()));
    const abort = new AbortController();
    let code: number = EXIT.done;
    const interrupt = () => {
      code = EXIT.interrupted;
      abort.abort(new AppError("unavailable", "Interrupted"));
    };
    onEnding(interrupt);
    const sink = openSink(flags.output, () => abort.abort());
    try {
      const input = await readInput(flags.input);
      const { signal } = abort;
      const workflowId = app.workflows.find(operands.workflow ?? null);
      const schema = app.workflows.schemas.find(({ workflow_id }) => workflow_id === workflowId);
      readInputFiles(input, schema!);
      app.workflows.check(workflowId, input);
      const { settled, taskId } = app.workflows.start(workflowId, input, {
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
      code ||= EXIT.failed;
    } finally {
      await sink.close();
    }
    return code;
  },
});

/** `input`: JSON, "-" for standard input, undefined for none. */
async function readInput(input: string | undefined): Promise<unknown> {
  if (input === undefined) return null;
  const text = input === "-" ? await readStandardInput() : input;
  try {
    return parseExactJson(text);
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
