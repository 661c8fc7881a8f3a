import { expect, test } from "bun:test";
import { bodyChange } from "../../../src/load/audit/refusals.ts";

const SAID = '{"error":{"message":"Nö","type":"t","param":null,"code":"c"}}';

const CASES: readonly (readonly [came: string, verdict: "fail" | "note" | undefined, string?])[] = [
  [SAID, undefined],
  [
    '{ "error": {"code":"c","param":null,"type":"t","message":"N\\u00f6"} }',
    "note",
    "the same values, written anew",
  ],
  [
    '{"error":{"message":"Nö","type":"t","code":"c"}}',
    "note",
    "error.param: nothing instead of null",
  ],
  [
    '{"error":{"message":"Nö","type":"t","param":null,"code":"c"},"id":1}',
    "note",
    "id: 1 instead of nothing",
  ],
  [
    '{"detail":[{"message":"Nö","code":"c"}]}',
    "note",
    "in an envelope of the gateway's own, as detail.0",
  ],
  ['{"message":"Nö","code":"c"}', "note", "in an envelope of the gateway's own, as its body"],
  [
    '{"error":{"message":"Nö","param":null,"code":"c"}}',
    "fail",
    'error.type: nothing instead of "t"',
  ],
  [
    '{"error":{"message":"Nö","type":"t","param":"p","code":"c"}}',
    "fail",
    'error.param: "p" instead of null',
  ],
  [
    '{"error":{"message":"up: Nö","type":"t","param":null,"code":"c"}}',
    "fail",
    'error.message: "up: Nö" instead of "Nö"',
  ],
  [
    '{"error":{"message":"N?","type":"t","param":null,"code":"c"}}',
    "fail",
    'error.message: "N?" instead of "Nö" (U+003F instead of U+00F6)',
  ],
  ['{"error":"Nö"}', "fail"],
  ["Nö", "fail", "a body that is no JSON"],
  ["null", "fail"],
  ["", "fail", "no body"],
];

for (const [came, verdict, text] of CASES) {
  test(`an error that comes as ${came} is ${verdict ?? "the same"}`, () => {
    const change = bodyChange(SAID, came);
    expect(change?.verdict).toBe(verdict);
    if (text !== undefined) expect(change?.text).toBe(text);
  });
}
