import { describe, expect, test } from "bun:test";
import { basicOf, shownUrl, withoutUserinfo } from "../../src/lib/userinfo.ts";

/** url → user and password as they are sent; "" = none; and what is shown. */
const CASES: readonly (readonly [url: string, sent: string, shown: string])[] = [
  ["", "", ""],
  ["http://a.example/v1", "", "http://a.example/v1"],
  ["http://a.example/@b", "", "http://a.example/@b"],
  ["http://u:p@a.example/v1", "u:p", "http://a.example/v1"],
  ["https://u@a.example:8443", "u:", "https://a.example:8443"],
  ["http://:p@a.example", ":p", "http://a.example"],
  ["http://u%40b:p%3Aq%2F@a.example", "u@b:p:q/", "http://a.example"],
  ["http://%E4%BD%A0:%F0%9F%99%82@a.example", "你:🙂", "http://a.example"],
  ["http://你:🙂@a.example", "你:🙂", "http://a.example"],
  ["http://u:50%@a.example", "u:50%", "http://a.example"],
  ["http://u:p@q@a.example", "u:p@q", "http://a.example"],
];

describe("basicOf() and withoutUserinfo() of", () => {
  for (const [url, sent, shown] of CASES) {
    test(url, () => {
      const basic = sent === "" ? "" : `Basic ${Buffer.from(sent).toString("base64")}`;
      expect([basicOf(url), withoutUserinfo(url)]).toEqual([basic, shown]);
    });
  }
});

/** what is typed → what anybody may see of it */
const SHOWN = [
  ["http://u:p@a.example/@b?key=k#f", "http://a.example/@b?…"],
  ["http://a.example/#f?key=k", "http://a.example/"],
  ["http://u:p/q@a.example/", "http://a.example/"],
  ["http://u:p@[a", "http://[a"],
  ["htp://u:p@a", "htp://a"],
  ["u:p@a/?key=k", "a/?…"],
  ["#1", "#1"],
  ["merge", "merge"],
] as const;

describe("shownUrl() of", () => {
  for (const [text, shown] of SHOWN) test(text, () => expect(shownUrl(text)).toBe(shown));
});
