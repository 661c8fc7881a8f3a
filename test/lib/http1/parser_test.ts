import { describe, expect, test } from "bun:test";
import { Http1Error, type Http1ErrorCode } from "../../../src/lib/http1/error.ts";
import type { Field } from "../../../src/lib/http1/fields.ts";
import { CHUNK_LINE_BYTES_MAX } from "../../../src/lib/http1/framing.ts";
import type { ResponseHead } from "../../../src/lib/http1/head.ts";
import { ResponseParser } from "../../../src/lib/http1/parser.ts";
import { cut, eachByte, latin1, randomCuts, seeded, wounded } from "./pieces.ts";

/** Everything a parser said about some bytes. */
interface Reading {
  readonly status: number;
  readonly statusText: string;
  readonly fields: readonly Field[];
  readonly keepsAlive: boolean;
  /** As latin1: one character is one byte. */
  readonly body: string;
  readonly isDone: boolean;
  readonly hasExcess: boolean;
  /** "code: message" of what was thrown; "" = nothing. */
  readonly error: string;
}

interface ReadOptions {
  readonly isBodiless?: boolean;
  readonly headBytesMax?: number;
  /** The connection ends behind the bytes. Default true. */
  readonly isClosed?: boolean;
}

/** Feeds `pieces` one after the other. `onPiece` sees each piece of the body. */
function read(
  pieces: readonly Buffer[],
  options: ReadOptions = {},
  onPiece: (bytes: Uint8Array) => void = () => {},
): Reading {
  let head: ResponseHead | undefined;
  const body: Buffer[] = [];
  let error = "";
  const parser = new ResponseParser({
    onHead(value) {
      expect(head, "a second head").toBeUndefined();
      head = value;
    },
    onBody(bytes) {
      expect(head, "a body before its head").toBeDefined();
      expect(bytes.length).toBeGreaterThan(0);
      onPiece(bytes);
      body.push(Buffer.from(bytes));
    },
  }, options.headBytesMax);
  parser.reset(options.isBodiless ?? false);
  try {
    for (const piece of pieces) parser.push(piece);
    if (options.isClosed ?? true) parser.finish();
  } catch (thrown) {
    if (!(thrown instanceof Http1Error)) throw thrown;
    error = `${thrown.code}: ${thrown.message}`;
  }
  return {
    status: head?.status ?? 0,
    statusText: head?.statusText ?? "",
    fields: [...head?.fields ?? []],
    keepsAlive: head?.keepsAlive ?? false,
    body: Buffer.concat(body).toString("latin1"),
    isDone: error === "" && parser.isDone,
    hasExcess: error === "" && parser.hasExcess,
    error,
  };
}

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n";
const SSE = 'data: {"content":"你好 🎉"}\n\ndata: [DONE]\n\n';
const SSE_BYTES = Buffer.from(SSE).toString("latin1");

interface GoodCase extends ReadOptions {
  readonly name: string;
  readonly bytes: string;
  readonly wanted: Partial<Reading>;
}

const GOOD: readonly GoodCase[] = [
  {
    name: "content-length",
    bytes: OK + "Content-Length: 5\r\nX-Request-Id: req_1\r\n\r\nhello",
    wanted: {
      status: 200,
      statusText: "OK",
      fields: [["Content-Length", "5"], ["X-Request-Id", "req_1"]],
      body: "hello",
      keepsAlive: true,
    },
  },
  { name: "content-length 0", bytes: OK + "content-length: 0\r\n\r\n", wanted: { body: "" } },
  {
    name: "the same content-length twice",
    bytes: OK + "content-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    wanted: { body: "hi" },
  },
  {
    name: "the same content-length as a list",
    bytes: OK + "content-length: 2, 2\r\n\r\nhi",
    wanted: { body: "hi" },
  },
  {
    name: "chunks of an SSE stream with Chinese text and an emoji",
    bytes: `${CHUNKED}${SSE_BYTES.length.toString(16)}\r\n${SSE_BYTES}\r\n0\r\n\r\n`,
    wanted: { body: SSE_BYTES, keepsAlive: true },
  },
  {
    name: "several chunks, upper and lower case sizes, leading zeros",
    bytes: `${CHUNKED}A\r\n0123456789\r\n000b\r\nabcdefghijk\r\n0000\r\n\r\n`,
    wanted: { body: "0123456789abcdefghijk" },
  },
  {
    name: "chunk extensions",
    bytes: `${CHUNKED}5;name=value\r\nhello\r\n1 \t; q="a;b \xe9"\r\n!\r\n0;last\r\n\r\n`,
    wanted: { body: "hello!" },
  },
  {
    name: "a trailer",
    bytes: `${CHUNKED}2\r\nhi\r\n0\r\nX-Sum: abc \r\nEmpty:\r\n\r\n`,
    wanted: { body: "hi" },
  },
  {
    name: "chunked in capitals",
    bytes: OK + "TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
    wanted: { body: "" },
  },
  {
    name: "a body that ends with the connection",
    bytes: OK + "content-type: text/plain\r\n\r\nuntil the end\r\n\r\n",
    wanted: { body: "until the end\r\n\r\n", keepsAlive: false },
  },
  {
    name: "HTTP/1.0 with a length",
    bytes: "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi",
    wanted: { body: "hi", keepsAlive: false },
  },
  {
    name: "connection: close",
    bytes: OK + "content-length: 2\r\nConnection: foo, Close\r\n\r\nhi",
    wanted: { body: "hi", keepsAlive: false },
  },
  {
    name: "interim heads before the final one",
    bytes: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
      OK + "content-length: 2\r\n\r\nhi",
    wanted: { status: 200, fields: [["content-length", "2"]], body: "hi" },
  },
  {
    name: "204 with fields that speak of a body",
    bytes: "HTTP/1.1 204 No Content\r\ncontent-length: 7\r\n\r\n",
    wanted: { status: 204, body: "", keepsAlive: true },
  },
  {
    name: "304 with the length of what it does not send",
    bytes: "HTTP/1.1 304 Not Modified\r\ncontent-length: 700\r\n\r\n",
    wanted: { status: 304, body: "", keepsAlive: true },
  },
  {
    name: "the answer to HEAD",
    bytes: OK + "content-length: 700\r\n\r\n",
    isBodiless: true,
    wanted: { body: "", keepsAlive: true },
  },
  {
    name: "the answer to HEAD of a chunked page",
    bytes: CHUNKED,
    isBodiless: true,
    wanted: { body: "" },
  },
  { name: "no words behind the status", bytes: "HTTP/1.1 200 \r\n\r\nx", wanted: { body: "x" } },
  { name: "no blank behind the status", bytes: "HTTP/1.1 599\r\n\r\n", wanted: { status: 599 } },
  {
    name: "blanks around values, empty values, colons in values",
    bytes: OK + "a: \t x y \t\r\nb:\r\nc:d:e\r\ncontent-length:0\r\n\r\n",
    wanted: { fields: [["a", "x y"], ["b", ""], ["c", "d:e"], ["content-length", "0"]] },
  },
  {
    name: "UTF-8 in a value, down to its last byte",
    bytes: OK + "x: voil\xc3\xa0\r\ncontent-length: 0\r\n\r\n",
    wanted: { fields: [["x", "voil\xc3\xa0"], ["content-length", "0"]] },
  },
  {
    name: "repeated fields in their order",
    bytes: OK + "via: 1.1 a\r\nvia: 1.1 b\r\ncontent-length: 0\r\n\r\n",
    wanted: { fields: [["via", "1.1 a"], ["via", "1.1 b"], ["content-length", "0"]] },
  },
  {
    name: "bytes behind the end",
    bytes: OK + "content-length: 2\r\n\r\nhi" + OK,
    wanted: { body: "hi", hasExcess: true },
  },
  {
    name: "bytes behind the last chunk",
    bytes: `${CHUNKED}0\r\n\r\n\r\n`,
    wanted: { body: "", hasExcess: true },
  },
];

interface BadCase extends ReadOptions {
  readonly name: string;
  readonly bytes: string;
  readonly code: Http1ErrorCode;
  readonly says: string;
}

function bad(name: string, bytes: string, says: string, options: ReadOptions = {}): BadCase {
  return { name, bytes, code: "malformed", says, ...options };
}

const BAD: readonly BadCase[] = [
  bad("no HTTP at all", "SSH-2.0-OpenSSH_9.6\r\n", "does not start with HTTP/1."),
  bad("HTTP/2", "HTTP/2 200 OK\r\n\r\n", "does not start with HTTP/1."),
  bad("an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "does not start with HTTP/1."),
  bad("HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", "status line"),
  bad("a status of two digits", "HTTP/1.1 99 No\r\n\r\n", "status line"),
  bad("a status of four digits", "HTTP/1.1 2000 No\r\n\r\n", "status line"),
  bad("a status of 600", "HTTP/1.1 600 No\r\n\r\n", "status line"),
  bad("two blanks in the status line", "HTTP/1.1  200 OK\r\n\r\n", "status line"),
  bad("101, which nobody asked for", "HTTP/1.1 101 Switching\r\n\r\n", "switches protocols"),
  bad("LF alone, in the status line", "HTTP/1.1 200 OK\ncontent-length: 0\n\n", "CR LF"),
  bad("LF alone, between fields", OK + "a: b\nc: d\r\n\r\n", "CR LF"),
  bad("CR alone in a field", OK + "a: b\rc: d\r\n\r\n", "CR LF"),
  bad("LF alone behind a broken field", OK + "a\r\nb: c\n\r\n\r\n", "CR LF"),
  bad("NUL in a field", OK + "a: b\0c\r\n\r\n", "control character"),
  bad("DEL in the status line", "HTTP/1.1 200 O\x7fK\r\n\r\n", "control character"),
  bad("a folded line", OK + "a: b\r\n c\r\n\r\n", "folded"),
  bad("a folded first line", OK + "\ta: b\r\n\r\n", "folded"),
  bad("a field without a colon", OK + "abc\r\n\r\n", "broken field"),
  bad("a field without a name", OK + ": abc\r\n\r\n", "broken field"),
  bad("a blank before the colon", OK + "content-length : 2\r\n\r\nhi", "broken field"),
  bad("a name with Chinese bytes", OK + "\xe4\xbd\xa0: 1\r\n\r\n", "broken field"),
  bad(
    "both length headers",
    OK + "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a content-length and a transfer-encoding",
  ),
  bad("two content-lengths", OK + "content-length: 5\r\nContent-Length: 6\r\n\r\n", "two content"),
  bad("two content-lengths in a list", OK + "content-length: 5, 6\r\n\r\n", "two content"),
  bad("05 and 5", OK + "content-length: 5, 05\r\n\r\n", "two content"),
  bad("an empty content-length", OK + "content-length:\r\n\r\n", "not a number"),
  bad("a negative content-length", OK + "content-length: -1\r\n\r\n", "not a number"),
  bad("a content-length with a sign", OK + "content-length: +1\r\n\r\n", "not a number"),
  bad("a content-length in hex", OK + "content-length: 0x10\r\n\r\n", "not a number"),
  bad("a content-length of 2^53", OK + "content-length: 9007199254740992\r\n\r\n", "too large"),
  bad("another coding", OK + "transfer-encoding: gzip, chunked\r\n\r\n", "not chunked"),
  bad("chunked twice", OK + "transfer-encoding: chunked, chunked\r\n\r\n", "not chunked"),
  bad(
    "chunked in two fields",
    OK + "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "not chunked",
  ),
  bad("identity", OK + "transfer-encoding: identity\r\n\r\n", "not chunked"),
  bad("chunked in HTTP/1.0", CHUNKED.replace("1.1", "1.0") + "0\r\n\r\n", "HTTP/1.0"),
  bad("a chunk size that is no number", CHUNKED + "xyz\r\n", "broken chunk size"),
  bad("an empty chunk size", CHUNKED + "\r\n", "broken chunk size"),
  bad("a chunk size with 0x", CHUNKED + "0x5\r\nhello\r\n", "broken chunk size"),
  bad("a negative chunk size", CHUNKED + "-1\r\n", "broken chunk size"),
  bad("a blank before a chunk size", CHUNKED + " 5\r\nhello\r\n", "broken chunk size"),
  bad("blanks behind a chunk size", CHUNKED + "5 \r\nhello\r\n", "broken chunk size"),
  bad("a chunk size of 14 digits", CHUNKED + "10000000000000\r\n", "chunk size too large"),
  bad("a chunk size that ends in LF", CHUNKED + "5\nhello\r\n", "broken chunk size"),
  bad("a chunk size with CR alone", CHUNKED + "5\rhello\r\n", "does not end in CR LF"),
  bad("a chunk longer than its size", CHUNKED + "4\r\nhello\r\n", "does not end in CR LF"),
  bad("a chunk that ends in LF", CHUNKED + "5\r\nhello\n0\r\n\r\n", "does not end in CR LF"),
  bad("a chunk that ends in CR", CHUNKED + "5\r\nhello\r0\r\n\r\n", "does not end in CR LF"),
  bad("LF in a chunk extension", CHUNKED + "5;a\nb\r\nhello\r\n", "chunk extension"),
  bad(
    "a chunk line without end",
    CHUNKED + "5;" + "x".repeat(CHUNK_LINE_BYTES_MAX),
    `longer than ${CHUNK_LINE_BYTES_MAX} bytes`,
  ),
  bad("a folded trailer", CHUNKED + "0\r\na: b\r\n c\r\n\r\n", "broken trailer"),
  bad("a trailer without a colon", CHUNKED + "0\r\nabc\r\n\r\n", "broken trailer"),
  bad("a trailer with LF alone", CHUNKED + "0\r\na: b\n\r\n", "broken trailer"),
  bad("LF alone behind the last chunk", CHUNKED + "0\r\n\n", "broken trailer"),
  bad("CR alone behind the last chunk", CHUNKED + "0\r\n\rx", "does not end in CR LF"),
  {
    name: "a head of one byte too many",
    bytes: OK + "content-length: 0\r\n\r\n",
    headBytesMax: 37,
    code: "head_too_large",
    says: "longer than 37 bytes",
  },
  {
    name: "a head without end",
    bytes: OK + "a: " + "x".repeat(300),
    headBytesMax: 256,
    code: "head_too_large",
    says: "longer than 256 bytes",
  },
  {
    name: "interim heads without end",
    bytes: "HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
    headBytesMax: 256,
    code: "head_too_large",
    says: "longer than 256 bytes",
  },
  {
    name: "a trailer without end",
    bytes: CHUNKED + "0\r\n" + "a: b\r\n".repeat(50),
    headBytesMax: 256,
    code: "head_too_large",
    says: "longer than 256 bytes",
  },
  { name: "nothing", bytes: "", code: "closed_early", says: "before its head" },
  { name: "half a head", bytes: OK + "a: b\r\n", code: "closed_early", says: "before its head" },
  {
    name: "only interim heads",
    bytes: "HTTP/1.1 100 Continue\r\n\r\n",
    code: "closed_early",
    says: "before its head",
  },
  {
    name: "half a body with a length",
    bytes: OK + "content-length: 5\r\n\r\nhell",
    code: "closed_early",
    says: "middle of the body",
  },
  {
    name: "half a chunk",
    bytes: CHUNKED + "5\r\nhel",
    code: "closed_early",
    says: "middle of the body",
  },
  {
    name: "no last chunk",
    bytes: CHUNKED + "5\r\nhello\r\n",
    code: "closed_early",
    says: "middle of the body",
  },
  {
    name: "no empty line behind the last chunk",
    bytes: CHUNKED + "0\r\n",
    code: "closed_early",
    says: "middle of the body",
  },
];

describe("ResponseParser reads", () => {
  for (const { name, bytes, wanted, ...options } of GOOD) {
    test(name, () => {
      const reading = read([latin1(bytes)], options);
      expect(reading).toMatchObject({ ...wanted, isDone: true, error: "" });
    });
  }
});

describe("ResponseParser refuses", () => {
  for (const { name, bytes, code, says, ...options } of BAD) {
    test(name, () => {
      const { error } = read([latin1(bytes)], options);
      expect(error).toStartWith(`${code}: Cannot read the response: `);
      expect(error).toContain(says);
    });
  }
});

describe("ResponseParser gives the same for every way to cut the bytes", () => {
  for (const { name, bytes: text, ...options } of [...GOOD, ...BAD]) {
    test(name, () => {
      const bytes = latin1(text);
      const whole = read([Buffer.from(bytes)], options);
      for (let offset = 0; offset <= bytes.length; offset++) {
        expect(read(cut(bytes, offset), options), `cut at ${offset}`).toEqual(whole);
      }
      expect(read(eachByte(bytes), options), "byte by byte").toEqual(whole);
    });
  }
});

describe("ResponseParser", () => {
  test("hands on a view of the bytes it is given, with the chunks in it moved together", () => {
    const large = "x".repeat(1000); // a small packet is copied
    const bytes = latin1(`${CHUNKED}3e8\r\n${large}\r\n2\r\nde\r\n0\r\n\r\n`);
    const pieces: string[] = [];
    read([bytes], {}, (piece) => {
      expect(piece.buffer).toBe(bytes.buffer);
      pieces.push(Buffer.from(piece).toString());
    });
    expect(pieces).toEqual([`${large}de`]);
  });

  test("hands on what came before a fault in the same bytes", () => {
    const { body, error } = read([latin1(CHUNKED + "3\r\nabc\r\nx\r\n")]);
    expect(body).toBe("abc");
    expect(error).toContain("chunk size");
  });

  test("hands on a read that holds nothing but body as it is", () => {
    const first = latin1(OK + "content-length: 10\r\n\r\nhe");
    const second = latin1("llo wo");
    const pieces: Uint8Array[] = [];
    read([first, second], { isClosed: false }, (piece) => pieces.push(piece));
    expect(pieces[1]).toBe(second);
  });

  test("a reset in the middle is no end of a body that ends with the connection", () => {
    const parser = new ResponseParser({ onHead() {}, onBody() {} });
    parser.reset(false);
    parser.push(latin1(OK + "\r\nhello"));
    expect(() => parser.finish(true)).toThrow("middle of the body");
  });

  test("reads nothing more after stop", () => {
    const pieces: string[] = [];
    const parser = new ResponseParser({
      onHead() {},
      onBody(bytes) {
        pieces.push(Buffer.from(bytes).toString());
        parser.stop();
      },
    });
    parser.reset(false);
    parser.push(latin1(CHUNKED + "1\r\na\r\n1\r\nb\r\n"));
    parser.push(latin1("1\r\nc\r\n"));
    parser.finish();
    expect(pieces).toEqual(["ab"]);
  });

  test("reads one response after another", () => {
    const body: Buffer[] = [];
    const parser = new ResponseParser({
      onHead() {},
      onBody: (bytes) => body.push(Buffer.from(bytes)),
    });
    const kept = GOOD.filter(({ wanted }) => wanted.keepsAlive === true);
    expect(kept.length).toBeGreaterThan(3);
    for (const { bytes, wanted, isBodiless = false } of kept) {
      parser.reset(isBodiless);
      body.length = 0;
      for (const piece of eachByte(latin1(bytes))) parser.push(piece);
      expect(parser.isDone).toBeTrue();
      expect(Buffer.concat(body).toString("latin1")).toBe(wanted.body!);
    }
  });
});

describe("ResponseParser and 20 000 wounded responses (seeded)", () => {
  for (let seed = 1; seed <= 20; seed++) {
    test(`seed ${seed}: an error or a response, and the same one however it is cut`, () => {
      const random = seeded(seed);
      let errors = 0;
      for (let i = 0; i < 1_000; i++) {
        const bytes = wounded(GOOD[random() % GOOD.length]!.bytes, random, 6);
        const whole = read([Buffer.from(bytes)], { headBytesMax: 512 });
        expect(whole.isDone || whole.error !== "").toBeTrue();
        expect(whole.body.length).toBeLessThanOrEqual(bytes.length);
        const pieces = randomCuts(bytes, random);
        const where = JSON.stringify(bytes.toString("latin1"));
        expect(read(pieces, { headBytesMax: 512 }), where).toEqual(whole);
        if (whole.error !== "") errors++;
      }
      // Both kinds must occur, or the wounds are too deep or too shallow to show anything.
      expect(errors).toBeGreaterThan(100);
      expect(errors).toBeLessThan(950);
    });
  }
});
