/**
 * The input of a run that comes as a form: `input` may be JSON in one field, and a text in it such
 * as "@photo" stands for the file in the field `photo`.
 *
 * @module
 */

import { checkDepth, checkSize } from "../../core/depth.ts";
import { AppError } from "../../core/errors.ts";
import { Attachment } from "../../core/workflow.ts";
import { parseExactJson } from "../../lib/exact_json.ts";

/** Before the name of a field, in a text that refers to its file. */
const REFERENCE = "@";

/**
 * `fields` of a run with the input that they mean. Texts that name no file of the form stay texts.
 *
 * @throws {AppError} `request_invalid` for an input that looks like JSON and is none, and for a file
 * that nothing refers to.
 */
export function withFormInput(
  fields: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const files = new Map(
    Object.entries(fields).filter((field): field is [string, Attachment] =>
      field[0] !== "input" && field[1] instanceof Attachment
    ),
  );
  const unused = new Set(files.keys());
  const root = { input: parsedInput(fields["input"]) };
  const rest: object[] = [root];
  for (let parent = rest.pop(); parent !== undefined; parent = rest.pop()) {
    const values = parent as Record<string, unknown>;
    for (const [key, value] of Object.entries(values)) {
      if (typeof value === "object" && value !== null && !(value instanceof Attachment)) {
        rest.push(value);
      } else if (typeof value === "string" && value.startsWith(REFERENCE)) {
        const name = value.slice(REFERENCE.length);
        const file = files.get(name);
        if (file === undefined) continue;
        values[key] = file;
        unused.delete(name);
      }
    }
  }
  for (const name of unused) {
    throw invalid(
      `nothing refers to the file ${JSON.stringify(name)}: send it as input[${name}], ` +
        `or write "@${name}" in the input`,
    );
  }
  return { ...fields, input: root.input };
}

function parsedInput(input: unknown): unknown {
  const isJsonFile = input instanceof Attachment && /^application\/json\b/i.test(input.contentType);
  const text = isJsonFile ? new TextDecoder().decode(input.bytes) : input;
  if (typeof text !== "string" || !(isJsonFile || /^\s*[[{]/.test(text))) return input;
  checkSize(text, "Invalid request body: input");
  let value: unknown;
  try {
    value = parseExactJson(text);
  } catch (error) {
    throw invalid(`input is no JSON: ${(error as Error).message}`);
  }
  checkDepth(text, value, "Invalid request body: input");
  return value;
}

function invalid(reason: string): AppError {
  return new AppError("request_invalid", `Invalid request body: ${reason}`);
}
