import { describe, expect, test } from "bun:test";
import { readSettings } from "../../src/cli/settings.ts";
import { readKeys } from "../../src/cli/token_files.ts";
import { digestOf } from "../../src/ops/key_ring.ts";
import { run } from "../server/launch.ts";

function keysOf(keys: readonly object[], more: Readonly<Record<string, string>> = {}) {
  const settings = Object.entries({ keys: JSON.stringify(keys), ...more })
    .map(([key, value]) => ({ key, value }));
  const options = { configFile: undefined, settings, workflowFiles: [], envFiles: [], env: {} };
  return readKeys(readSettings(options, { print() {}, complain() {} }));
}

describe("readKeys()", () => {
  test("knows keys by their digests, and when they end", () => {
    const token_sha256 = digestOf("b-key").toUpperCase();
    const keys = keysOf([
      { name: "a", token: " a-key ", expires: "2027-01-31", tokens_per_day: 5, admin: true },
      { name: "b", token_sha256, expires: "2027-01-31T12:00:00+01:00" },
    ]);
    expect(keys.map(({ name, digest, token, endsMs }) => [name, digest, token, endsMs])).toEqual([
      ["a", digestOf("a-key"), "a-key", Date.parse("2027-01-31T00:00:00Z")],
      ["b", digestOf("b-key"), "", Date.parse("2027-01-31T11:00:00Z")],
    ]);
    expect(keys[0]!.rules).toMatchObject({ tokens_per_day: 5, admin: true, models: [] });
    expect(Object.keys(keys[0]!.rules)).not.toContain("token");
  });

  test("refuses one text for two keys, however it is told", () => {
    const same = [{ name: "a", token: "t" }, { name: "b", token_sha256: digestOf("t") }];
    expect(() => keysOf(same)).toThrow("The keys a and b have the same text");
    expect(() => keysOf([{ name: "a", token: "t" }], { "auth.token": "t" }))
      .toThrow("The keys default and a have the same text");
  });
});

/** What `weir key …` is called with → its exit code, and what it says. */
const CASES: readonly (readonly [string, number, RegExp])[] = [
  ["add", 2, /NAME is missing: weir key add NAME/],
  ["list ci", 2, /list takes no NAME/],
  ["remove ci", 2, /ACTION/],
  ["add a/b", 2, /NAME must be up to 64 letters/],
  ["add ci --expires soon", 2, /--expires must be a date such as 2027-01-31/],
  ["add ci --expires 2020-01-01", 2, /--expires must be a moment to come: it is 2020-01-01/],
  ["add ci --requests-per-min -1", 2, /requests-per-min/],
  ["add ci --route cheap", 1, /there is no route named cheap/],
  [
    "add own --set keys=[{name:\u00a0own,token:\u00a0t}]",
    1,
    /There is a key named own in the config/,
  ],
  [
    "revoke own --set keys=[{name:\u00a0own,token:\u00a0t}]",
    1,
    /There is a key named own in the config: change it there, and reload weir/,
  ],
  ["rotate ci", 1, /There is no key named ci in the store/],
  ["revoke ci", 1, /There is no key named ci in the store/],
  ["list", 0, /^weir: the store sqlite:\/\/weir\.db has no keys in force\n$/],
  ["add ci --set store.url=sqlite:///nowhere/at/all.db", 1, /Cannot write to the store/],
  [
    "list --set store.url=postgres://u:hidden@127.0.0.1:1/db",
    1,
    /Cannot read the store .*\(the store postgres:\/\/u:\*{3}@127\.0\.0\.1:1\/db\)/,
  ],
  ["add ci", 0, /weir asks nobody for a key until there is auth\.token, keys, or store\.keys: on/],
  ["add ci --set store.keys=off", 0, /it opens nothing while store\.keys is off/],
  [
    "add ci --set auth.token=t",
    0,
    /^weir: the key ci of the store sqlite:\/\/weir\.db, shown this once:\nweir_\w{43}\n$/,
  ],
];

describe("weir key", () => {
  for (const [line, code, said] of CASES) {
    test(`${line.replaceAll("\u00a0", " ")} ends with ${code}`, async () => {
      const words = line.split(" ").map((word) => word.replaceAll("\u00a0", " "));
      const ended = await run(["key", ...words]);
      expect([ended.code, ended.errors + ended.output]).toEqual([
        code,
        expect.stringMatching(said),
      ]);
      expect(ended.errors + ended.output).not.toContain("hidden");
    });
  }
});
