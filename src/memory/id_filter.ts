/**
 * Which rows a removal means: those whose ids are all that it names.
 *
 * @module
 */

import { type SessionIds, storable } from "../core/memory.ts";

/** A condition in SQL, with what its places stand for. */
export interface IdFilter {
  readonly where: string;
  readonly values: readonly string[];
}

/**
 * The condition for `ids`, of which "" names nothing; undefined = all of them. `nameColumn` holds
 * the session's name, and `term` compares a column with its value, whose number counts from 1.
 */
export function idFilter(
  ids: SessionIds,
  nameColumn: string,
  term: (column: string, at: number) => string = (column) => `${column} = ?`,
): IdFilter | undefined {
  const named = ([
    [nameColumn, ids.sessionId],
    ["user_id", ids.userId],
    ["role_id", ids.roleId],
    ["group_id", ids.groupId],
  ] as const).filter(([, id]) => id !== "");
  if (named.length === 0) return undefined;
  return {
    where: named.map(([column], i) => term(column, i + 1)).join(" AND "),
    values: named.map(([, id]) => storable(id)),
  };
}
