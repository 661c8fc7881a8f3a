import { HeaderLines } from "../../src/lib/http1/header_lines.ts";

/** `fields` as the lines of a request. */
export function linesOf(fields: Readonly<Record<string, string>>): HeaderLines {
  const lines = new HeaderLines();
  for (const [name, value] of Object.entries(fields)) lines.add(name, value);
  return lines;
}
