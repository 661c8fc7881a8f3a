import { describe, expect, test } from "bun:test";
import { Attachment } from "../../../src/core/workflow.ts";
import { withFormInput } from "../../../src/surfaces/model_compose/form_input.ts";

const PHOTO = new Attachment(Uint8Array.of(1), "image/png", "a.png");
const VOICE = new Attachment(Uint8Array.of(2), "audio/mp3", "b.mp3");

function json(text: string): Attachment {
  return new Attachment(new TextEncoder().encode(text), "application/json; charset=utf-8", "blob");
}

describe("withFormInput", () => {
  for (
    const [fields, input] of [
      [{ input: '{"prompt":"值","n":1}' }, { prompt: "值", n: 1 }],
      [{ input: ' [1,"a"]' }, [1, "a"]],
      [{ input: json('{"a":1}') }, { a: 1 }],
      [{ input: json("5") }, 5],
      [{ input: "hello" }, "hello"],
      [{ input: { prompt: '{"no":1}' } }, { prompt: '{"no":1}' }],
      [{}, undefined],
      [{ input: PHOTO }, PHOTO],
      [{ input: '{"a":"@photo"}', photo: PHOTO }, { a: PHOTO }],
      [
        { input: '{"l":["@photo",{"v":"@voice"},"@photo"]}', photo: PHOTO, voice: VOICE },
        { l: [PHOTO, { v: VOICE }, PHOTO] },
      ],
      [{ input: { a: "@photo" }, photo: PHOTO }, { a: PHOTO }],
      [{ input: "@photo", photo: PHOTO }, PHOTO],
      // Neither a file of the form, nor one of the server's disk.
      [{ input: '{"a":"@alice","b":"/etc/passwd","c":"@/etc/passwd"}' }, {
        a: "@alice",
        b: "/etc/passwd",
        c: "@/etc/passwd",
      }],
      [{ input: '{"a":"@note"}', note: "a text" }, { a: "@note" }],
    ] as const
  ) {
    test(`gives ${JSON.stringify(input)} for ${JSON.stringify(fields)}`, () => {
      const run = { ...fields, output_only: "true" };
      expect(withFormInput(run)).toEqual({ ...run, input });
    });
  }

  for (
    const [fields, message] of [
      [{ input: '{"a":1' }, "Invalid request body: input is no JSON: "],
      [{ input: json("nope") }, "Invalid request body: input is no JSON: "],
      [{ input: '{"a":"photo"}', photo: PHOTO }, 'nothing refers to the file "photo": send it as'],
    ] as const
  ) {
    test(`refuses ${JSON.stringify(fields)}`, () => {
      expect(() => withFormInput(fields)).toThrow(message);
    });
  }
});
