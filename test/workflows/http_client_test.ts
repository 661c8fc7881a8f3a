import { afterAll, describe, expect, test } from "bun:test";
import { Attachment } from "../../src/core/workflow.ts";
import { parseExactJson } from "../../src/lib/exact_json.ts";
import { waitFor } from "../server/launch.ts";
import { mockSource, realWheel, rig, valueOf } from "./rig.ts";

/** What the upstream saw last. */
interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

let seen: Seen[] = [];
let polls = 0;
/** Streams of /slow that are open. */
let openStreams = 0;
let written = 0;

const encoder = new TextEncoder();

function events(...data: readonly string[]): Response {
  return new Response(data.map((text) => `data: ${text}\n\n`).join(""), {
    headers: { "content-type": "text/event-stream; charset=utf-8" },
  });
}

function delta(content: string): string {
  return JSON.stringify({ choices: [{ delta: { content } }] });
}

const upstream = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  async fetch(request) {
    const url = new URL(request.url);
    seen.push({
      method: request.method,
      url: url.pathname + url.search,
      headers: request.headers,
      body: await request.text(),
    });
    switch (url.pathname) {
      case "/json":
        return Response.json({ text: "值", list: [1, 2] });
      case "/broken-json":
        return new Response("{", { headers: { "content-type": "application/json" } });
      case "/text":
        return new Response("plain 值");
      case "/binary":
        return new Response(Uint8Array.of(0, 255, 1), {
          headers: {
            "content-type": "image/png",
            "content-disposition": 'attachment; filename="a.png"',
          },
        });
      case "/empty":
        return new Response(null, { status: 204 });
      case "/sse":
        return events(delta(""), delta("He"), delta("llo\n世界"), '{"choices":[]}', "[DONE]");
      case "/sse-error":
        return events(delta("a"), '{"error":{"message":"no"}}');
      case "/sse-two":
        return events(delta("a"), '{"choices":[],"error":null}');
      case "/sse-named-error":
        return new Response(`data: ${delta("a")}\n\nevent: error\ndata: over\n\n`, {
          headers: { "content-type": "text/event-stream" },
        });
      case "/sse-raw":
        return new Response(url.searchParams.get("body"), {
          headers: { "content-type": "text/event-stream" },
        });
      case "/sse-first-error":
        return events('{"type":"error","message":"at once"}');
      case "/big":
        return new Response('{"n":12345678901234567890}', {
          headers: { "content-type": "application/json" },
        });
      case "/sse-big":
        return events('{"n":12345678901234567890}');
      case "/error":
        return Response.json({ error: { message: "坏" } }, { status: 429 });
      case "/error-text":
        return new Response("nope", { status: 500 });
      case "/gzip":
        return new Response(Bun.gzipSync(encoder.encode(`data: ${delta("zip")}\n\n`)), {
          headers: { "content-type": "text/event-stream", "content-encoding": "gzip" },
        });
      case "/slow":
        return slow(url.searchParams.get("first") ?? delta("first"));
      case "/flood":
        return flood();
      case "/silent":
        openStreams++;
        request.signal.addEventListener("abort", () => openStreams--);
        return await new Promise<Response>(() => {});
      case "/job":
        return Response.json({ id: "j1" });
      case "/jobs/j1":
        return Response.json({ status: ++polls < 3 ? "running" : "done", answer: 42 });
      case "/jobs/bad":
        return Response.json({ status: "failed" });
      case "/jobs/never":
        return Response.json({ status: "running" });
      case "/jobs/code":
        return new Response("x", { status: ++polls < 2 ? 404 : 200 });
      default:
        return new Response("what?", { status: 404 });
    }
  },
});

/** Says one event and then drops the connection in the middle of its body. */
const cutter = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket) {
      const event = `data: ${delta("a")}\n\n`;
      socket.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
          `${event.length.toString(16)}\r\n${event}\r\n`,
      );
      setTimeout(() => socket.terminate(), 20);
    },
  },
});

afterAll(async () => {
  cutter.stop(true);
  await upstream.stop(true);
});

/** One event, then silence until the client leaves. */
function slow(first: string): Response {
  openStreams++;
  return new Response(
    new ReadableStream({
      start: (controller) => controller.enqueue(encoder.encode(`data: ${first}\n\n`)),
      cancel: () => void openStreams--,
    }),
    { headers: { "content-type": "text/event-stream" } },
  );
}

/** Events without end, as fast as they are taken. */
function flood(): Response {
  openStreams++;
  const event = encoder.encode(`data: ${delta("x".repeat(16 * 1024))}\n\n`);
  return new Response(
    new ReadableStream({
      pull(controller) {
        written += event.length;
        controller.enqueue(event);
      },
      cancel: () => void openStreams--,
    }, { highWaterMark: 0 }),
    { headers: { "content-type": "text/event-stream" } },
  );
}

const BASE = `http://127.0.0.1:${upstream.port}`;

/** A file whose one action has `keys`. */
function file(keys: string, output = "${output as text;sse-text}"): string {
  const indented = keys.trim().split("\n").map((line) => `    ${line}`).join("\n");
  return `workflow:\n  job: {output: "${output}"}\ncomponent:\n  type: http-client\n` +
    `  base_url: ${BASE}/\n  headers: {X-Component: c, X-Both: c}\n  action:\n${indented}\n`;
}

const STREAM = "stream_format: json\noutput: ${response[].choices[0].delta.content}";

describe("callAction", () => {
  for (
    const [keys, expected] of [
      ["path: json\nmethod: GET", { text: "值", list: [1, 2] }],
      ["path: /json\noutput: ${response.text}", "值"],
      ["path: /json\noutput: {a: '${response.list[1]}', b: 'x ${response.text}'}", {
        a: 2,
        b: "x 值",
      }],
      ["path: /text", "plain 值"],
      ["path: /empty", null],
      ["path: /json\noutput: ${response[].choices[0]}", null],
      [`endpoint: ${BASE}/text`, "plain 值"],
    ] as const
  ) {
    test(`gives ${JSON.stringify(expected)} for ${keys.replaceAll("\n", ", ")}`, async () => {
      expect(valueOf(await rig(file(keys, "${output}")).run())).toEqual(expected);
    });
  }

  test("gives a file for bytes", async () => {
    const { output } = await rig(file("path: /binary", "${output}")).run();
    expect(output).toEqual({
      kind: "file",
      file: new Attachment(Uint8Array.of(0, 255, 1), "image/png", "a.png"),
    });
  });

  for (
    const [name, keys, expected] of [
      ["stream_format json", `path: /sse\n${STREAM}`, ["", "He", "llo\n世界"]],
      ["stream_format text", "path: /sse-error\nstream_format: text\noutput: ${response[]}", [
        delta("a"),
        '{"error":{"message":"no"}}',
      ]],
      ["no output", "path: /sse-error", [delta("a"), '{"error":{"message":"no"}}']],
      ["the raw data", "path: /sse\nstream_format: json\noutput: ${response}", [
        delta(""),
        delta("He"),
        delta("llo\n世界"),
        '{"choices":[]}',
        "[DONE]",
      ]],
      [
        "objects",
        "path: /sse-two\nstream_format: json\n" +
        "output: {t: '${response[].choices[0].delta.content}'}",
        [{ t: "a" }, { t: null }],
      ],
      ["a compressed stream", `path: /gzip\n${STREAM}`, ["zip"]],
    ] as const
  ) {
    test(`streams ${name}`, async () => {
      const { items, status } = await rig(file(keys)).run();
      expect(items as unknown).toEqual(expected);
      expect(status).toBe("completed");
    });
  }

  for (
    const [name, keys, contentType, body] of [
      [
        "JSON by default",
        "path: /json\nbody: {a: '${input.x}', b: [1]}",
        "application/json",
        '{"a":"值","b":[1]}',
      ],
      ["a JSON list", "path: /json\nbody: [1, '${input.x}']", "application/json", '[1,"值"]'],
      [
        "a form",
        "path: /json\nheaders: {content-type: application/x-www-form-urlencoded}\n" +
        "body: {a: '${input.x}', b: [1, 2], c: null}",
        "application/x-www-form-urlencoded",
        "a=%E5%80%BC&b=1&b=2",
      ],
      [
        "text",
        "path: /json\nheaders: {Content-Type: text/plain}\nbody: 'a ${input.x}'",
        "text/plain",
        "a 值",
      ],
      ["nothing with GET", "path: /json\nmethod: GET\nbody: {a: 1}", null, ""],
    ] as const
  ) {
    test(`sends ${name}`, async () => {
      seen = [];
      await rig(file(keys, "${output}")).run({ x: "值" });
      expect(seen[0]!.headers.get("content-type")?.split(";")[0] ?? null).toBe(contentType);
      expect(seen[0]!.body).toBe(body);
    });
  }

  test("sends a multipart form with a file", async () => {
    seen = [];
    const keys = "path: /json\nheaders: {Content-Type: multipart/form-data}\n" +
      "body: {file: '${input.file}', name: '${input.x}'}";
    const file_ = new Attachment(encoder.encode("bytes"), "text/plain", "a.txt");
    await rig(file(keys, "${output}")).run({ x: "值", file: file_ });
    expect(seen[0]!.headers.get("content-type")).toStartWith("multipart/form-data; boundary=");
    expect(seen[0]!.body).toContain('filename="a.txt"');
    expect(seen[0]!.body).toContain("bytes");
    expect(seen[0]!.body).toContain("值");
  });

  test("sends query, method and headers; the action's headers win", async () => {
    seen = [];
    const keys = "path: /json?z=1\nmethod: PUT\nheaders: {X-Both: a}\n" +
      "params: {q: '${input.x}', l: [1, 2], n: null}";
    await rig(file(keys, "${output}")).run({ x: "a b&值" });
    const [request] = seen;
    expect(request!.method).toBe("PUT");
    expect(request!.url).toBe("/json?z=1&q=a+b%26%E5%80%BC&l=1&l=2");
    expect(request!.headers.get("x-component")).toBe("c");
    expect(request!.headers.get("x-both")).toBe("a");
  });

  for (
    const [name, keys, message] of [
      [
        "a JSON error",
        "path: /error",
        "Request failed with status 429\nURL: /error\nResponse: " +
        '{\n  "error": {\n    "message": "坏"\n  }\n}',
      ],
      [
        "a text error",
        "path: error-text",
        "Request failed with status 500\nURL: error-text\nResponse: nope",
      ],
      ["broken JSON", "path: /broken-json", "The response says it is JSON and is none"],
      ["a closed port", "endpoint: http://127.0.0.1:1/", "Cannot reach 127.0.0.1:1: "],
      ["no URL", "endpoint: nonsense", 'Cannot call "nonsense": it must be a URL'],
      ["no URL with a password", "endpoint: 'http://u:secret@a b/'", '"http://***@a b/": it must'],
      [
        "another scheme",
        "endpoint: file:///etc/passwd",
        "it must be a URL with http:// or https://",
      ],
      [
        "a bad header",
        'path: /json\nheaders: {X-Bad: "${input.x}"}',
        'Cannot send the header "X-Bad"',
      ],
      [
        "OpenAI without a key",
        "endpoint: https://api.openai.com/v1/models\nheaders: {Authorization: 'Bearer '}",
        "set OPENAI_API_KEY in the environment or in .env",
      ],
    ] as const
  ) {
    test(`fails for ${name}`, async () => {
      const { run, bugs } = rig(file(keys, "${output}"));
      const state = await run({ x: "a\r\nb" });
      expect(state.status).toBe("failed");
      expect(state.errorText).toContain(message);
      expect(bugs).toEqual([]);
    });
  }

  for (
    const [path, format, message] of [
      ["/sse-error", "json", "The stream says: no"],
      ["/sse-named-error", "json", "The stream says: over"],
      ["/sse-named-error", "text", "The stream says: over"],
    ] as const
  ) {
    test(`fails by ${path} read as ${format}, behind what came before`, async () => {
      const keys = `path: ${path}\nstream_format: ${format}\noutput: x\${response[]}`;
      const { engine } = rig(file(keys));
      const { signal } = new AbortController();
      const state = await engine.start(null, {}, { signal, isKept: false }).settled;
      const got: unknown[] = [];
      const read = async () => {
        if (state.output?.kind !== "chunks") throw new Error("no chunks");
        for await (const chunk of state.output.chunks) got.push(chunk);
      };
      await expect(read()).rejects.toThrow(message);
      expect(got).toEqual([`x${delta("a")}`]);
      expect(engine.task(state.taskId)).toMatchObject({ status: "failed", errorText: message });
    });
  }

  test("fails by an error event where the stream is needed as a value", async () => {
    const { run } = rig(file(`path: /sse-first-error\n${STREAM}`, "a ${output}"));
    expect(await run()).toMatchObject({ status: "failed", errorText: "The stream says: at once" });
  });

  const CUT = "The stream ended in the middle of an event";
  for (
    const [body, format, expected] of [
      ["data: not json\n\n", "json", 'stream_format is json, and the stream has an event of "not'],
      ['data: 1\n\ndata: {"a":\n\n', "json", "stream_format is json, and the stream has an event"],
      [`data: ${"[".repeat(300)}${"]".repeat(300)}\n\n`, "json", "nests deeper than 256 levels"],
      ["", "json", "The stream ended without any event"],
      [": hi\n\n", "text", "The stream ended without any event"],
      ['data: {"a":', "json", CUT],
      ['data: 1\n\ndata: {"a":\n', "json", CUT],
      ["data: 1\n\ndat", "json", CUT],
      ["data: 你", "text", CUT],
      ['data: 1\n\ndata: {"a":"值"}', "json", [1, { a: "值" }]],
      ['data: 1\r\n\r\ndata: {"a":2}\r', "json", [1, { a: 2 }]],
      ["data: 1\n\ndata: [DONE]", "json", [1]],
      ["data: 1\n\ndata:\n\n: bye\n", "json", [1]],
      ["data: [DONE]\n\n", "json", []],
      ["data: not json\n\n", "text", ["not json"]],
    ] as const
  ) {
    test(`reads ${JSON.stringify(body.slice(0, 40))} as ${format}`, async () => {
      const keys = `path: /sse-raw\nparams: {body: '\${input.body}'}\n` +
        `stream_format: ${format}\noutput: \${response[]}`;
      const { run } = rig(file(keys, "${output as json;sse-json}"));
      if (typeof expected === "string") {
        return await expect(run({ body })).rejects.toThrow(expected);
      }
      const { status, items } = await run({ body });
      expect(items as unknown).toEqual(expected);
      expect(status).toBe("completed");
    });
  }

  for (
    const [keys, message] of [
      [
        `path: /json\n${STREAM}`,
        'has application/json;charset=utf-8\nURL: /json\nResponse: {\n  "text"',
      ],
      [
        "path: /text\nstream_format: text",
        "stream_format needs an event stream, and the answer has",
      ],
      [`path: /empty\n${STREAM}`, "has no content type\nURL: /empty\nResponse: "],
    ] as const
  ) {
    test(`fails when no stream comes for ${keys.replaceAll("\n", ", ")}`, async () => {
      const { status, errorText } = await rig(file(keys, "${output}")).run();
      expect(status).toBe("failed");
      expect(errorText).toContain(message);
    });
  }

  const BIG = "12345678901234567890";
  for (
    const [keys, body] of [
      ["path: /json\nbody: '${input}'", `{"x":${BIG},"y":[-0.1234567890123456789]}`],
      [
        "path: /json\nbody: {a: '${input.x}', b: '${input.x as integer}', c: '${input.x as number}'}",
        `{"a":${BIG},"b":${BIG},"c":${BIG}}`,
      ],
      [
        "path: /json\nbody: {a: 'n ${input.x}', b: '${input.x as text}'}",
        `{"a":"n ${BIG}","b":"${BIG}"}`,
      ],
      [
        `path: /json\nbody: {a: '\${input.z as integer | ${BIG}}', b: ${BIG}}`,
        `{"a":${BIG},"b":${BIG}}`,
      ],
      ["path: /json\nbody: '${input.t as json}'", `{"n":${BIG}}`],
      [
        "path: /json\nheaders: {content-type: application/x-www-form-urlencoded}\nbody: {a: '${input.x}'}",
        `a=${BIG}`,
      ],
    ] as const
  ) {
    test(`keeps the digits of numbers in ${keys.replaceAll("\n", ", ")}`, async () => {
      seen = [];
      const input = parseExactJson(`{"x":${BIG},"y":[-0.1234567890123456789]}`) as object;
      const isWhole = keys.includes("${input}");
      await rig(file(keys, "${output}")).run(isWhole ? input : { ...input, t: `{"n":${BIG}}` });
      expect(seen[0]!.body).toBe(body);
    });
  }

  for (
    const [keys, output] of [
      ["path: /big", `{"n":${BIG}}`],
      ["path: /big\noutput: '${response.n}'", BIG],
      ["path: /big\noutput: {a: '${response.n as integer}'}", `{"a":${BIG}}`],
    ] as const
  ) {
    test(`gives the digits of numbers for ${keys.replaceAll("\n", ", ")}`, async () => {
      const value = valueOf(await rig(file(keys, "${output}")).run());
      expect(JSON.stringify(value)).toBe(output);
    });
  }

  test("gives the digits of numbers in a stream", async () => {
    const { items } = await rig(
      file("path: /sse-big\nstream_format: json\noutput: ${response[].n}"),
    )
      .run();
    expect(JSON.stringify(items)).toBe(`[${BIG}]`);
  });

  test("throws when the upstream breaks off, behind what it said", async () => {
    const { engine } = rig(file(`endpoint: http://127.0.0.1:${cutter.port}/\n${STREAM}`));
    const { signal } = new AbortController();
    const state = await engine.start(null, {}, { signal, isKept: false }).settled;
    const got: unknown[] = [];
    const read = async () => {
      if (state.output?.kind !== "chunks") throw new Error("no chunks");
      for await (const chunk of state.output.chunks) got.push(chunk);
    };
    await expect(read()).rejects.toThrow("broke off");
    expect(got).toEqual(["a"]);
    expect(engine.task(state.taskId)!.status).toBe("failed");
    expect(engine.openCount).toBe(0);
  });

  for (
    const [name, path, limit, wait] of [
      ["headers", "/silent", { headersMs: 60 }, "no response headers"],
      ["silence in a stream", "/slow", { idleMs: 60 }, "no data"],
    ] as const
  ) {
    test(`gives up on ${name} after its time limit`, async () => {
      openStreams = 0;
      const wheel = realWheel();
      const { run } = rig(file(`path: ${path}\n${STREAM}`), {
        deps: {
          wheel,
          calls: {
            fetch: (url, init) => fetch(url, init),
            askLlm: async function* () {},
            wheel,
            limits: { headersMs: 60_000, firstChunkMs: 60_000, idleMs: 60_000, ...limit },
          },
        },
      });
      const state = await run().catch((error: Error) => ({ errorText: error.message }));
      expect(state.errorText).toContain(`${wait} for 60 ms`);
      await waitFor(() => openStreams === 0);
    });
  }

  for (const path of ["/silent", "/slow"] as const) {
    test(`aborts the upstream of ${path} when the client leaves`, async () => {
      openStreams = 0;
      const { engine } = rig(file(`path: ${path}\n${STREAM}`));
      const abort = new AbortController();
      const { settled, taskId } = engine.start(null, {}, { signal: abort.signal, isKept: false });
      await waitFor(() => openStreams === 1);
      if (path === "/slow") await settled;
      abort.abort();
      await waitFor(() => openStreams === 0);
      if (path === "/silent") {
        expect((await settled).status).toBe("cancelled");
        expect(engine.task(taskId)!.errorText).toContain("cancelled");
        expect(engine.openCount).toBe(0);
      }
    });
  }

  test("reads a stream no faster than its reader, and ends it with him", async () => {
    openStreams = 0;
    written = 0;
    const { engine } = rig(file(`path: /flood\n${STREAM}`));
    const { signal } = new AbortController();
    const state = await engine.start(null, {}, { signal, isKept: false }).settled;
    if (state.output?.kind !== "chunks") throw new Error("no chunks");
    const iterator = state.output.chunks[Symbol.asyncIterator]();
    await iterator.next();
    // Until the sockets are full the upstream writes; then it must stand still.
    let before = -1;
    await waitFor(async () => {
      if (written === before) return true;
      before = written;
      await Bun.sleep(100);
      return false;
    });
    expect(written).toBeLessThan(64 * 1024 * 1024);
    await iterator.return!();
    await waitFor(() => openStreams === 0);
    expect(engine.task(state.taskId)!.status).toBe("cancelled");
    expect(engine.openCount).toBe(0);
  });

  for (
    const [name, completion, input, expected] of [
      [
        "a status in the body",
        "path: '/jobs/${response.id}'\n  status: ${result.status}\n" +
        "  success_when: done\n  fail_when: [failed]\n  interval: 5ms",
        {},
        { status: "done", answer: 42 },
      ],
      ["an HTTP status", "path: /jobs/code\n  success_when: [2xx]\n  interval: 5ms", {}, "x"],
    ] as const
  ) {
    test(`polls for ${name}`, async () => {
      polls = 0;
      const keys = `path: /job\ncompletion:\n  type: polling\n  ${completion}`;
      expect(valueOf(await rig(file(keys, "${output}")).run(input))).toEqual(expected);
    });
  }

  test("renders the output over the polled result", async () => {
    polls = 5;
    const keys = "path: /job\ncompletion: {path: /jobs/j1, status: '${result.status}', " +
      "success_when: done}\noutput: ${response.id} ${result.answer}";
    expect(valueOf(await rig(file(keys, "${output}")).run())).toBe("j1 42");
  });

  for (
    const [name, completion, message] of [
      [
        "a failure",
        "path: /jobs/bad, status: '${result.status}', success_when: done, fail_when: failed",
        "Polling failed: status 'failed' matched a failure condition",
      ],
      [
        "an HTTP failure",
        "path: /nowhere, fail_when: [4xx, 5xx]",
        "Polling failed: status '404' matched a failure condition",
      ],
      [
        "no end",
        "path: /jobs/never, status: '${result.status}', success_when: done, interval: 10ms, timeout: 50ms",
        "Polling timed out after 0.05 seconds",
      ],
    ] as const
  ) {
    test(`stops polling at ${name}`, async () => {
      const state = await rig(file(`path: /job\ncompletion: {${completion}}`, "${output}")).run();
      expect(state.errorText).toBe(message);
    });
  }

  test("asks this weir for weir:, as a stream and as a whole", async () => {
    const yaml = (keys: string) =>
      "workflow: {title: x}\ncomponent:\n  type: http-client\n  base_url: 'weir:'\n" +
      `  path: /chat/completions\n  body: {messages: [{role: user, content: hi}]${keys}\n`;
    const source = mockSource("你好 world again");
    const streamed = rig(
      yaml(", stream: true}\n  output: ${response[].choices[0].delta.content}"),
      { source },
    );
    expect((await streamed.run()).items).toEqual(["你", "好", " world", " again"]);
    const whole = rig(yaml("}\n  output: ${response.choices[0].message.content}"), { source });
    expect(valueOf(await whole.run())).toBe("你好 world again");
  });
});
