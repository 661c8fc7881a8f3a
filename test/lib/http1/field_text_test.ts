import { expect, test } from "bun:test";
import { fieldText } from "../../../src/lib/http1/field_text.ts";

test("fieldText() reads UTF-8 as such, and anything else as it stands", () => {
  for (const text of ["", "plain", "晴 🌊"]) {
    expect(fieldText(Buffer.from(text).toString("latin1"))).toBe(text);
  }
  for (const text of ["é", "\u00e6\u0099"]) expect(fieldText(text)).toBe(text);
});
