import { describe, expect, test } from "bun:test";
import { checkDepth, checkSize, JSON_DEPTH_MAX, JSON_FIELDS_MAX } from "../../src/core/depth.ts";
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

describe("checkSize()", () => {
  const blanks = " ".repeat(70_000);
  const fields = (count: number) =>
    `{${Array.from({ length: count }, (_, i) => `"${i * 1013}":1`).join(",")}}${blanks}`;
  const TOO_MANY = new AppError(
    "object_too_large",
    "It has an object of more than 10000 fields: send fewer",
  );
  test(`lets an object of ${JSON_FIELDS_MAX} fields through, and no more`, () => {
    expect(() => checkSize(fields(JSON_FIELDS_MAX), "It")).not.toThrow();
    expect(() => checkSize(fields(JSON_FIELDS_MAX + 1), "It")).toThrow(TOO_MANY);
    expect(() => checkSize(`[[{"a":${fields(JSON_FIELDS_MAX + 1)}}]]`, "It")).toThrow(TOO_MANY);
  });

  test("tells a long text that nests too deep", () => {
    const text = (depth: number) => "[".repeat(depth) + "1" + "]".repeat(depth) + blanks;
    expect(() => checkSize(text(JSON_DEPTH_MAX), "It")).not.toThrow();
    expect(() => checkSize(text(JSON_DEPTH_MAX + 1), "It")).toThrow(
      new AppError("request_invalid", "It nests deeper than 100 levels"),
    );
  });

  test("takes many objects of a few fields for what they are", () => {
    const many = JSON.stringify(Array.from({ length: 20_000 }, () => ({ role: "user", a: "{" })));
    expect(() => checkSize(many)).not.toThrow();
  });
});
