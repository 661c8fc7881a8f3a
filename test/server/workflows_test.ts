import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SseParser } from "../../src/lib/sse.ts";
import { launch, rawExchange, rawPost, waitFor, type Weir } from "./launch.ts";
import { type Aimock, PROMPT, startAimock, systemFile } from "./workflows_rig.ts";

const CONTENT = "机器学习：让电脑\n从例子里学 😀。";
const README_BODY = { input: { prompt: PROMPT, temperature: 0.7 } };
const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

function post(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });
}

async function statusAt(url: string): Promise<string> {
  return (await (await fetch(url)).json() as { status: string }).status;
}

/** The events' data of a whole SSE text. */
function dataOf(text: string): readonly string[] {
  return new SseParser(1 << 20).feed(new TextEncoder().encode(text)).map(({ data }) => data);
}

/** What a documented client of model-compose makes of the bytes: data lines, joined as they are. */
function naiveText(text: string): string {
  return text.split("\n").filter((line) => line.startsWith("data: "))
    .map((line) => line.substring(6)).join("");
}

describe("model-compose's file, as it stands", () => {
  let aimock: Aimock;
  let upstreamWeir: Weir;
  let keySeen: string[] = [];
  /** Passes to aimock and notes the key. */
  const spy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      keySeen.push(request.headers.get("authorization") ?? "");
      const body = await request.json() as Record<string, unknown>;
      spyBodies.push(body);
      return await fetch(`${aimock.url}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    },
  });
  const spyBodies: Record<string, unknown>[] = [];

  beforeAll(async () => {
    [aimock, upstreamWeir] = await Promise.all([
      startAimock(CONTENT),
      launch({ set: { "mock.reply": CONTENT, "mock.delay_ms": 1 } }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([aimock.stop(), upstreamWeir.stop(), spy.stop(true)]);
  });

  for (const name of ["model-compose.yml", "model-compose.nested.yml"]) {
    test(`${name} streams aimock's answer to the README's curl`, async () => {
      keySeen = [];
      spyBodies.length = 0;
      const weir = await launch({
        files: {
          "model-compose.yml": systemFile(`http://127.0.0.1:${spy.port}`, name),
          ".env": "OPENAI_API_KEY=sk-from-dotenv\n",
        },
      });
      try {
        const response = await post(`${weir.url}/api/workflows/runs`, README_BODY);
        expect(response.status).toBe(200);
        expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
        expect(response.headers.get("cache-control")).toBe("no-cache");
        const text = await response.text();
        expect(text).toStartWith("data: \n\n"); // the first delta is empty
        expect(text).toContain("data: \ndata: 从例子\n\n"); // a line end within a delta
        expect(dataOf(text).join("")).toBe(CONTENT);
        expect(naiveText(text)).toBe(CONTENT.replace("\n", ""));
        expect(text).not.toContain("[DONE]");
        expect(keySeen).toEqual(["Bearer sk-from-dotenv"]);
        expect(spyBodies).toEqual([{
          model: "gpt-4o",
          messages: [{ role: "user", content: PROMPT }],
          temperature: 0.7,
          stream: true,
        }]);
      } finally {
        await weir.stop();
      }
    });
  }

  test("streams weir's own answer, with -e for the key and base_path beside /api", async () => {
    const weir = await launch({
      files: {
        "model-compose.yml": systemFile(`${upstreamWeir.url}/v1`).replace("/api", "/my/base"),
      },
      args: ["-e", "OPENAI_API_KEY=sk-flag"],
    });
    try {
      for (const base of ["/api", "/my/base"]) {
        const response = await post(`${weir.url}${base}/workflows/runs`, README_BODY);
        expect(dataOf(await response.text()).join(""), base).toBe(CONTENT);
        expect((await fetch(`${weir.url}${base}/health`)).status).toBe(200);
      }
      expect((await post(`${weir.url}/workflows/runs`, README_BODY)).status).toBe(404);
    } finally {
      await weir.stop();
    }
  });

  test("streams sse-json when the file says so", async () => {
    const weir = await launch({
      files: {
        "model-compose.yml": systemFile(aimock.url).replace("text;sse-text", "json;sse-json"),
      },
      env: { OPENAI_API_KEY: "sk" },
    });
    try {
      const text = await (await post(`${weir.url}/api/workflows/runs`, README_BODY)).text();
      expect(text).toStartWith('data: ""\n\ndata: "机器学习"\n\n');
      expect(text).toContain('data: "\\n从例子"\n\n');
      expect(dataOf(text).map((data) => JSON.parse(data) as string).join("")).toBe(CONTENT);
    } finally {
      await weir.stop();
    }
  });

  test("says what to set when the key is missing or empty", async () => {
    const files = { "model-compose.yml": systemFile("https://api.openai.com/v1") };
    await expect(launch({ files })).rejects.toThrow(
      "model-compose.yml:21:27: Environment variable 'OPENAI_API_KEY' is not set",
    );
    const weir = await launch({ files, env: { OPENAI_API_KEY: "" } });
    try {
      const response = await post(`${weir.url}/api/workflows/runs`, {
        ...README_BODY,
        output_only: true,
      });
      expect(response.status).toBe(500);
      expect(await response.json()).toEqual({
        detail: "Cannot call api.openai.com without a key: " +
          "set OPENAI_API_KEY in the environment or in .env",
      });
    } finally {
      await weir.stop();
    }
  });
});

describe("the workflow API", () => {
  let weir: Weir;
  let openStreams = 0;
  let gate = Promise.withResolvers<void>();
  const encoder = new TextEncoder();

  /** Answers what the path says. */
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      switch (pathname) {
        case "/json":
          return Response.json({ text: "值", n: 1 });
        case "/nil":
          return Response.json(null);
        case "/file":
          return new Response(Uint8Array.of(1, 0, 255), {
            headers: {
              "content-type": "image/png",
              "content-disposition": 'attachment; filename="a b.png"',
            },
          });
        case "/echo":
          return new Response(await request.text(), {
            headers: { "content-type": "application/json" },
          });
        case "/error-event":
          return new Response('data: {"error":{"message":"over quota"}}\n\n', {
            headers: { "content-type": "text/event-stream" },
          });
        case "/fail":
          return Response.json({ error: "坏" }, { status: 418 });
        case "/wait":
          openStreams++;
          request.signal.addEventListener("abort", () => gate.resolve());
          await gate.promise;
          openStreams--;
          return Response.json("done");
        case "/chunks":
          return new Response(
            ['"Hello"', '" world"', '""', '"a\\nb"', '"\\n"', '{"k":"值"}', "42", "true", "null"]
              .map((data) => `data: ${data}\n\n`).join(""),
            { headers: { "content-type": "text/event-stream" } },
          );
        case "/empty-stream":
          return new Response("data: [DONE]\n\n", {
            headers: { "content-type": "text/event-stream" },
          });
        case "/no-event":
          return new Response("", { headers: { "content-type": "text/event-stream" } });
        case "/slow":
          openStreams++;
          return new Response(
            new ReadableStream({
              start: (controller) => controller.enqueue(encoder.encode('data: "first"\n\n')),
              cancel: () => void openStreams--,
            }),
            { headers: { "content-type": "text/event-stream" } },
          );
        default:
          return new Response("what?", { status: 404 });
      }
    },
  });

  /** Says one event and drops the connection in the middle of its body. */
  const cutter = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        const event = 'data: "first"\n\n';
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
            `${event.length.toString(16)}\r\n${event}\r\n`,
        );
        setTimeout(() => socket.terminate(), 20);
      },
    },
  });

  function workflow(id: string, action: string, keys = ""): string {
    return `  - {id: ${id}, title: 标题 ${id}, job: {action: ${action}${keys}}}\n`;
  }

  const FILE = `controller: {type: http-server}
workflows:
${
    [
      "json",
      "nil",
      "file",
      "fail",
      "wait",
      "empty-stream",
      "no-event",
      "slow",
      "cut",
      "no-stream",
      "doc",
      "error-event",
    ]
      .map((id) => workflow(id, id)).join("")
  }${workflow("echo", "echo").replace("{id: echo", "{default: true, id: echo")}${
    workflow("text", "chunks", ', output: "${output as sse-text}"')
  }${workflow("data", "chunks", ', output: "${output as stream/json}"')}${
    workflow("bare", "chunks")
  }${workflow("one", "json", ', output: "${output.text as sse-text}"')}
component:
  type: http-client
  base_url: http://127.0.0.1:${upstream.port}
  actions:
${
    ["json", "nil", "file", "fail", "wait", "no-event"]
      .map((id) => `  - {id: ${id}, path: /${id}}\n`).join("")
  }  - {id: echo, path: /echo, body: "\${input}"}
  - {id: chunks, path: /chunks, stream_format: json, output: "\${response[]}"}
  - {id: empty-stream, path: /empty-stream, stream_format: json, output: "\${response[]}"}
  - {id: slow, path: /slow, stream_format: json, output: "\${response[]}"}
  - {id: no-stream, path: /json, stream_format: json, output: "\${response[].x}"}
  - {id: error-event, path: /error-event, stream_format: json, output: "\${response[].x}"}
  - {id: doc, path: /echo, body: {doc: "\${input.doc as file}"}}
  - {id: cut, endpoint: "http://127.0.0.1:${cutter.port}/", stream_format: json, output: "\${response[]}"}
`;

  beforeAll(async () => {
    weir = await launch({ files: { "model-compose.yaml": FILE } });
  });
  afterAll(async () => {
    cutter.stop(true);
    await Promise.all([weir.stop(), upstream.stop(true)]);
  });

  async function runs(body: unknown, init: RequestInit = {}) {
    const response = await post(`${weir.url}/api/workflows/runs`, body, init);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  }

  const ERROR_418 = 'Request failed with status 418\nURL: /fail\nResponse: {\n  "error": "坏"\n}';

  /**
   * The answers of a run (docs/facts/systems.md "Answer of a run"), row by row: name, body, status,
   * the exact JSON.
   */
  const MATRIX: readonly (readonly [string, unknown, number, unknown])[] = [
    ["state", { workflow_id: "json" }, 200, {
      task_id: expect.stringMatching(ULID),
      status: "completed",
      output: { text: "值", n: 1 },
    }],
    ["state, output_only false", { workflow_id: "json", output_only: false }, 200, {
      task_id: expect.stringMatching(ULID),
      status: "completed",
      output: { text: "值", n: 1 },
    }],
    ["state without an output", { workflow_id: "nil" }, 200, {
      task_id: expect.stringMatching(ULID),
      status: "completed",
    }],
    ["a failed state", { workflow_id: "fail" }, 200, {
      task_id: expect.stringMatching(ULID),
      status: "failed",
      error: ERROR_418,
    }],
    ["the bare output", { workflow_id: "json", output_only: true }, 200, { text: "值", n: 1 }],
    ["a bare null", { workflow_id: "nil", output_only: true }, 200, null],
    ["a failure", { workflow_id: "fail", output_only: true }, 500, { detail: ERROR_418 }],
    ["the default workflow", { input: { a: ["值"] }, output_only: true }, 200, { a: ["值"] }],
    [
      "the default workflow by name",
      { workflow_id: "__default__", input: 5, output_only: true },
      200,
      5,
    ],
    ["a stream with output_only false", { workflow_id: "text", output_only: false }, 400, {
      detail: "Streaming output is only allowed when output_only=true.",
    }],
    ["an unknown workflow", { workflow_id: "nope" }, 404, { detail: "Workflow 'nope' not found." }],
    ["output_only without waiting", { wait_for_completion: false, output_only: true }, 400, {
      detail: "output_only=true requires wait_for_completion=true.",
    }],
    ["no waiting", { workflow_id: "json", wait_for_completion: false }, 200, {
      task_id: expect.stringMatching(ULID),
      status: "pending",
    }],
    ["a file in its state", { workflow_id: "file" }, 200, {
      task_id: expect.stringMatching(ULID),
      status: "completed",
      output: "AQD/",
    }],
    ["a body that is no JSON", "{", 400, {
      detail: expect.stringMatching(/^Invalid request body: /),
    }],
    ["a body that is no object", "[]", 400, {
      detail: "Invalid request body: it must be an object",
    }],
    ["a wrong workflow_id", { workflow_id: 5 }, 400, {
      detail: "Invalid request body: workflow_id must be a string",
    }],
    ["a wrong flag", { output_only: "maybe" }, 400, {
      detail: "Invalid request body: output_only must be true or false",
    }],
    ["deep nesting", `{"input":${"[".repeat(500)}${"]".repeat(500)}}`, 400, {
      detail: "Invalid request body: it nests deeper than 100 levels",
    }],
    ["very deep nesting", `{"input":${"[".repeat(200_000)}`, 400, {
      detail: expect.stringMatching(/^Invalid request body: /),
    }],
    [
      "the key __proto__",
      '{"input":{"__proto__":{"x":1}},"output_only":true}',
      200,
      JSON.parse('{"__proto__":{"x":1}}'),
    ],
  ];

  for (const [name, body, status, expected] of MATRIX) {
    test(`answers ${status} for ${name}`, async () => {
      const answer = await runs(body);
      expect(JSON.parse(answer.text)).toEqual(expected);
      expect(answer.status).toBe(status);
      expect(answer.headers.get("content-type")).toBe("application/json");
    });
  }

  const TEXT_BYTES =
    "data: Hello\n\ndata:  world\n\ndata: \n\ndata: a\ndata: b\n\ndata: \ndata: \n\n" +
    'data: {"k":"值"}\n\ndata: 42\n\ndata: True\n\n';
  const JSON_BYTES = 'data: "Hello"\n\ndata: " world"\n\ndata: ""\n\ndata: "a\\nb"\n\n' +
    'data: "\\n"\n\ndata: {"k":"值"}\n\ndata: 42\n\ndata: true\n\n';

  for (
    const [name, body, bytes] of [
      ["sse-text", { workflow_id: "text", output_only: true }, TEXT_BYTES],
      ["sse-text without output_only", { workflow_id: "text" }, TEXT_BYTES],
      ["sse-json", { workflow_id: "data" }, JSON_BYTES],
      ["a stream that nobody marked", { workflow_id: "bare" }, TEXT_BYTES],
      ["one value as sse-text", { workflow_id: "one" }, "data: 值\n\n"],
      ["a stream without a chunk", { workflow_id: "empty-stream", output_only: true }, ""],
    ] as const
  ) {
    test(`writes the bytes of ${name}`, async () => {
      const answer = await runs(body);
      expect(answer.text).toBe(bytes);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    });
  }

  test("sends a file as it is, with its name", async () => {
    const response = await post(`${weir.url}/api/workflows/runs`, {
      workflow_id: "file",
      output_only: true,
    });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(Uint8Array.of(1, 0, 255));
    expect(response.headers.get("content-type")).toBe("image/png");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("content-disposition")).toBe('attachment; filename="a b.png"');
  });

  for (
    const [name, type, body, status, expected] of [
      [
        "a form",
        "application/x-www-form-urlencoded",
        "input[prompt]=%E5%80%BC&input[tags][]=a&input[tags][]=b&output_only=true",
        200,
        { prompt: "值", tags: ["a", "b"] },
      ],
      ["a form with __proto__", "application/x-www-form-urlencoded", "input[__proto__][x]=1", 400, {
        detail: "Invalid request body: the key __proto__ is not allowed",
      }],
      [
        "a form that contradicts itself",
        "application/x-www-form-urlencoded",
        "input=1&input[a]=2",
        400,
        {
          detail: "Invalid request body: the field input[a] contradicts another one",
        },
      ],
      ["a form with many fields", "application/x-www-form-urlencoded", "a=1&".repeat(1001), 400, {
        detail: "Invalid request body: the form has more than 1000 fields",
      }],
      [
        "a form with nothing but separators",
        "application/x-www-form-urlencoded",
        "&".repeat(1001),
        400,
        {
          detail: "Invalid request body: the form has more than 1000 fields",
        },
      ],
      [
        "a form that nests deep",
        "application/x-www-form-urlencoded",
        `a${"[b]".repeat(20)}=1`,
        400,
        {
          detail: "Invalid request body: a field name has more than 16 brackets",
        },
      ],
      ["another type", "text/plain", "x", 400, { detail: "Unsupported Content-Type: text/plain" }],
    ] as const
  ) {
    test(`answers ${status} for ${name}`, async () => {
      const answer = await runs(body, { headers: { "content-type": type } });
      expect(JSON.parse(answer.text)).toEqual(expected);
      expect(answer.status).toBe(status);
    });
  }

  for (
    const [name, fields, status, expected] of [
      ["JSON in a form", { input: '{"prompt":"值"}' }, 200, { prompt: "值" }],
      ["JSON as a blob", { input: new Blob(['{"a":1}'], { type: "application/json" }) }, 200, {
        a: 1,
      }],
      [
        "a file that the input refers to",
        { input: '{"doc":"@doc","name":"@someone"}', doc: new Blob(["bytes"]) },
        200,
        { doc: btoa("bytes"), name: "@someone" },
      ],
      ["broken JSON in a form", { input: "{" }, 400, {
        detail: expect.stringMatching(/^Invalid request body: input is no JSON: /),
      }],
      ["a file that nobody asked for", { input: "{}", doc: new Blob(["x"]) }, 400, {
        detail: 'Invalid request body: nothing refers to the file "doc": send it as input[doc], ' +
          'or write "@doc" in the input',
      }],
      [
        "a path in the place of a file",
        { workflow_id: "doc", input: '{"doc":"/etc/passwd"}' },
        400,
        { detail: expect.stringMatching(/^Invalid input: doc must be a file: send a multipart/) },
      ],
      ["a missing input", { workflow_id: "doc", input: "{}" }, 400, {
        detail: "Invalid input: doc is missing",
      }],
      ["an unknown input", { workflow_id: "json", input: '{"x":1}' }, 400, {
        detail: "Invalid input: x is not a known key: there is none here",
      }],
    ] as const
  ) {
    test(`answers ${status} for ${name}`, async () => {
      const form = new FormData();
      for (const [field, value] of Object.entries(fields)) form.append(field, value);
      form.append("output_only", "true");
      const url = `${weir.url}/api/workflows/runs`;
      const response = await fetch(url, { method: "POST", body: form });
      expect(await response.json()).toEqual(expected);
      expect(response.status).toBe(status);
    });
  }

  test("keeps the digits of long numbers, from the request to the answer", async () => {
    const input = '{"n":12345678901234567890,"值":[0.1234567890123456789]}';
    expect((await runs(`{"input":${input},"output_only":true}`)).text).toBe(input);
    const state = await runs(`{"input":${input}}`);
    expect(state.text).toEndWith(`"output":${input}}`);
  });

  for (
    const [workflow_id, error] of [
      ["no-stream", /^stream_format needs an event stream, and the answer has application\/json/],
      ["error-event", /^The stream says: over quota$/],
      ["no-event", /^The stream ended without any event$/],
    ] as const
  ) {
    test(`fails for ${workflow_id} before anything is said`, async () => {
      const state = JSON.parse((await runs({ workflow_id })).text) as Record<string, unknown>;
      expect(state).toMatchObject({ status: "failed", error: expect.stringMatching(error) });
      const { status, text } = await runs({ workflow_id, output_only: true });
      expect(status).toBe(500);
      expect(JSON.parse(text)).toEqual({ detail: expect.stringMatching(error) });
    });
  }

  test("takes a multipart form with a file", async () => {
    const form = new FormData();
    form.append("input[name]", "值");
    form.append("input[file]", new Blob(["bytes"], { type: "text/plain" }), "a.txt");
    form.append("output_only", "true");
    const response = await fetch(`${weir.url}/api/workflows/runs`, { method: "POST", body: form });
    expect(await response.json()).toEqual({ name: "值", file: btoa("bytes") });
  });

  test("asks for a content type", async () => {
    const text = rawPost("/api/workflows/runs", {}).replace(
      "Content-Type: application/json\r\n",
      "",
    );
    expect(await rawExchange(weir.port, text)).toEndWith(
      '{"detail":"Missing or empty Content-Type header."}',
    );
  });

  test("takes an input of 10 MB, and refuses what is above the server's limit", async () => {
    const input = "值".repeat(10 * 1024 * 1024 / 3);
    expect(JSON.parse((await runs({ input, output_only: true })).text)).toBe(input);
    const small = await launch({ set: { "server.body_max_bytes": 1000 } });
    try {
      const response = await post(`${small.url}/api/workflows/runs`, { input: "x".repeat(2000) });
      expect(response.status).toBe(413);
      expect(await response.json()).toEqual({
        detail: "The request body has more than 1000 bytes",
      });
    } finally {
      await small.stop();
    }
  });

  test("tells a task from its start to its end", async () => {
    gate = Promise.withResolvers();
    const { text } = await runs({ workflow_id: "wait", wait_for_completion: false });
    const { task_id } = JSON.parse(text) as { task_id: string };
    const url = `${weir.url}/api/tasks/${task_id}`;
    const task = async (query = "") => {
      const response = await fetch(url + query);
      return [response.status, await response.json()] as [number, unknown];
    };
    await waitFor(async () => await statusAt(url) === "processing");
    expect(await task("?output_only=true")).toEqual([202, {
      detail: "Task is still in progress.",
    }]);
    gate.resolve();
    await waitFor(async () => await statusAt(url) === "completed");
    expect(await task()).toEqual([200, { task_id, status: "completed", output: "done" }]);
    expect(await task("?output_only=true")).toEqual([200, "done"]);
  });

  test("keeps the chunks of a stream that nobody waited for", async () => {
    const { text } = await runs({ workflow_id: "text", wait_for_completion: false });
    const { task_id } = JSON.parse(text) as { task_id: string };
    const url = `${weir.url}/api/tasks/${task_id}`;
    await waitFor(async () => await statusAt(url) === "completed");
    for (let i = 0; i < 2; i++) {
      expect(await (await fetch(`${url}?output_only=true`)).text()).toBe(TEXT_BYTES);
    }
  });

  test("tells a failed task", async () => {
    const { text } = await runs({ workflow_id: "fail", wait_for_completion: false });
    const { task_id } = JSON.parse(text) as { task_id: string };
    const url = `${weir.url}/api/tasks/${task_id}`;
    await waitFor(async () => await statusAt(url) === "failed");
    const response = await fetch(`${url}?output_only=true`);
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ detail: ERROR_418 });
  });

  for (
    const [method, path, status, expected] of [
      ["GET", "/api/tasks/01JBQR5KSXM8HNXF7N9VYW3K2T", 404, { detail: "Task not found." }],
      ["GET", "/api/tasks", 404, { detail: "Not Found" }],
      ["GET", "/api/workflows/nope/schema", 404, { detail: "Workflow not found." }],
      ["GET", "/api/workflows/a/b", 404, { detail: "Not Found" }],
      ["GET", "/api/workflows/runs", 405, { detail: "Method Not Allowed" }],
      ["DELETE", "/api/workflows", 405, { detail: "Method Not Allowed" }],
      ["POST", "/api/tasks/x", 405, { detail: "Method Not Allowed" }],
      ["GET", "/api/health", 200, { status: "ok" }],
    ] as const
  ) {
    test(`answers ${status} for ${method} ${path}`, async () => {
      const response = await fetch(weir.url + path, { method });
      expect([response.status, await response.json()]).toEqual([status, expected]);
    });
  }

  test("lists workflows under /api and, without a base_path, under /", async () => {
    for (const base of ["/api", ""]) {
      const list = await (await fetch(`${weir.url}${base}/workflows`)).json() as unknown[];
      expect(list).toContainEqual({ workflow_id: "json", title: "标题 json" });
      expect(list).toContainEqual({ workflow_id: "echo", title: "标题 echo", default: true });
    }
    const url = `${weir.url}/api/workflows?include_schema=true`;
    const schemas = await (await fetch(url)).json() as unknown[];
    expect(schemas).toContainEqual({
      workflow_id: "one",
      title: "标题 one",
      input: [],
      output: [{ name: "text", type: "sse-text" }].map(({ type }) => ({ type })),
    });
  });

  test("answers a browser on another origin of this machine", async () => {
    const localPage = "http://localhost:3000";
    const response = await fetch(`${weir.url}/api/workflows/runs`, {
      method: "OPTIONS",
      headers: { "origin": localPage, "access-control-request-headers": "content-type" },
    });
    expect(response.status).toBeLessThan(300);
    expect(response.headers.get("access-control-allow-headers")).toContain("content-type");
    expect(response.headers.get("access-control-allow-origin")).toBe(localPage);
  });

  for (const workflow_id of ["slow", "wait"] as const) {
    test(`aborts the upstream of ${workflow_id} when the client leaves`, async () => {
      openStreams = 0;
      gate = Promise.withResolvers();
      const abort = new AbortController();
      const asked = post(`${weir.url}/api/workflows/runs`, { workflow_id }, {
        signal: abort.signal,
      });
      if (workflow_id === "slow") await (await asked).body!.getReader().read();
      await waitFor(() => openStreams === 1);
      abort.abort();
      await asked.catch(() => {});
      await waitFor(async () => openStreams === 0 && (await weir.health())["streams_open"] === 0);
    });
  }

  test("leaves nothing open behind 100 clients that leave", async () => {
    openStreams = 0;
    await Promise.all(Array.from({ length: 100 }, async () => {
      const abort = new AbortController();
      const response = await post(`${weir.url}/api/workflows/runs`, { workflow_id: "slow" }, {
        signal: abort.signal,
      });
      await response.body!.getReader().read();
      abort.abort();
    }));
    await waitFor(async () => openStreams === 0 && (await weir.health())["streams_open"] === 0);
  });

  test("tells a run that goes on when the server stops", async () => {
    openStreams = 0;
    gate = Promise.withResolvers();
    const stopping = await launch({
      files: { "model-compose.yml": FILE },
      set: { "server.drain_ms": 100 },
    });
    try {
      const asked = post(`${stopping.url}/api/workflows/runs`, { workflow_id: "wait" });
      await waitFor(() => openStreams === 1);
      stopping.kill("SIGTERM");
      const response = await asked;
      expect([response.status, await response.json()]).toEqual([503, {
        detail: "The server is shutting down: try again",
      }]);
      expect(await stopping.exited).toBe(0);
      await waitFor(() => openStreams === 0);
    } finally {
      await stopping.stop();
    }
  });

  test("cuts a stream whose upstream broke off, behind what it said", async () => {
    const answer = await rawExchange(
      weir.port,
      rawPost("/api/workflows/runs", { workflow_id: "cut" }),
    );
    expect(answer).toContain("data: first\n\n");
    expect(answer).not.toEndWith("0\r\n\r\n");
  });

  test("shows the status of a failure before the first chunk", async () => {
    const broken = await launch({
      files: {
        "model-compose.yml": systemFile("http://127.0.0.1:1").replace("port: 8081", "port: 0"),
      },
      env: { OPENAI_API_KEY: "sk" },
    });
    try {
      const url = `${broken.url}/api/workflows/runs`;
      const state = await (await post(url, README_BODY)).json();
      expect(state).toMatchObject({
        status: "failed",
        error: expect.stringContaining("Cannot reach 127.0.0.1:1"),
      });
      expect((await post(url, { ...README_BODY, output_only: true })).status).toBe(500);
    } finally {
      await broken.stop();
    }
  });
});

describe("zero configuration", () => {
  test("answers the README's curl on an empty machine", async () => {
    const weir = await launch();
    try {
      const response = await post(`${weir.url}/api/workflows/runs`, README_BODY);
      expect(await response.text()).toBe("data: powered\n\ndata:  by\n\ndata:  openai\n\n");
      const schema = await (await fetch(`${weir.url}/api/workflows/__workflow__/schema`)).json();
      expect(schema).toEqual({
        workflow_id: "__workflow__",
        title: "Chat with OpenAI GPT-4o",
        description: "Generate text responses using OpenAI’s GPT-4o",
        input: [{ name: "prompt", type: "text" }, {
          name: "temperature",
          type: "number",
          default: 0.7,
        }],
        output: [{ type: "text", format: "sse-text" }],
      });
    } finally {
      await weir.stop();
    }
  });

  test("asks llm.* when it is set", async () => {
    const aimock = await startAimock(CONTENT);
    const weir = await launch({ set: { "llm.base_url": aimock.url, "llm.api_key": "sk" } });
    try {
      const text = await (await post(`${weir.url}/api/workflows/runs`, README_BODY)).text();
      expect(dataOf(text).join("")).toBe(CONTENT);
    } finally {
      await Promise.all([weir.stop(), aimock.stop()]);
    }
  });

  test("asks OpenAI when there is a key and no base URL", async () => {
    let asked = "";
    const proxy = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, bytes) {
          asked ||= bytes.toString().split("\r\n")[0]!;
          socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        },
      },
    });
    const weir = await launch({
      env: { OPENAI_API_KEY: "sk" },
      set: { "llm.proxy": `http://127.0.0.1:${proxy.port}`, "llm.retries": 0 },
    });
    try {
      const response = await post(`${weir.url}/api/workflows/runs`, README_BODY);
      expect(await response.json()).toMatchObject({ status: "failed" });
      expect(asked).toBe("CONNECT api.openai.com:443 HTTP/1.1");
    } finally {
      proxy.stop(true);
      await weir.stop();
    }
  });

  test("asks for the token when there is one", async () => {
    const weir = await launch({ set: { "auth.token": "secret" } });
    try {
      const url = `${weir.url}/api/workflows/runs`;
      const open = await post(url, README_BODY);
      expect([open.status, await open.json()]).toEqual([401, {
        detail: "Send the header Authorization: Bearer <auth.token>",
      }]);
      for (const path of ["/api/workflows", "/api/tasks/x", "/api/workflows/x/schema"]) {
        expect((await fetch(weir.url + path)).status, path).toBe(401);
      }
      const wrong = await post(url, README_BODY, {
        headers: { "content-type": "application/json", "authorization": "Bearer other" },
      });
      expect(await wrong.json()).toEqual({ detail: "Invalid token" });
      const right = await post(url, README_BODY, {
        headers: { "content-type": "application/json", "authorization": "Bearer secret" },
      });
      expect(right.status).toBe(200);
      await right.text();
    } finally {
      await weir.stop();
    }
  });
});
