import { describe, expect, test } from "bun:test";
import { ResponseReader } from "../../src/load/response_reader.ts";

const encoder = new TextEncoder();

/** Everything that happens to a response fed in pieces of `sizeBytes`, written as one line. */
function story(text: string, sizeBytes: number, isClosed = true): string {
  const told: string[] = [];
  let data = "";
  const flush = () => {
    if (data !== "") told.push(JSON.stringify(data));
    data = "";
  };
  const reader = new ResponseReader({
    head: ({ status, framing, headers }) =>
      told.push(`${status} ${framing} ${headers.get("x-a") ?? ""}`.trim()),
    data: (bytes, from, to) => data += new TextDecoder("latin1").decode(bytes.subarray(from, to)),
    cut: () => {
      flush();
      told.push("cut");
    },
    end: (isWhole, reason) => {
      flush();
      told.push(isWhole ? "whole" : `not whole: ${reason}`);
    },
  });
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += sizeBytes) {
    reader.feed(bytes.subarray(at, at + sizeBytes));
  }
  if (isClosed) reader.close();
  flush();
  return told.join(" | ");
}

const CHUNKED = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n";

const CASES: readonly (readonly [name: string, response: string, story: string])[] = [
  [
    "two chunks",
    `${CHUNKED}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`,
    `200 chunked b | "abc" | cut | "0123456789" | cut | whole`,
  ],
  [
    "line feeds inside a chunk",
    `${CHUNKED}4\r\n\r\n\r\n\r\n0\r\n\r\n`,
    `200 chunked b | "\\r\\n\\r\\n" | cut | whole`,
  ],
  [
    "an extension and a trailer",
    `${CHUNKED}1;x=y\r\na\r\n0\r\nX-T: 1\r\n\r\n`,
    `200 chunked b | "a" | cut | whole`,
  ],
  [
    "blanks behind a size, and before an extension",
    `${CHUNKED}1 \r\na\r\n1\t ;x=y\r\nb\r\n0  \n\r\n`,
    `200 chunked b | "a" | cut | "b" | cut | whole`,
  ],
  ["two sizes", `${CHUNKED}1 1\r\na\r\n`, "200 chunked b | not whole: bad chunk size"],
  ["no last chunk", `${CHUNKED}1\r\na\r\n`, `200 chunked b | "a" | cut | not whole: broke off`],
  ["half a chunk", `${CHUNKED}5\r\nab`, `200 chunked b | "ab" | not whole: broke off`],
  ["no size", `${CHUNKED}\r\nab`, "200 chunked b | not whole: bad chunk size"],
  ["a size that is none", `${CHUNKED}xyz\r\n`, "200 chunked b | not whole: bad chunk size"],
  ["a size beyond 32 bits", `${CHUNKED}123456789\r\n`, "200 chunked b | not whole: bad chunk size"],
  [
    "a chunk longer than it says",
    `${CHUNKED}1\r\nab\r\n`,
    `200 chunked b | "a" | not whole: bad chunk end`,
  ],
  ["a length", "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nab", `404 length | "ab" | whole`],
  ["a length of 0", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "200 length | whole"],
  [
    "less than the length",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
    `200 length | "ab" | not whole: broke off`,
  ],
  ["until the end", "HTTP/1.0 200 OK\r\n\r\nab", `200 close | "ab" | whole`],
  [
    "what comes before a head",
    `HTTP/1.1 100 Continue\r\n\r\n${CHUNKED}0\r\n\r\n`,
    "200 chunked b | whole",
  ],
  ["no body", "HTTP/1.1 204 No Content\r\nX-A: c\r\n\r\n", "204 length c | whole"],
  ["no HTTP, and no end of it", "SSH-2.0-x", "not whole: bad head"],
  ["half a head", "HTTP/1.1 200 OK\r\nX-", "not whole: broke off"],
  ["nothing", "", "not whole: no answer"],
  ["no HTTP", "SSH-2.0-x\r\n\r\n", "not whole: bad head"],
  ["a header without a colon", "HTTP/1.1 200 OK\r\nwhat\r\n\r\n", "not whole: bad head"],
  [
    "an endless extension of a chunk",
    `${CHUNKED}1;${"a".repeat(70_000)}`,
    "200 chunked b | not whole: oversized line",
  ],
  [
    "endless trailers",
    `${CHUNKED}0\r\n${"a: b\r\n".repeat(12_000)}`,
    "200 chunked b | not whole: oversized line",
  ],
  [
    "endless interim answers",
    "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40),
    "not whole: interim heads",
  ],
  ["a protocol to switch to", "HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", "not whole: switched"],
  [
    "line ends before the head",
    "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    `200 length | "ab" | whole`,
  ],
  [
    "a header over two lines",
    "HTTP/1.1 200 OK\r\nX-A: b;\r\n\tc: d\r\nContent-Length: 2\r\n\r\nab",
    `200 length b; c: d | "ab" | whole`,
  ],
  [
    "lines without CR, and a blank line in the body",
    "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 8\n\na\r\n\r\nb\n\n",
    `200 length b | "a\\r\\n\\r\\nb\\n\\n" | whole`,
  ],
  [
    "one length, told twice",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\ncontent-length: 2\r\n\r\nab",
    `200 length b | "ab" | whole`,
  ],
  [
    "two lengths",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
    "not whole: bad length",
  ],
  [
    "a length below zero",
    "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nab",
    "not whole: bad length",
  ],
  [
    "another coding",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "not whole: bad coding",
  ],
  ["an endless head", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(70_000)}`, "not whole: oversized head"],
];

describe("ResponseReader", () => {
  for (const [name, response, expected] of CASES) {
    test(`tells ${name}, wherever it is cut`, () => {
      const sizes = response.length > 1000 ? [999, response.length] : [1, 2, 3, 7, response.length];
      for (const size of sizes) {
        expect(story(response, size || 1), `pieces of ${size}`).toBe(expected);
      }
    });
  }

  test("isOver is true as soon as the last byte is there, before the connection closes", () => {
    expect(story(CASES[0]![1], 1, false)).toEndWith("whole");
  });

  test("reads one response after the other, and says when there was more than one", () => {
    const ends: boolean[] = [];
    const reader = new ResponseReader({
      head: ({ keepsAlive }) => ends.push(keepsAlive),
      data: () => {},
      cut: () => {},
      end: (isWhole) => ends.push(isWhole),
    });
    const kept = encoder.encode("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    reader.feed(encoder.encode(CHUNKED.replace("X-A: b", "Content-Length: 5") + "0\r\n\r\n"));
    reader.reset();
    reader.feed(kept);
    expect(reader.hasExcess).toBe(false);
    reader.reset();
    reader.feed(encoder.encode(
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nabc",
    ));
    expect(reader.hasExcess).toBe(true);
    // The first one has chunks and a length: whoever is on the way may believe the length.
    expect(ends).toEqual([false, true, true, true, false, true]);
  });
});
