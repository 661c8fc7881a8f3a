import { describe, expect, test } from "bun:test";
import type { SessionIds } from "../../src/core/memory.ts";
import { idsOfName, joinedIds, meantSession, nameOf, nameOfIds } from "../../src/core/session.ts";

const NOBODY: SessionIds = { sessionId: "", userId: "", roleId: "", groupId: "" };

/** ids → the name that is made of them, and how they were joined before. */
const NAMES: readonly (readonly [Partial<SessionIds>, string, string])[] = [
  [{}, "", ""],
  [{ userId: "u" }, "user_id=u", "u"],
  [{ roleId: "r", userId: "u" }, "user_id=u&role_id=r", "u_r"],
  [{ roleId: "r", userId: "u", groupId: "g" }, "group_id=g&user_id=u&role_id=r", "g_u_r"],
  [{ roleId: "r", groupId: "群" }, "group_id=%E7%BE%A4&role_id=r", "群_r"],
  [{ userId: "a_b", roleId: "c" }, "user_id=a_b&role_id=c", "a_b_c"],
  [{ userId: "a", roleId: "b_c" }, "user_id=a&role_id=b_c", "a_b_c"],
  [{ userId: "a&role_id=c" }, "user_id=a%26role_id%3Dc", "a&role_id=c"],
  [{ userId: "100%", roleId: "a b" }, "user_id=100%25&role_id=a%20b", "100%_a b"],
  [
    { userId: "👋🏽\0\ud83d" },
    "user_id=%F0%9F%91%8B%F0%9F%8F%BD%EF%BF%BD%EF%BF%BD",
    "👋🏽\uFFFD\uFFFD",
  ],
];

describe("nameOfIds(), joinedIds() and idsOfName()", () => {
  for (const [ids, name, joined] of NAMES) {
    test(`of ${JSON.stringify(ids)} are "${name}"`, () => {
      expect(nameOfIds({ ...NOBODY, ...ids })).toBe(name);
      expect(joinedIds({ ...NOBODY, ...ids })).toBe(joined);
      if (name !== "") expect(nameOfIds(idsOfName(name)!)).toBe(name);
    });
  }

  test("tell every two of them apart", () => {
    const values = ["", "a", "b", "a_b", "a&user_id=b", "a=b", "%61", "_", "a_b_c", "c"];
    const names = values.flatMap((groupId) =>
      values.flatMap((userId) => values.map((roleId) => nameOfIds({ groupId, userId, roleId })))
    );
    expect(new Set(names).size).toBe(values.length ** 3);
  });

  const GIVEN = [
    "u1_tiffany",
    "user_id=",
    "user_id=a&user_id=b",
    "role_id=r&user_id=u",
    "user_id=a b",
    "user_id=%zz",
    "user_id=%7e",
    "user_id=a&",
    "user_id=a&role_id=b&role_id=b&group_id=c",
    "session_id=a",
  ];
  for (const name of GIVEN) {
    test(`"${name}" is made of no ids`, () => expect(idsOfName(name)).toBeUndefined());
  }
});

test("nameOf() prefers the name that was given", () => {
  expect(nameOf({ ...NOBODY, sessionId: "s\0", userId: "u" })).toBe("s\uFFFD");
  expect(nameOf({ ...NOBODY, userId: "u" })).toBe("user_id=u");
});

describe("meantSession()", () => {
  const AB_C = "user_id=a_b&role_id=c";
  const A_BC = "user_id=a&role_id=b_c";
  const ofAbC = { sessionId: AB_C, userId: "a_b", roleId: "c", groupId: "" };

  /** What is asked, what the memory has of that name, and the session. */
  const CASES: readonly (readonly [string, Partial<SessionIds>, readonly string[], SessionIds])[] =
    [
      ["no id at all", {}, [], NOBODY],
      ["ids", { userId: "a_b", roleId: "c" }, ["never asked"], ofAbC],
      ["a name that is made of ids", { sessionId: AB_C }, ["never asked"], ofAbC],
      ["such a name with other ids", { sessionId: AB_C, userId: "x" }, [], ofAbC],
      ["an unknown name", { sessionId: "s", userId: "u" }, [], {
        ...NOBODY,
        sessionId: "s",
        userId: "u",
      }],
      ["a known name", { sessionId: "a_b_c", userId: "a_b", roleId: "c" }, ["a_b_c", AB_C], {
        ...ofAbC,
        sessionId: "a_b_c",
      }],
      ["joined ids", { sessionId: "a_b_c" }, [AB_C], ofAbC],
      ["joined ids of two, with the ids", { ...ofAbC, sessionId: "a_b_c" }, [A_BC, AB_C], ofAbC],
      ["its own joined ids, unknown", { ...ofAbC, sessionId: "a_b_c" }, [], ofAbC],
    ];
  for (const [what, ids, names, wanted] of CASES) {
    test(`of ${what}`, async () => {
      const asked = { ...NOBODY, ...ids };
      expect(meantSession({ named: () => names }, asked)).toEqual(wanted);
      expect(await meantSession({ named: () => Promise.resolve(names) }, asked)).toEqual(wanted);
    });
  }

  test("of joined ids of several is a conflict", () => {
    const memory = { named: () => [A_BC, AB_C] };
    expect(() => meantSession(memory, { ...NOBODY, sessionId: "a_b_c" })).toThrow(
      /^生成 session_id 失败: this session_id is that of several sessions: send their group_id, user_id and role_id/,
    );
  });
});
