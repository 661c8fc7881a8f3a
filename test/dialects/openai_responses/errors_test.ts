import { describe, expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import { errorEvents } from "../../../src/dialects/openai_responses/errors.ts";
import { eventsOf } from "./event_rules.ts";

const ERROR = new AppError("upstream_timeout", 'too slow: 水 "quoted"', { param: "x" });
const FIRST = 'event: response.created\ndata: {"type":"response.created","response":{"id":' +
  '"resp_0123","object":"response","created_at":1776481268,"status":"in_progress","instructions":' +
  '"say \\"model\\":\\"no\\",\\"sequence_number\\":99","model":"gpt-5-2025-08-07"},' +
  '"sequence_number":0}\n\n';

describe("errorEvents() goes on from what was sent", () => {
  const rows = [
    ["the first event alone", FIRST, FIRST.slice(-300), 1, "gpt-5-2025-08-07"],
    [
      "a later one",
      FIRST,
      `${FIRST.slice(-100)}data: {"sequence_number":41,"a":1}\n\n`,
      42,
      "gpt-5-2025-08-07",
    ],
    [
      "one that was cut",
      FIRST,
      'data: {"sequence_number":41}\n\ndata: {"sequence_nu',
      42,
      "gpt-5-2025-08-07",
    ],
    ["a last event whose number is out of sight", FIRST, "x".repeat(1024), 1, "gpt-5-2025-08-07"],
    ["a first event that was cut", FIRST.slice(0, 150), FIRST.slice(0, 150), 0, ""],
    ["nothing", "", "", 0, ""],
  ] as const;
  for (const [name, first, last, number, model] of rows) {
    test(name, () => {
      const [error, failed, ...more] = eventsOf(errorEvents(ERROR, { first, last }));
      expect(more).toEqual([]);
      expect(error).toEqual({
        type: "error",
        error: {
          type: "server_error",
          code: "upstream_timeout",
          message: 'too slow: 水 "quoted"',
          param: "x",
        },
        sequence_number: number,
      });
      const isKnown = first !== "";
      expect(failed).toMatchObject({
        type: "response.failed",
        sequence_number: number + 1,
        response: {
          id: isKnown ? "resp_0123" : "",
          created_at: isKnown ? 1776481268 : 0,
          status: "failed",
          error: { code: "upstream_timeout", message: 'too slow: 水 "quoted"' },
          model,
          usage: null,
        },
      });
    });
  }
});
