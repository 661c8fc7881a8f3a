import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI, { toFile } from "openai";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { type Proxied, proxied, whole } from "./proxied.ts";
import { act, chunk, response, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const BINARY = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) % 256);

describe("every path of /v1 that weir does not answer itself", () => {
  let proxy: Proxied;
  let openai: OpenAI;
  beforeAll(async () => {
    proxy = await proxied();
    openai = new OpenAI({ baseURL: `${proxy.weir.url}/v1`, apiKey: "sk-client", maxRetries: 0 });
  });
  afterAll(() => proxy.stop());

  /** Asks weir, and gives its answer and what the upstream was asked. */
  async function passed(method: string, target: string, body?: string | Uint8Array, type?: string) {
    const answer = await fetch(proxy.weir.url + target, {
      method,
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
      headers: { authorization: "Bearer sk-client", ...(type && { "content-type": type }) },
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    return { answer, bytes, asked: proxy.upstream.requests.at(-1)! };
  }

  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
    test(`goes up as it came, and down: ${method}`, async () => {
      proxy.play(() => [act.send(response(BINARY, { "content-type": "audio/wav", "x-a": "1" }))]);
      const body = method === "GET" ? undefined : BINARY;
      const { answer, bytes, asked } = await passed(
        method,
        "/v1/some/%E6%B0%B4/path?a=1&b=%20",
        body,
        "application/octet-stream",
      );
      expect([asked.method, asked.path]).toEqual([method, "/v1/some/%E6%B0%B4/path?a=1&b=%20"]);
      expect(asked.body.equals(body ?? Buffer.alloc(0))).toBe(true);
      expect(asked.headers["authorization"]).toBe("Bearer sk-client");
      expect([answer.status, answer.headers.get("x-a")]).toEqual([200, "1"]);
      expect(bytes.equals(BINARY)).toBe(true);
    });
  }

  test("other methods of weir's own URLs go up, and other systems' do not", async () => {
    proxy.play(() => [act.send(response("{}"))]);
    expect((await passed("GET", "/v1/chat/completions?limit=1")).asked.path)
      .toBe("/v1/chat/completions?limit=1");
    expect((await passed("DELETE", "/v1/models/ft:x")).asked.method).toBe("DELETE");
    const before = proxy.upstream.requests.length;
    expect((await passed("GET", "/v1/response")).answer.status).toBe(405);
    expect(proxy.upstream.requests.length).toBe(before);
  });

  test("no path leads out of the upstream's API, nor to its keys", async () => {
    const before = proxy.upstream.requests.length;
    const paths = [
      "/v1/files/%2e%2e/%2e%2e/admin",
      "/v1/a%2f..%2f..%2fb",
      "/v1/organization/users",
      "/v1/%6frganization/users",
      "/v1//organization/users",
      "/v1/organization%2fusers",
      "/v1/files/..;/organization",
      "/v1/models/..%5c..%5corganization",
    ];
    for (const path of paths) {
      const { answer } = await passed("GET", path);
      expect([path, answer.status]).toEqual([path, 404]);
    }
    expect(proxy.upstream.requests.length).toBe(before);
  });

  test("a path whose /v1 is spelled with escapes stays below the upstream's", async () => {
    proxy.play(() => [act.send(response("{}"))]);
    expect((await passed("GET", "/%761/a%2Fb;c")).asked.path).toBe("/v1/a%2Fb;c");
  });

  test("the SDK uploads a file and reads a list of embeddings", async () => {
    const file = { id: "file-1", object: "file", bytes: 3 };
    proxy.play(
      () => [act.send(response(JSON.stringify(file), { "content-type": "application/json" }))],
    );
    const made = await openai.files.create({
      file: await toFile(Buffer.from("水"), "水.jsonl"),
      purpose: "batch",
    });
    expect(made.id).toBe("file-1");
    const { headers, body } = proxy.upstream.requests.at(-1)!;
    expect(headers["content-type"]).toStartWith("multipart/form-data; boundary=");
    expect(body.toString()).toContain("水");

    const embedding = { object: "list", data: [{ index: 0, embedding: [0.5, -0.5] }], model: "e" };
    proxy.play(
      () => [act.send(response(JSON.stringify(embedding), { "content-type": "application/json" }))],
    );
    const { data } = await openai.embeddings.create({
      model: "e",
      input: "hi",
      encoding_format: "float",
    });
    expect(data[0]!.embedding).toEqual([0.5, -0.5]);
  });

  test("a stream that has an end of its own passes whole, and stops with its client", async () => {
    const events = ["event: a\ndata: {}\n\n", "event: z\ndata: {}\n\n"];
    proxy.play(() => whole(...events));
    expect((await passed("POST", "/v1/audio/speech", "{}", "application/json")).bytes.toString())
      .toBe(events.join(""));

    proxy.play(() => [act.send(sseHead()), act.send(chunk(events[0]!)), act.stall]);
    const leaving = new AbortController();
    const answer = await fetch(`${proxy.weir.url}/v1/audio/speech`, {
      method: "POST",
      body: "{}",
      signal: leaving.signal,
    });
    await answer.body!.getReader().read();
    const { aborted } = proxy.upstream;
    leaving.abort();
    await waitFor(() => proxy.upstream.aborted === aborted + 1, "the upstream to be left");
  });

  test("a stream that breaks off ends with an error event", async () => {
    proxy.play(() => [act.send(sseHead()), act.send(chunk("event: a\ndata: {}\n\n")), act.reset]);
    const { bytes } = await passed("POST", "/v1/audio/speech", "{}", "application/json");
    expect(bytes.toString()).toStartWith('event: a\ndata: {}\n\ndata: {"error":{');
  });

  test("an upstream that is away is told of in OpenAI's words", async () => {
    proxy.play(() => [act.reset]);
    const { answer, bytes } = await passed("GET", "/v1/files");
    expect(answer.status).toBe(502);
    expect(JSON.parse(bytes.toString()).error.code).toBe("upstream_unreachable");
  });
});

describe("with upstreams of several routes", () => {
  test("an object is asked for where it is", async () => {
    const proxy = await proxied();
    const other = await proxied();
    proxy.play(() => [act.send(response("{}", {}, "404 Not Found"))]);
    other.play(() => [act.send(response('{"id":"file-1"}'))]);
    const both = await proxied({
      set: { "llm.base_url": "" },
      files: {
        "config.yaml": [
          "upstreams:",
          `  - {name: a, base_url: "${proxy.upstream.url}/v1", retries: 0}`,
          `  - {name: b, base_url: "${other.upstream.url}/v1", retries: 0, paths: [/files*]}`,
          "routes:",
          '  - {match: {model: "a*"}, to: [a]}',
          "  - {to: [b]}",
          "",
        ].join("\n"),
      },
    });
    const text = async (path: string) => await (await fetch(both.weir.url + path)).text();
    expect(await text("/v1/files/file-1")).toBe('{"id":"file-1"}');
    const from = other.upstream.requests.length;
    expect(await text("/v1/batches/b-1")).toBe("{}");
    expect(other.upstream.requests.length).toBe(from);
    const before = proxy.upstream.requests.length;
    const deleted = await fetch(`${both.weir.url}/v1/files/file-1`, { method: "DELETE" });
    expect(await deleted.text()).toBe('{"id":"file-1"}');
    const methods = ({ upstream }: Proxied, from: number) =>
      upstream.requests.slice(from).map(({ method }) => method);
    expect(methods(proxy, before)).toEqual(["GET"]);
    expect(methods(other, from)).toEqual(["GET", "DELETE"]);
    for (const one of [both, proxy, other]) await one.stop();
  });
});

test("without an upstream such a path is unknown", async () => {
  const mock = await proxied({ set: { "llm.base_url": "" } });
  const answer = await fetch(`${mock.weir.url}/v1/files`);
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ error: { message: "Invalid URL (GET /v1/files)" } });
  await mock.stop();
});
