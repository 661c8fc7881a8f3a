import { describe, expect, test } from "bun:test";
import { webRequest, writeResponse } from "../../src/core/web.ts";
import { TARGET } from "../../src/lib/http1/bytes.ts";
import type { Field } from "../../src/lib/http1/fields.ts";
import { requestHead } from "../../src/lib/http1/request_head.ts";
import { seeded } from "../lib/http1/pieces.ts";
import { MemoryWriter } from "./memory_writer.ts";

describe("webRequest()", () => {
  const TARGETS: readonly (readonly [target: string, path: string])[] = [
    ["/", "/"],
    ["/docs?a=1&b=%20", "/docs?a=1&b=%20"],
    ["/ui/%E6%B0%B4", "/ui/%E6%B0%B4"],
    ["//elsewhere/docs", "//elsewhere/docs"],
    ["/@elsewhere", "/@elsewhere"],
    ["*", "/"],
    ["elsewhere:443", "/"],
  ];
  for (const [target, path] of TARGETS) {
    test(`${target} is ${path} of this host`, () => {
      const { url } = webRequest(requestHead({ target }));
      expect(url).toBe(`http://weir${path}`);
    });
  }

  test("takes every target that a request can have", () => {
    const random = seeded(1);
    const bytes = Array.from(TARGET.keys()).filter((byte) => TARGET[byte] === 1);
    for (let i = 0; i < 2000; i++) {
      const length = random() % 20;
      const rest = Array.from({ length }, () => bytes[random() % bytes.length]!);
      const target = `/${String.fromCharCode(...rest)}`;
      expect(new URL(webRequest(requestHead({ target })).url).host).toBe("weir");
    }
  });

  const METHODS: readonly (readonly [method: string, wanted: string])[] = [
    ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"].map((method) =>
      [method, method] as const
    ),
    ...["get", "CONNECT", "TRACE", "TRACK", "X-Y", "M-SEARCH", "!"].map((method) =>
      [method, "GET"] as const
    ),
  ];
  for (const [method, wanted] of METHODS) {
    test(`${method} is ${wanted}`, () => {
      expect(webRequest(requestHead({ method })).method).toBe(wanted);
    });
  }

  test("has all fields, repeated ones joined, and no body", () => {
    const fields: readonly Field[] = [
      ["Host", "weir.example"],
      ["Accept", "text/html"],
      ["accept", "*/*"],
      ["Connection", "close"],
      ["Content-Length", "0"],
      ["Cookie", "a=b"],
      ["X-Empty", ""],
      ["X-Latin", "\xe9"],
    ];
    const request = webRequest(requestHead({ method: "POST", fields }));
    expect(Object.fromEntries(request.headers)).toMatchObject({
      "host": "weir.example",
      "accept": "text/html, */*",
      "connection": "close",
      "content-length": "0",
      "cookie": "a=b",
      "x-empty": "",
      "x-latin": "\xe9",
    });
    expect(request.body).toBeNull();
  });
});

describe("writeResponse()", () => {
  const CASES: readonly (readonly [
    name: string,
    make: () => Response,
    status: number,
    text: string,
  ])[] = [
    ["text", () => new Response("水"), 200, "水"],
    ["bytes", () => new Response(Uint8Array.of(0x61, 0x62), { status: 201 }), 201, "ab"],
    ["JSON", () => Response.json({ a: 1 }, { status: 418 }), 418, '{"a":1}'],
    ["no body", () => new Response(null, { status: 204 }), 204, ""],
    ["a redirect", () => new Response(null, { status: 307, headers: { location: "x" } }), 307, ""],
    ["pieces", () => new Response(piecesOf("a", "b")), 200, "ab"],
  ];
  for (const [name, make, status, text] of CASES) {
    test(`writes ${name} whole, with its headers`, async () => {
      const writer = new MemoryWriter();
      const response = make();
      const headers = Object.fromEntries(response.headers);
      await writeResponse(response, writer);
      expect([writer.status, writer.text, writer.ending]).toEqual([status, text, "whole"]);
      expect(Object.fromEntries(writer.headers!)).toEqual(headers);
    });
  }

  test("rejects when the body breaks off, and writes nothing", async () => {
    const writer = new MemoryWriter();
    const broken = new ReadableStream({
      pull: (controller) => controller.error(new Error("gone")),
    });
    await expect(writeResponse(new Response(broken), writer)).rejects.toThrow("gone");
    expect(writer.status).toBe(0);
  });
});

function piecesOf(...texts: readonly string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
}
