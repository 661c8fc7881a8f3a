/**
 * Files in the input of `weir run`: where a workflow takes a file, a text is the name of one of this
 * machine, as model-compose reads it there.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { AppError } from "../core/errors.ts";
import { Attachment, type WorkflowSchema } from "../core/workflow.ts";
import { isFileType } from "../workflows/expression.ts";

/**
 * Puts the files into `input`, which is changed.
 *
 * @throws {AppError} `request_invalid` when one cannot be read.
 */
export function readInputFiles(input: unknown, { input: variables }: WorkflowSchema): void {
  for (const { name = "", type, format = "" } of variables) {
    const path = name.match(/[^.[\]]+/g) ?? [];
    const last = path.pop();
    if (!isFileType(type, format) || last === undefined) continue;
    let parent = input;
    for (const key of path) parent = (parent as Record<string, unknown> | null)?.[key];
    if (typeof parent !== "object" || parent === null || !Object.hasOwn(parent, last)) continue;
    const values = parent as Record<string, unknown>;
    const value = values[last];
    values[last] = Array.isArray(value) ? value.map(fileOf) : fileOf(value);
  }
}

function fileOf(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const path = value.replace(/^@/, "");
  try {
    return new Attachment(readFileSync(path), Bun.file(path).type, basename(path));
  } catch (error) {
    const { code } = error as { readonly code?: string };
    throw new AppError("request_invalid", `Cannot read the file ${path} of the input: ${code}`);
  }
}
