import { describe, expect, test } from "bun:test";
import { parseTraceparent, traceparent, traceState } from "../../src/lib/trace_context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

describe("parseTraceparent()", () => {
  const CASES: readonly (readonly [header: string | null, isSampled: boolean | undefined])[] = [
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    [`00-${TRACE}-${SPAN}-03`, true],
    [`01-${TRACE}-${SPAN}-01-of-a-later-version`, true],
    [`00-${TRACE}-${SPAN}-01-more`, undefined],
    [`ff-${TRACE}-${SPAN}-01`, undefined],
    [`00-${"0".repeat(32)}-${SPAN}-01`, undefined],
    [`00-${TRACE}-${"0".repeat(16)}-01`, undefined],
    [`00-${TRACE.toUpperCase()}-${SPAN}-01`, undefined],
    [`00-${TRACE.slice(1)}-${SPAN}-01`, undefined],
    [` 00-${TRACE}-${SPAN}-01`, undefined],
    ["", undefined],
    [null, undefined],
  ];
  for (const [header, isSampled] of CASES) {
    test(`${JSON.stringify(header)} → ${isSampled ?? "none"}`, () => {
      const expected = isSampled === undefined
        ? undefined
        : { traceId: TRACE, spanId: SPAN, isSampled };
      expect(parseTraceparent(header)).toEqual(expected);
    });
  }
});

test("traceparent() says the same trace to the next hop, with the span below", () => {
  const context = {
    traceId: TRACE,
    parentId: "",
    spanId: SPAN,
    makeSpanId: () => "",
    isSampled: true,
    state: "",
  };
  expect(traceparent(context, "00f067aa0ba902b7")).toBe(`00-${TRACE}-00f067aa0ba902b7-01`);
  const quiet = traceparent({ ...context, isSampled: false }, SPAN);
  expect(parseTraceparent(quiet)).toEqual({ traceId: TRACE, spanId: SPAN, isSampled: false });
});

test("traceState() passes a short one on as it is", () => {
  expect(traceState("vendor=1")).toBe("vendor=1");
  expect(traceState("x".repeat(513))).toBe("");
  expect(traceState(null)).toBe("");
});
