import { describe, expect, test } from "bun:test";
import { messageOf } from "../../../src/ops/ui/readable_error.ts";

/** An error body → the sentence in it. */
const BODIES = [
  [`{"detail":"Workflow 'x' not found."}`, "Workflow 'x' not found."],
  [`{"detail":[{"loc":["body"]}]}`, `[{"loc":["body"]}]`],
  [`{"error":{"message":"Incorrect 密钥","type":"x"}}`, "Incorrect 密钥"],
  [`{"error":"plain"}`, "plain"],
  [`{"code":1,"message":"said"}`, "said"],
  [`{"other":1}`, null],
  [`null`, null],
  [`upstream is down`, "upstream is down"],
  [`<html><h1>502 Bad Gateway</h1></html>`, null],
  [` \n`, null],
] as const;

describe("messageOf()", () => {
  for (const [body, message] of BODIES) {
    test(`finds ${JSON.stringify(message)} in ${body}`, () => {
      expect(messageOf(body)).toBe(message);
    });
  }
});
