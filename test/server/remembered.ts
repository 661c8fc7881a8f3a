/**
 * What an embedded memory has kept, read from its file.
 *
 * @module
 */

import { Database } from "bun:sqlite";

/** Queries by session in the database at `path`, in their order. */
export function remembered(path: string): Map<string, string[]> {
  const database = new Database(path, { readonly: true });
  const rows = database.query(
    "SELECT name, query FROM turns JOIN sessions ON sessions.id = session ORDER BY seq",
  ).values() as [string, string][];
  database.close();
  const found = new Map<string, string[]>();
  for (const [session, query] of rows) {
    const queries = found.get(session);
    if (queries === undefined) found.set(session, [query]);
    else queries.push(query);
  }
  return found;
}
