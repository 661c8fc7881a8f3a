/**
 * The body of `POST /workflows/runs`: JSON, or a form with bracket keys as soon as a file is in it.
 *
 * @module
 */

import type { Field } from "./field.ts";

/** The run of workflow `id` with what `fields` hold. */
export function runBody(id: string, fields: readonly Pick<Field, "variable" | "read">[]) {
  const input = inputOf(fields);
  const run = { workflow_id: id, input, wait_for_completion: true, output_only: true };
  return hasFile(input) ? formOf(run) : JSON.stringify(run);
}

/** The input object. A name is a path: `user.tags[0]` lies inside `user`. */
function inputOf(fields: readonly Pick<Field, "variable" | "read">[]): unknown {
  const input: Tree = Object.create(null);
  for (const { variable, read } of fields) {
    if (variable.name === "") return read();
    place(input, variable.name.match(/[^.[\]]+/g) ?? [variable.name], read());
  }
  return input;
}

/** Without a prototype, so that no name of a file's author reaches one. */
interface Tree {
  [name: string]: unknown;
}

function place(tree: Tree, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path;
  if (rest.length === 0) {
    tree[name!] = value;
    return;
  }
  const isIndexed = /^\d+$/.test(rest[0]!);
  const inner = tree[name!] ?? (isIndexed ? [] : Object.create(null));
  tree[name!] = inner;
  if (typeof inner === "object") place(inner as Tree, rest, value);
}

function hasFile(value: unknown): boolean {
  if (value instanceof File) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(hasFile);
}

function formOf(run: Readonly<Record<string, unknown>>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(run)) append(form, name, value);
  return form;
}

/** Nothing is sent as nothing: a form has no null. */
function append(form: FormData, key: string, value: unknown): void {
  if (value === null || value === undefined) return;
  if (value instanceof File) form.append(key, value, value.name);
  else if (Array.isArray(value)) { for (const item of value) append(form, `${key}[]`, item); }
  else if (typeof value === "object") {
    for (const [name, item] of Object.entries(value)) append(form, `${key}[${name}]`, item);
  } else form.append(key, String(value));
}
