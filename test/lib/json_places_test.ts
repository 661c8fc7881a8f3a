import { expect, test } from "bun:test";
import { type JsonPlace, jsonPlaces } from "../../src/lib/json_places.ts";

/** Every key and value of `place` with what stands there in `text`. */
function told(place: JsonPlace, text: string): unknown {
  const { at, end, fields, items } = place;
  expect(JSON.parse(text.slice(at, end))).toBeDefined();
  if (fields !== undefined) {
    expect(text[at]).toBe("{");
    return fields.map(({ key, at, value }) => {
      expect(text.slice(at)).toStartWith('"');
      return [key, told(value, text)];
    });
  }
  if (items !== undefined) {
    expect(text[at]).toBe("[");
    return items.map((item) => told(item, text));
  }
  return text.slice(at, end);
}

/** JSON → its keys and its values as they are written. */
const CASES: readonly (readonly [text: string, places: unknown])[] = [
  ["{}", []],
  [" [ ] ", []],
  ['{"a":1,"a" : {"b":[true,null]}}', [["a", "1"], ["a", [["b", ["true", "null"]]]]]],
  ['["\\"]", "\\\\", "x{", -1.5e+3]', ['"\\"]"', '"\\\\"', '"x{"', "-1.5e+3"]],
  ['{\n\t"天\\u6c14": "😀" }', [["天气", '"😀"']]],
];

for (const [text, places] of CASES) {
  test(text, () => {
    JSON.parse(text);
    expect(told(jsonPlaces(text), text)).toEqual(places);
  });
}
