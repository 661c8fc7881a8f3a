import { describe, expect, test } from "bun:test";
import type { EditedFault } from "../../src/core/fault_plan.ts";
import { FAULT_NAMES } from "../../src/core/fault_plan.ts";
import { SseParser } from "../../src/lib/sse.ts";
import { edited, eventsOf, planned } from "./edited.ts";
import { SAMPLES } from "./fault_streams.ts";

/** What an event means: its name and its data. */
function meaningOf(text: string): readonly { readonly event: string; readonly data: unknown }[] {
  return new SseParser(1_000_000).feed(new TextEncoder().encode(text)).map(({ event, data }) => ({
    event: event === "message" ? "" : event,
    data: data.startsWith("{") ? JSON.parse(data) as unknown : data,
  }));
}

/** Ways to spell events. */
const SPELLINGS = [
  ...["all", "crlf", "cr", "bom", "comment", "event", "id", "retry", "lines"],
  ...["no-space", "no-end"],
];

for (const { dialect, edits, stream, last } of SAMPLES) {
  const has = (name: EditedFault) => edits[name]?.stream !== undefined;
  const events = eventsOf(stream);

  describe(dialect, () => {
    test("has each fault, or says why it has it not", () => {
      for (const name of Object.keys(edits) as EditedFault[]) {
        expect(FAULT_NAMES).toContain(name);
        const { stream, why } = edits[name]!;
        expect([name, stream === undefined]).toEqual([name, why !== undefined]);
      }
    });

    test("a fault changes something and says so, and nothing where there is nothing to change", () => {
      for (const name of (Object.keys(edits) as EditedFault[]).filter(has)) {
        const { text, hasHappened } = edited(edits, stream, name);
        expect([name, text !== stream, hasHappened]).toEqual([name, true, true]);
        const none = edited(edits, "", name);
        expect([name, none.text, none.hasHappened]).toEqual([name, "", false]);
      }
    });

    test("a place that never comes leaves every byte as it is", () => {
      for (const name of ["malformed", "dup", "reorder", "error-event", "filter"] as const) {
        if (!has(name)) continue;
        const { text, hasHappened } = edited(edits, stream, `${name}@event=99`);
        expect([name, text, hasHappened]).toEqual([name, stream, false]);
      }
    });

    test("malformed: one event's JSON breaks, and no other byte changes", () => {
      const { pieces } = edited(edits, stream, "malformed@event=1");
      const [broken] = pieces;
      expect(broken).not.toBe(events[0]!);
      expect(() => meaningOf(broken!)).toThrow();
      expect(pieces.slice(1).join("")).toBe(events.slice(1).join(""));
    });

    test("dup and reorder move whole events", () => {
      const [first, second, third] = events as [string, string, string];
      const rest = stream.slice(first.length + second.length + third.length);
      expect(edited(edits, stream, "dup").text).toBe(first + second + second + third + rest);
      expect(edited(edits, stream, "reorder").text).toBe(first + third + second + rest);
      const atEnd = edited(edits, stream, `reorder@event=${events.length}`);
      expect([atEnd.text, atEnd.hasHappened]).toEqual([stream, false]);
    });

    if (has("no-done")) {
      test("the end mark is absent, comes twice, or not last", () => {
        const before = stream.slice(0, -last.length);
        expect(before + last).toBe(stream);
        expect(edited(edits, stream, "no-done").text).toBe(before);
        expect(edited(edits, stream, "double-done").text).toBe(stream + last);
        const { text } = edited(edits, stream, "after-done");
        expect(text).toStartWith(stream);
        expect(events).toContain(text.slice(stream.length));
        expect(text.slice(stream.length)).not.toBe(last);
      });
    }

    if (has("error-event")) {
      test("an error is told behind an event, and nothing else", () => {
        const { text, isOver } = edited(
          edits,
          stream,
          'error-event@event=1;message="It is late, 晚"',
        );
        expect(isOver).toBe(true);
        expect(text).toStartWith(events[0]!);
        const [, error] = eventsOf(text);
        expect(error).toContain("It is late, 晚");
        expect(eventsOf(text).join("")).toBe(text);
      });
    }

    for (const spelling of SPELLINGS) {
      test(`framing: ${spelling} spells the same events`, () => {
        const { text, hasHappened } = edited(edits, stream, `framing;with=${spelling}`);
        expect(hasHappened).toBe(true);
        expect(text).not.toBe(stream);
        const isUnended = spelling === "no-end" || (spelling === "all" && last !== "");
        const told = meaningOf(stream);
        expect(meaningOf(text)).toEqual(isUnended ? told.slice(0, -1) : told);
        if (isUnended) expect(meaningOf(`${text}\n`)).toEqual(told);
      });
    }
  });
}

const WHOLES: Readonly<Record<string, string>> = {
  openai_chat: '{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},' +
    '"finish_reason":"stop"}],"n":12345678901234567890,"usage":{"total_tokens":1}}',
  openai_completions: '{"choices":[{"index":0,"text":"a","finish_reason":"stop"}],"usage":{"a":1}}',
  openai_responses:
    '{"status":"completed","output":[{"role":"assistant"}],"usage":{"a":1},"completed_at":1}',
  anthropic_messages: '{"role":"assistant","stop_reason":"end_turn","usage":{"a":1}}',
};

/** Dialect, fault → the whole answer with it: what is replaced by what. */
const WHOLE_CASES:
  readonly (readonly [dialect: string, fault: string, from: string, to: string])[] = [
    ["openai_chat", "malformed", "}}", "}"],
    ["openai_chat", "no-role", '"role":"assistant",', ""],
    ["openai_chat", "no-finish", '"stop"', "null"],
    ["openai_chat", "filter", '"stop"', '"content_filter"'],
    ["openai_chat", "usage-missing", ',"usage":{"total_tokens":1}', ""],
    ["openai_chat", "index-gap", '"index":0', '"index":1'],
    ["openai_completions", "filter", '"stop"', '"content_filter"'],
    ["openai_completions", "usage-missing", ',"usage":{"a":1}', ""],
    ["openai_responses", "no-role", '"role":"assistant"', ""],
    ["openai_responses", "usage-missing", '{"a":1}', "null"],
    ["anthropic_messages", "no-role", '"role":"assistant",', ""],
    ["anthropic_messages", "no-finish", '"end_turn"', "null"],
    ["anthropic_messages", "filter", '"end_turn"', '"refusal"'],
    ["anthropic_messages", "usage-missing", ',"usage":{"a":1}', ""],
  ];

describe("an answer in one piece", () => {
  for (const [dialect, written, from, to] of WHOLE_CASES) {
    test(`${dialect}: ${written}`, () => {
      const body = WHOLES[dialect]!;
      const { edits } = SAMPLES.find((sample) => sample.dialect === dialect)!;
      const fault = planned(written);
      const at = body.lastIndexOf(from);
      const wanted = body.slice(0, at) + to + body.slice(at + from.length);
      expect(edits[fault.name]!.whole!(body, fault, () => 0.5)).toBe(wanted);
      expect(edits[fault.name]!.whole!("no JSON", fault, () => 0.5)).toBe("no JSON");
    });
  }

  test("openai_responses: filter", () => {
    const { edits } = SAMPLES.find(({ dialect }) => dialect === "openai_responses")!;
    const text = edits.filter!.whole!(WHOLES["openai_responses"]!, planned("filter"), () => 0.5);
    expect(JSON.parse(text)).toEqual({
      status: "incomplete",
      output: [{ role: "assistant" }],
      usage: { a: 1 },
      completed_at: null,
      incomplete_details: { reason: "content_filter" },
    });
  });
});
