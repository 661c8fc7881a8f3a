/**
 * Which session a request means, and what sessions are called. A name that is made of ids tells
 * them apart, whatever they hold: "group_id=g&user_id=u1&role_id=tiffany", each percent-encoded.
 *
 * @module
 */

import { AppError } from "./errors.ts";
import { type Memory, type SessionIds, storable } from "./memory.ts";

/** The ids that a name can be made of, in its order. */
const PARTS = [["group_id", "groupId"], ["user_id", "userId"], ["role_id", "roleId"]] as const;

/** The ids of a session without its name. */
export type NamingIds = Omit<SessionIds, "sessionId">;

/** The stored name of a session that is known by its ids alone; "" = there are none. */
export function nameOfIds(ids: NamingIds): string {
  let name = "";
  for (const [word, key] of PARTS) {
    const id = ids[key];
    if (id === "") continue;
    if (name !== "") name += "&";
    name += `${word}=${encodeURIComponent(storable(id))}`;
  }
  return name;
}

/** The ids that `name` was made of, with it; undefined = somebody gave it as it is. */
export function idsOfName(name: string): SessionIds | undefined {
  if (!/^(?:group|user|role)_id=./.test(name)) return undefined;
  const found = { sessionId: name, groupId: "", userId: "", roleId: "" };
  for (const part of name.split("&", PARTS.length + 1)) {
    const [, key] = PARTS.find(([word]) => part.startsWith(`${word}=`)) ?? [];
    if (key === undefined) return undefined;
    try {
      found[key] = decodeURIComponent(part.slice(part.indexOf("=") + 1));
    } catch {
      return undefined;
    }
  }
  return nameOfIds(found) === name ? found : undefined;
}

/**
 * The ids as the streaming response service joins them (docs/facts/systems.md "Session id"): what
 * its clients know a session by. Several sessions may be joined alike.
 */
export function joinedIds(ids: NamingIds): string {
  return PARTS.map(([, key]) => ids[key]).filter((id) => id !== "").map(storable).join("_");
}

/** What a store keeps of a session beside its name. */
export interface KeptIds extends NamingIds {
  /** Its joined ids, when they are its name; "" = somebody gave the name. */
  readonly joined: string;
}

/** The ids of the session `ids.sessionId`: those of its name, else those it was first named with. */
export function keptIds(ids: SessionIds): KeptIds {
  const ofName = idsOfName(ids.sessionId);
  const { groupId, userId, roleId } = ofName ?? ids;
  return { groupId, userId, roleId, joined: ofName === undefined ? "" : joinedIds(ofName) };
}

/** The stored name that `ids` say themselves: the one that was given, else that of the ids. */
export function nameOf(ids: SessionIds): string {
  return storable(ids.sessionId) || nameOfIds(ids);
}

/**
 * The session that a request means, with its stored name as `sessionId`; "" = no id was named. A
 * given name that no session has is looked for among the joined ids.
 *
 * @throws {AppError} `conflict` when several sessions are joined so (also as a rejection).
 */
export function meantSession(
  memory: Pick<Memory, "named">,
  ids: SessionIds,
): SessionIds | Promise<SessionIds> {
  if (ids.sessionId === "") return { ...ids, sessionId: nameOfIds(ids) };
  const given = storable(ids.sessionId);
  const ofIds = idsOfName(given);
  if (ofIds !== undefined) return ofIds;
  const names = memory.named(given);
  return names instanceof Promise
    ? names.then((settled) => pick(ids, given, settled))
    : pick(ids, given, names);
}

function pick(ids: SessionIds, given: string, names: readonly string[]): SessionIds {
  if (names.includes(given)) return { ...ids, sessionId: given };
  if (joinedIds(ids) === given) return { ...ids, sessionId: nameOfIds(ids) };
  if (names.length > 1) {
    throw new AppError(
      "conflict",
      "生成 session_id 失败: this session_id is that of several sessions: send their group_id, user_id and role_id " +
        "instead, or the name that the header x-session-id tells",
      { param: "session_id" },
    );
  }
  const [name] = names;
  return name === undefined ? { ...ids, sessionId: given } : idsOfName(name)!;
}
