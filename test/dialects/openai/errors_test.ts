import { describe, expect, test } from "bun:test";
import { APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { AppError, ERRORS } from "../../../src/core/errors.ts";
import {
  bodyTooLarge,
  brokenJson,
  errorAnswer,
  errorEvent,
  invalidUrl,
  methodRefused,
  modelAbsent,
  modelNotListed,
  noKey,
  onlyPost,
  wrongKey,
} from "../../../src/dialects/openai/errors.ts";
import { HeaderBlock } from "../../../src/lib/http1/header_block.ts";

const ID = "req_0123456789abcdef0123456789abcdef";

/** The answer as a response. */
function errorResponse(...given: Parameters<typeof errorAnswer>): Response {
  const { status, headers, body } = errorAnswer(...given);
  if (headers instanceof HeaderBlock) throw new TypeError("They are laid already");
  return new Response(body as string, { status, headers });
}

/** Body bytes in the front's layout. */
function front(message: string, param: string, code: string): string {
  return `{\n    "error": {\n        "message": ${JSON.stringify(message)},\n` +
    `        "type": "invalid_request_error",\n        "param": ${param},\n` +
    `        "code": ${code}\n    }\n}\n`;
}

/** Body bytes in the layout of everything else. */
function behind(message: string, param: string, code: string): string {
  return `{\n  "error": {\n    "message": ${JSON.stringify(message)},\n` +
    `    "type": "invalid_request_error",\n    "param": ${param},\n    "code": ${code}\n  }\n}`;
}

const BYTES: readonly (readonly [name: string, error: AppError, status: number, body: string])[] = [
  [
    "noKey()",
    noKey(),
    401,
    front(
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the API from your browser and are prompted for a username and password. You can obtain an API key from https://platform.openai.com/account/api-keys.",
      "null",
      "null",
    ),
  ],
  [
    "wrongKey()",
    wrongKey("ai"),
    401,
    front(
      "Incorrect API key provided: ai. You can find your API key at https://platform.openai.com/account/api-keys.",
      "null",
      '"invalid_api_key"',
    ),
  ],
  [
    "brokenJson()",
    brokenJson(),
    400,
    front(
      "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)",
      "null",
      "null",
    ),
  ],
  [
    "modelNotListed()",
    modelNotListed("gpt-9"),
    404,
    front("The model 'gpt-9' does not exist", '"model"', '"model_not_found"'),
  ],
  [
    "invalidUrl()",
    invalidUrl("POST", "/v1/chat/completions/chat/completions"),
    404,
    front("Invalid URL (POST /v1/chat/completions/chat/completions)", "null", "null"),
  ],
  [
    "modelAbsent()",
    modelAbsent(),
    400,
    behind("you must provide a model parameter", "null", "null"),
  ],
  [
    "onlyPost()",
    onlyPost(),
    405,
    behind("Only POST requests are accepted.", "null", '"method_not_supported"'),
  ],
  [
    "methodRefused()",
    methodRefused("POST", "/v1/models", "GET, HEAD"),
    405,
    behind(
      "Not allowed to POST on /v1/models. (HINT: Perhaps you meant to use a different HTTP method?)",
      "null",
      "null",
    ),
  ],
  [
    "bodyTooLarge()",
    bodyTooLarge(1024),
    413,
    behind(
      "The request body is larger than 1024 bytes. Send a smaller one, or raise server.body_max_bytes.",
      "null",
      '"body_too_large"',
    ),
  ],
  [
    "any other error",
    new AppError("param_type", "Wrong „é“ 你好 😀.", { param: "messages[0].role" }),
    400,
    behind("Wrong „é“ 你好 😀.", '"messages[0].role"', '"invalid_type"'),
  ],
];

describe("errorAnswer()", () => {
  for (const [name, error, status, body] of BYTES) {
    test(`gives ${name} its status and exact bytes`, async () => {
      const response = errorResponse(error, ID);
      expect(response.status).toBe(status);
      expect(await response.text()).toBe(body);
    });
  }

  test("gives a 400 the headers of a model", () => {
    const error = new AppError("param_type", "No.");
    expect(Object.fromEntries(errorResponse(error, ID, 12.6).headers)).toEqual({
      "content-type": "application/json",
      "openai-version": "2020-10-01",
      "openai-processing-ms": "13",
      "access-control-expose-headers": "X-Request-ID",
      "access-control-allow-origin": "*",
      "x-request-id": ID,
    });
  });

  for (const error of [noKey(), wrongKey("k"), brokenJson(), modelNotListed("m")]) {
    test(`gives ${error.code} the headers of the front`, () => {
      expect(Object.fromEntries(errorResponse(error, ID).headers)).toEqual({
        "content-type": "application/json; charset=utf-8",
        "vary": "Origin",
        "access-control-allow-origin": "*",
        "x-request-id": ID,
      });
    });
  }

  test("adds the error's own headers", () => {
    expect(errorResponse(onlyPost(), ID).headers.get("allow")).toBe("POST");
    expect(errorResponse(methodRefused("PUT", "/x", "GET"), ID).headers.get("allow")).toBe("GET");
    const busy = new AppError("too_many", "Later.", { headers: { "retry-after": "3" } });
    expect(errorResponse(busy, ID).headers.get("retry-after")).toBe("3");
    expect(errorResponse(busy, ID).status).toBe(429);
  });

  test("keeps the status of an upstream", () => {
    const error = new AppError("upstream_refused", "No.", { status: 529 });
    expect(errorResponse(error, ID).status).toBe(529);
  });

  for (const code of Object.keys(ERRORS) as (keyof typeof ERRORS)[]) {
    test(`speaks ${code} with four keys in order`, async () => {
      const text = await errorResponse(new AppError(code, "m"), ID).text();
      const { error } = JSON.parse(text);
      expect(Object.keys(error)).toEqual(["message", "type", "param", "code"]);
      expect(error.type).toBe(ERRORS[code].type);
      expect(error.code).toBe(ERRORS[code].apiCode);
    });
  }

  const CLASSES = [
    [noKey(), AuthenticationError],
    [brokenJson(), BadRequestError],
    [modelNotListed("m"), NotFoundError],
  ] as const;
  for (const [error, Class] of CLASSES) {
    test(`is ${Class.name} to the official client`, async () => {
      const response = errorResponse(error, ID);
      const body = JSON.parse(await response.text());
      const seen = APIError.generate(response.status, body, undefined, response.headers);
      expect(seen).toBeInstanceOf(Class);
      expect(seen.requestID).toBe(ID);
      expect(seen.message).toBe(`${error.status} ${error.message}`);
    });
  }
});

describe("errorEvent()", () => {
  test("is one compact event with no end mark", () => {
    const error = new AppError("internal", 'Sorry "你好"\nabout that!');
    expect(errorEvent(error)).toBe(
      'data: {"error":{"message":"Sorry \\"你好\\"\\nabout that!","type":"server_error","param":null,"code":null}}\n\n',
    );
  });
});

describe("wrongKey()", () => {
  const LONG = `sk-proj-${"x".repeat(148)}wxyz`;
  const CASES: readonly (readonly [key: string, shown: string, secrets?: readonly string[]])[] = [
    ["ai", "ai"],
    ["kk", "kk"],
    ["none", "none"],
    ["dummy", "du***"],
    ["123456789012", "12**********"],
    ["1234567890123", "12345678*0123"],
    ["your-api-key-here", "your-api*****here"],
    [LONG, `sk-proj-${"*".repeat(148)}wxyz`],
    ["sk-VKMIs0123456789wjh3", "sk-VKMIs**********wjh3"],
    ["x".repeat(10_000), `xxxxxxxx${"*".repeat(256)}xxxx`],
    // What is shown never holds one of weir's own keys.
    ["hunter22 and more", "*****************", ["hunter22"]],
    ["a long wrong key abcd", "*********************", ["", "abcd"]],
    ["ab", "**", ["a"]],
    ["another-wrong-key", "another-*****-key", ["", "right-key-of-weir"]],
  ];
  for (const [key, shown, secrets] of CASES) {
    test(`shows ${key.slice(0, 30)} as ${shown.slice(0, 30)}, keys ${secrets ?? []}`, () => {
      expect(wrongKey(key, secrets).message).toBe(
        `Incorrect API key provided: ${shown}. You can find your API key at https://platform.openai.com/account/api-keys.`,
      );
    });
  }
});

describe("names and paths in errors", () => {
  test("are cut when they are long", () => {
    const long = "😀".repeat(10_000);
    for (const error of [modelNotListed(long), invalidUrl("GET", long)]) {
      expect(error.message.length).toBeLessThan(700);
      expect(error.message.isWellFormed()).toBe(true);
    }
  });
});
