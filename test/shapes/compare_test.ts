import { expect, test } from "bun:test";
import { type Answered, differences, promptTokens } from "./compare.ts";

function whole(body: string, status = 200, contentType = "application/json"): Answered {
  return { status, contentType, body };
}

function stream(...events: readonly string[]): Answered {
  const body = events.map((data) => `data: ${data}\n\n`).join("");
  return { status: 200, contentType: "text/event-stream", body };
}

function chunk(index: number, delta: string, reason: string | null = null): string {
  return `{"id":"x-0123456789","choices":[{"index":${index},"delta":${delta},` +
    `"finish_reason":${JSON.stringify(reason)}}]}`;
}

const RAIN = '{"object":"weather","id":"rain_0123456789","mm":[1,2],"wind":1.0,"words":"wet"}';

/** what → recorded → answered → the difference; undefined = there is none. */
const CASES: readonly (readonly [string, Answered, Answered, string?])[] = [
  ["itself", whole(RAIN), whole(RAIN)],
  [
    "other words, ids and counts",
    whole(RAIN),
    whole(RAIN.replace("wet", "dry").replace("1,2", "7")),
  ],
  ["a status", whole(RAIN), whole(RAIN, 400), "status: recorded 200, answered 400"],
  ["a content type", whole(RAIN), whole(RAIN, 200, "text/html"), "content-type: recorded app"],
  ["a missing key", whole(RAIN), whole(RAIN.replace('"words"', '"word"')), ".words is missing"],
  ["a key too many", whole(RAIN), whole(RAIN.replace("}", ',"sun":0}')), ".sun is not in the"],
  [
    "another order",
    whole(RAIN),
    whole('{"id":"rain_0123456789","object":"weather","mm":[1,2],"wind":1.0,"words":"wet"}'),
    "body: . has the order id object mm wind words, recorded object id",
  ],
  [
    "another order of values that were parsed",
    whole('{"a":1,"b":{"c":2.0}}'),
    whole('{"b":{"c":2},"a":1}'),
  ],
  ["another type", whole(RAIN), whole(RAIN.replace('"wet"', "null")), ".words is null, recorded a"],
  [
    "another word of the API",
    whole(RAIN),
    whole(RAIN.replace("weather", "rain")),
    '.object is "rain"',
  ],
  [
    "an empty list",
    whole(RAIN),
    whole(RAIN.replace("1,2", "")),
    ".mm is an empty list, recorded a",
  ],
  ["a point lost", whole(RAIN), whole(RAIN.replace("1.0", "1")), ".wind is an integer"],
  [
    "an id's prefix",
    whole(RAIN),
    whole(RAIN.replace("rain_", "hail_")),
    "recorded an id rain_ of 15",
  ],
  ["an id's length", whole(RAIN), whole(RAIN.replace("789", "78")), "is an id rain_ of 14"],
  [
    "an indent",
    whole('{\n  "b": 1,\n  "a": 2\n}'),
    whole('{"b":1,"a":2}'),
    "layout: recorded an indent of 2",
  ],
  [
    "a vector's length",
    whole('{"embedding":[1,2]}'),
    whole('{"embedding":[1]}'),
    "a list of 1, recorded",
  ],
  [
    "arguments with blanks",
    whole('{"b":"{\\"c\\":1}","a":1}'),
    whole('{"b":"{\\"c\\": 1}","a":1}'),
    "JSON with",
  ],
  [
    "the indent of a body that was laid anew",
    { ...whole('{\n  "b": 1,\n  "a": 2\n}'), isRelaid: true },
    whole('{"b":1,"a":2}'),
  ],
  [
    "longer runs",
    stream(chunk(0, '{"a":"b"}'), "[DONE]"),
    stream(chunk(0, '{"a":"b"}'), chunk(0, '{"a":"c"}'), "[DONE]"),
  ],
  [
    "one call and two",
    stream(...["on", "go", "off"].map((type) => `{"type":"${type}","index":0}`)),
    stream(
      ...[0, 1].flatMap((i) =>
        ["on", "go", "go", "off"].map((type) => `{"type":"${type}","index":${i}}`)
      ),
    ),
  ],
  [
    "no end",
    stream("[DONE]", chunk(0, "{}")),
    stream(chunk(0, "{}")),
    "events: recorded [DONE] | choice 0",
  ],
  [
    "another order of events",
    stream(chunk(0, '{"a":"b"}'), chunk(0, "{}", "stop")),
    stream(chunk(0, "{}", "stop"), chunk(0, '{"a":"b"}')),
    "events: recorded choice 0 a → choice 0 end:stop, answered choice 0 end:stop → choice 0 a",
  ],
  [
    "choices that interleave in another way",
    stream(
      chunk(0, '{"a":"b"}'),
      chunk(1, '{"a":"b"}'),
      chunk(0, "{}", "stop"),
      chunk(1, "{}", "stop"),
    ),
    stream(
      chunk(0, '{"a":"b"}'),
      chunk(0, "{}", "stop"),
      chunk(1, '{"a":"b"}'),
      chunk(1, "{}", "stop"),
    ),
  ],
  [
    "a key that comes at the end of a run",
    stream('{"type":"go","b":1}', '{"type":"go","b":1}'),
    stream('{"type":"go","b":1}', '{"type":"go","b":1,"c":1}'),
    "go: .c is not in the recording",
  ],
  [
    "the place of a ping",
    stream('{"type":"ping"}', '{"type":"go"}'),
    stream('{"type":"go"}', '{"type":"ping"}'),
  ],
];

for (const [what, recorded, answered, difference] of CASES) {
  test(`differences(): ${what}`, () => {
    const lines = differences(recorded, answered);
    if (difference === undefined) expect(lines).toEqual([]);
    else expect(lines.join("\n")).toContain(difference);
  });
}

test("promptTokens() reads whole answers, streams and responses", () => {
  expect(promptTokens('{"usage":{"prompt_tokens":7}}')).toBe(7);
  expect(promptTokens(stream('{"usage":null}', '{"usage":{"prompt_tokens":8}}').body)).toBe(8);
  expect(promptTokens(stream('{"response":{"usage":{"input_tokens":9}}}').body)).toBe(9);
  expect(promptTokens("{}")).toBeNull();
});
