import { describe, expect, test } from "bun:test";
import { plainPath } from "../../src/lib/plain_path.ts";

describe("plainPath()", () => {
  const ROWS: readonly (readonly [string, string | undefined])[] = [
    ["/files/a.txt", "/files/a.txt"],
    ["/%6frganization%2Fusers", "/organization/users"],
    ["/%256fr", "/or"],
    ["///a//b", "/a/b"],
    ["/a\\b%5cc", "/a/b/c"],
    ["/a;v=1/b;", "/a/b"],
    ["/;/a", "/a"],
    ["/some/%E6%B0%B4", "/some/%E6%B0%B4"],
    ["/100%25", "/100%"],
    ["/.../.well-known", undefined],
    ["/.well-known/a..b/c.", "/.well-known/a..b/c."],
    ["/a/../b", undefined],
    ["/a/%2e./b", undefined],
    ["/a/..;/b", undefined],
    ["/a/..;x=1/b", undefined],
    ["/a%2f..%2fb", undefined],
    ["/a%5c..%5cb", undefined],
    ["/a/%252e%252e/b", undefined],
    ["/a/..%20/b", undefined],
    ["/a/..%3f/b", undefined],
    ["/a/.%09./b", undefined],
    ["/a/%c0%ae%c0%ae/b", undefined],
    ["/%2525252525252e", undefined],
  ];
  for (const [path, plain] of ROWS) {
    test(`${path} is ${plain}`, () => expect(plainPath(path)).toBe(plain));
  }
});
