import { describe, expect, test } from "bun:test";
import { checkDepth, JSON_DEPTH_MAX } from "../../src/core/depth.ts";
import { AppError } from "../../src/core/errors.ts";

describe("checkDepth()", () => {
  for (
    const [name, open, close] of [["lists", "[", "]"], ["objects", '{"a":', "}"]] as const
  ) {
    const text = (depth: number) => open.repeat(depth) + "1" + close.repeat(depth);
    test(`lets ${JSON_DEPTH_MAX} ${name} inside one another through, and no more`, () => {
      const check = (depth: number) => checkDepth(text(depth), JSON.parse(text(depth)), "It");
      expect(() => check(JSON_DEPTH_MAX)).not.toThrow();
      expect(() => check(JSON_DEPTH_MAX + 1)).toThrow(
        new AppError("request_invalid", "It nests deeper than 100 levels"),
      );
    });
  }
});
