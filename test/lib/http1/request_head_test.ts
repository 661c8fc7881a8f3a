import { describe, expect, test } from "bun:test";
import { Http1Error, type RequestFault, requestFaultStatus } from "../../../src/lib/http1/error.ts";
import { type Field, Fields } from "../../../src/lib/http1/fields.ts";
import { BodyDecoder } from "../../../src/lib/http1/framing.ts";
import {
  FIELDS_MAX,
  type RequestHead,
  requestHead,
  RequestHeadReader,
  type RequestLimits,
} from "../../../src/lib/http1/request_head.ts";
import { METHOD_BYTES_MAX } from "../../../src/lib/http1/request_line.ts";
import { cut, eachByte, latin1, randomCuts, seeded, wounded } from "./pieces.ts";

/** One request, with pairs instead of bytes. */
type Request = Omit<RequestHead, "fields"> & {
  readonly fields: readonly Field[];
  /** As latin1. */
  readonly body: string;
};

/** Everything that was read of some bytes. */
interface Reading {
  readonly requests: readonly Request[];
  /** True when the bytes end inside a head. */
  readonly hasBegun: boolean;
  /** "code: message" of what was thrown; "" = nothing. */
  readonly error: string;
  /** What was known of the request then. */
  readonly fault: string;
}

const LIMITS: RequestLimits = { headBytesMax: 1_024, targetBytesMax: 128 };

/** Reads a connection whose bytes come as `pieces`: heads and bodies, one behind the other. */
function read(pieces: readonly Buffer[], limits: RequestLimits = LIMITS): Reading {
  const reader = new RequestHeadReader(limits);
  const decoder = new BodyDecoder("request");
  const requests: Request[] = [];
  let body: Buffer[] = [];
  let head: RequestHead | undefined;
  let error = "";
  let fault = "";
  const sink = { onBody: (bytes: Buffer) => void body.push(Buffer.from(bytes)) };
  const end = () => {
    if (head === undefined || !decoder.isDone) return;
    const text = Buffer.concat(body).toString("latin1");
    requests.push({ ...head, fields: [...head.fields], body: text });
    head = undefined;
    body = [];
  };
  try {
    for (const bytes of pieces) {
      for (let at = 0; at < bytes.length;) {
        if (head === undefined) {
          head = reader.read(bytes, at);
          at = reader.end;
          if (head === undefined) expect(at).toBe(bytes.length);
          else decoder.begin(head.framing, head.lengthBytes, limits.headBytesMax);
        } else {
          at = decoder.read(bytes, at, sink);
        }
        end();
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof Http1Error)) throw thrown;
    error = `${thrown.code}: ${thrown.message}`;
    if (head === undefined) fault = `${reader.faultMethod} ${reader.faultTarget}`;
    expect(reader.partial).toBeNull();
  }
  return { requests, hasBegun: reader.hasBegun, error, fault };
}

const HOST = "Host: a\r\n";
const GET = "GET / HTTP/1.1\r\n" + HOST;
const POST = "POST /v1/chat HTTP/1.1\r\n" + HOST;

interface GoodCase {
  readonly name: string;
  readonly bytes: string;
  /** What is said of each request. */
  readonly wanted: readonly Partial<Request>[];
}

function good(name: string, bytes: string, ...wanted: Partial<Request>[]): GoodCase {
  return { name, bytes, wanted };
}

const GOOD: readonly GoodCase[] = [
  good("GET", GET + "\r\n", {
    method: "GET",
    target: "/",
    isHttp10: false,
    fields: [["Host", "a"]],
    framing: "none",
    lengthBytes: 0,
    keepsAlive: true,
    expectsContinue: false,
    upgrade: "",
    body: "",
  }),
  good("POST with a length", POST + "Content-Length: 5\r\n\r\nhello", {
    method: "POST",
    target: "/v1/chat",
    framing: "length",
    lengthBytes: 5,
    body: "hello",
  }),
  good("a length of 0", POST + "content-length: 0\r\n\r\n", { framing: "length", lengthBytes: 0 }),
  good("the same length twice", POST + "content-length: 2\r\nContent-Length: 2, 2\r\n\r\nhi", {
    body: "hi",
  }),
  good("a length with zeros before it", POST + "content-length: 0002\r\n\r\nhi", { body: "hi" }),
  good(
    "the largest length",
    POST + "content-length: 9007199254740991\r\n\r\n",
    // Its body does not come: the head alone is looked at below.
  ),
  good("chunks", POST + "TRANSFER-Encoding: Chunked\r\n\r\n2;x\r\nhi\r\n0\r\nSum: 1\r\n\r\n", {
    framing: "chunked",
    body: "hi",
  }),
  good(
    "requests behind each other",
    GET + "\r\n" + POST + "content-length: 2\r\n\r\nhi" + POST +
      "transfer-encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n" + GET + "\r\n",
    { method: "GET" },
    { body: "hi" },
    { body: "yo" },
    { method: "GET", body: "" },
  ),
  good("empty lines before and between", `\r\n\r\n${GET}\r\n\r\n\r\n\r\n\r\n${GET}\r\n`, {}, {}),
  ...["PUT", "HEAD", "PATCH", "TRACE", "DELETE", "OPTIONS", "get", "M-SEARCH", "GEX", "X!"].map(
    (method) => good(`the method ${method}`, GET.replace("GET", method) + "\r\n", { method }),
  ),
  good("a path with a query", GET.replace("/", "/v1/x?y=1&z=%20/?") + "\r\n", {
    target: "/v1/x?y=1&z=%20/?",
  }),
  good("a path that begins with two slashes", GET.replace("/", "//x") + "\r\n", { target: "//x" }),
  good("signs that no URL should have", GET.replace("/", '/"<>^`{|}[]~?\\?') + "\r\n", {
    target: '/"<>^`{|}[]~?\\?',
  }),
  good("a URL", GET.replace("/", "http://a.example:80/v1?x=/") + "\r\n", { target: "/v1?x=/" }),
  good("a URL without a path", GET.replace("/", "HTTPS://a") + "\r\n", { target: "/" }),
  good("a URL with a query alone", GET.replace("/", "http://[::1]:8080?a=b") + "\r\n", {
    target: "/?a=b",
  }),
  good("OPTIONS of everything", GET.replace("GET /", "OPTIONS *") + "\r\n", { target: "*" }),
  good("CONNECT", GET.replace("GET /", "CONNECT a.example:443") + "\r\n", {
    method: "CONNECT",
    target: "a.example:443",
  }),
  ...["", "a", "a.example:8080", "a:", "127.0.0.1", "[::1]:80", "[::ffff:1.2.3.4]", "a_b", "%41"]
    .map((host) =>
      good(`the host "${host}"`, `GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`, {
        fields: [["host", host]],
      })
    ),
  good("HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n", {
    isHttp10: true,
    keepsAlive: false,
    fields: [],
  }),
  good("HTTP/1.0 that stays", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", {
    keepsAlive: true,
  }),
  good("HTTP/1.0 that does not", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", {
    keepsAlive: false,
  }),
  good("HTTP/1.1 that goes", GET + "Connection: x ,\tClose\r\n\r\n", { keepsAlive: false }),
  good("close in a second line", GET + "Connection: x\r\nconnection: close\r\n\r\n", {
    keepsAlive: false,
  }),
  good("a name that begins with close", GET + "Connection: closed\r\n\r\n", { keepsAlive: true }),
  good("Expect", POST + "Expect: 100-Continue\r\ncontent-length: 2\r\n\r\nhi", {
    expectsContinue: true,
    body: "hi",
  }),
  good("Expect in HTTP/1.0", "GET / HTTP/1.0\r\nexpect: 100-continue\r\nexpect: x\r\n\r\n", {
    expectsContinue: false,
  }),
  good("Upgrade", GET + "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", {
    upgrade: "websocket",
  }),
  good("Upgrade that Connection does not name", GET + "Upgrade: h2c\r\n\r\n", { upgrade: "" }),
  good("Connection: upgrade alone", GET + "Connection: upgrade\r\n\r\n", { upgrade: "" }),
  good(
    "values with blanks, colons, nothing, and bytes above ASCII",
    GET + "a: \t x y \t\r\nb:\r\nc:d:e\r\nx: voil\xc3\xa0\r\n\r\n",
    {
      fields: [["Host", "a"], ["a", "x y"], ["b", ""], ["c", "d:e"], ["x", "voil\xc3\xa0"]],
    },
  ),
  good(`${FIELDS_MAX} fields`, GET + "a:\r\n".repeat(FIELDS_MAX - 1) + "\r\n"),
  good(
    "names that are only as long as the ones that matter",
    GET +
      "Hosu: b\r\nExpecu: 1\r\nUpgradf: 1\r\nConnectioo: close\r\nContent-Lengti: x\r\n" +
      "Transfer-Encodinh: x\r\n\r\n",
    { framing: "none", keepsAlive: true },
  ),
  good("a head in part", GET + "a: b\r\n"),
];

interface BadCase {
  readonly name: string;
  readonly bytes: string;
  readonly code: RequestFault;
  readonly says: string;
  /** "method target" that are known then. */
  readonly fault: string;
}

function bad(
  name: string,
  bytes: string,
  says: string,
  fault = "GET /",
  code: RequestFault = "malformed",
): BadCase {
  return { name, bytes, code, says, fault };
}

/** A line that is not `METHOD SP target SP HTTP/1.x`. */
const line = (name: string, text: string, fault: string, says = "request line is broken") =>
  bad(name, `${text}\r\n${HOST}\r\n`, says, fault);

const BAD: readonly BadCase[] = [
  line("HTTP/0.9", "GET /", "GET /"),
  line("no target", "GET", " "),
  line("no target, but a blank", "GET ", "GET "),
  line("two blanks before the target", "GET  / HTTP/1.1", "GET "),
  line("two blanks behind the target", "GET /  HTTP/1.1", "GET /"),
  line("a tab", "GET\t/ HTTP/1.1", " "),
  line("a blank first", " GET / HTTP/1.1", " "),
  line("a blank last", "GET / HTTP/1.1 ", "GET /"),
  line("a method that is no token", "G(T / HTTP/1.1", " "),
  line("no version", "GET / ", "GET /"),
  line("a version in small letters", "GET / http/1.1", "GET /"),
  line("a version of two digits", "GET / HTTP/1.10", "GET /"),
  line("a version without a dot", "GET / HTTP/11", "GET /"),
  line("a version with letters", "GET / HTTP/1.x", "GET /"),
  line("a blank in the target", "GET /a b HTTP/1.1", "GET /a"),
  line("a fragment", "GET /a#b HTTP/1.1", "GET /a"),
  line("a backslash", "GET /a\\b HTTP/1.1", "GET /a"),
  line("bytes above ASCII in the target", "GET /v1/\xe4\xbd\xa0 HTTP/1.1", "GET /v1/"),
  line("NUL in the target", "GET /a\0 HTTP/1.1", "GET /a", "control character"),
  line("TLS", "\x16\x03\x01\x02\x00\x01", " ", "control character"),
  line("no slash", "GET v1 HTTP/1.1", "GET v1", "neither a path nor a URL"),
  line("another scheme", "GET ftp://a/ HTTP/1.1", "GET ftp://a/", "neither a path nor a URL"),
  line("a URL without a host", "GET http:///x HTTP/1.1", "GET http:///x", "neither a path"),
  line("a URL with a user", "GET http://a@b/ HTTP/1.1", "GET http://a@b/", "neither a path"),
  line("a URL with a wrong port", "GET http://a:x/ HTTP/1.1", "GET http://a:x/", "neither a path"),
  line("* for GET", "GET * HTTP/1.1", "GET *", "neither a path"),
  line("OPTIONS of **", "OPTIONS ** HTTP/1.1", "OPTIONS **", "neither a path"),
  line("host and port for GET", "GET a:443 HTTP/1.1", "GET a:443", "neither a path"),
  line("CONNECT to a path", "CONNECT /x HTTP/1.1", "CONNECT /x", "no host and port"),
  line("CONNECT without a port", "CONNECT a HTTP/1.1", "CONNECT a", "no host and port"),
  line("CONNECT without digits", "CONNECT a: HTTP/1.1", "CONNECT a:", "no host and port"),
  line(
    "a long method",
    "X".repeat(METHOD_BYTES_MAX + 1) + " / HTTP/1.1",
    " ",
    "method is too long",
  ),
  bad("LF alone behind the request line", "GET / HTTP/1.1\nHost: a\n\n", "request line is broken"),
  bad("CR alone behind the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "request line"),
  bad("LF before the request line", "\n" + GET + "\r\n", "request line is broken", " "),
  bad("CR before the request line", "\r" + GET + "\r\n", "not CR LF", " "),
  bad("five empty lines", "\r\n".repeat(5) + GET + "\r\n", "begins with empty lines", " "),
  bad(
    "a fault behind a good request",
    POST + "content-length: 1\r\n\r\nx\rx",
    "not CR LF",
    " ",
  ),
  bad("LF alone between fields", GET + "a: b\nc: d\r\n\r\n", "not CR LF"),
  bad("CR alone in a field", GET + "a: b\rc: d\r\n\r\n", "not CR LF"),
  bad("CR CR LF", GET + "a: b\r\r\n\r\n", "not CR LF"),
  bad("LF instead of the empty line", GET + "\n", "not CR LF"),
  bad("CR instead of the empty line", GET + "\rx", "not CR LF"),
  bad("LF alone behind a broken field", GET + "a\r\nb: c\n\r\n\r\n", "not CR LF"),
  bad("NUL in a value", GET + "a: b\0c\r\n\r\n", "control character"),
  bad("NUL in a name", GET + "a\0: b\r\n\r\n", "control character"),
  bad("DEL in a value", GET + "a: \x7f\r\n\r\n", "control character"),
  bad("a folded line", GET + "a: b\r\n c\r\n\r\n", "folded"),
  bad("a folded first line", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "folded"),
  bad("a field without a colon", GET + "abc\r\n\r\n", "broken field"),
  bad("a field without a name", GET + ": abc\r\n\r\n", "broken field"),
  bad("a blank before the colon", GET + "content-length : 2\r\n\r\nhi", "broken field"),
  bad("a name with bytes above ASCII", GET + "\xe4\xbd\xa0: 1\r\n\r\n", "broken field"),
  bad("no host", "GET / HTTP/1.1\r\n\r\n", "no host"),
  bad("two hosts", GET + HOST + "\r\n", "two hosts"),
  bad("two hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" + HOST + HOST + "\r\n", "two hosts"),
  ...[
    "a b",
    "a/b",
    "a@b",
    ":80",
    "a:x",
    "a:99999",
    "a:123456",
    "a:80:80",
    "a, b",
    "[::1",
    "[]",
    "[g]",
    "::1",
    "[::1]x",
    "a?",
    "\xe4",
    "%4",
    "%zz",
    "http://a",
  ].map((host) =>
    bad(`the host "${host}"`, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, "host is not valid")
  ),
  bad(
    "both lengths",
    POST + "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a content-length and a transfer-encoding",
    "POST /v1/chat",
  ),
  ...["1\r\nContent-Length: 2", "1, 2", "5, 05", "1,"].map((value) =>
    bad(
      `the content-length ${JSON.stringify(value)}`,
      POST + `content-length: ${value}\r\n\r\n`,
      "two content-lengths",
      "POST /v1/chat",
    )
  ),
  ...["", "-1", "+1", "0x10", "1.0", "1e3", "1 1", ",1", "\xb9"].map((value) =>
    bad(
      `the content-length "${value}"`,
      POST + `content-length: ${value}\r\n\r\n`,
      "not a number",
      "POST /v1/chat",
    )
  ),
  bad(
    "a length of 2^53",
    POST + "content-length: 9007199254740992\r\n\r\n",
    "too large",
    "POST /v1/chat",
  ),
  bad(
    "chunks in HTTP/1.0",
    "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "although it is HTTP/1.0",
    "POST /",
  ),
  ...[
    "gzip, chunked",
    "chunked, chunked",
    "identity",
    "",
    "xchunked",
    "chunked;a=b",
    "chunked\r\nTransfer-Encoding: chunked",
    "x\r\nTransfer-Encoding: chunked",
  ].map((coding) =>
    bad(
      `the coding ${JSON.stringify(coding)}`,
      POST + `transfer-encoding: ${coding}\r\n\r\n0\r\n\r\n`,
      "not chunked",
      "POST /v1/chat",
      "coding_unsupported",
    )
  ),
  ...["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.1"].map((version) =>
    bad(
      version,
      GET.replace("HTTP/1.1", version) + "\r\n",
      "neither",
      "GET /",
      "version_unsupported",
    )
  ),
  bad(
    "the preface of HTTP/2",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "neither",
    "PRI *",
    "version_unsupported",
  ),
  ...["200-ok", "", "100-continue, x"].map((value) =>
    bad(
      `the expectation "${value}"`,
      POST + `expect: ${value}\r\n\r\n`,
      "expects something else",
      "POST /v1/chat",
      "expectation_failed",
    )
  ),
  bad(
    "a target of one byte too many",
    `GET /${"x".repeat(LIMITS.targetBytesMax)} HTTP/1.1\r\n${HOST}\r\n`,
    "longer than 128 bytes",
    `GET /${"x".repeat(LIMITS.targetBytesMax - 1)}`,
    "target_too_long",
  ),
  bad(
    "a target without end",
    `GET /${"x".repeat(LIMITS.targetBytesMax * 2)}`,
    "longer than 128 bytes",
    `GET /${"x".repeat(LIMITS.targetBytesMax - 1)}`,
    "target_too_long",
  ),
  bad(
    "a head without end",
    GET + "a: " + "x".repeat(LIMITS.headBytesMax),
    "longer than 1024 bytes",
    "GET /",
    "head_too_large",
  ),
  bad(
    "a head of one byte too many",
    GET + "a: " + "x".repeat(LIMITS.headBytesMax - GET.length - 6) + "\r\n\r\n",
    "longer than 1024 bytes",
    "GET /",
    "head_too_large",
  ),
];

describe("RequestHeadReader reads", () => {
  for (const { name, bytes, wanted } of GOOD) {
    test(name, () => {
      const { requests, error } = read([latin1(bytes)], { ...LIMITS, headBytesMax: 2_048 });
      expect(error).toBe("");
      if (wanted.length > 0) expect(requests as unknown).toMatchObject(wanted);
    });
  }

  test("a length up to 2^53 - 1", () => {
    const reader = new RequestHeadReader(LIMITS);
    const head = reader.read(latin1(POST + "content-length: 9007199254740991\r\n\r\n"), 0);
    expect(head?.lengthBytes).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe("RequestHeadReader refuses", () => {
  for (const { name, bytes, code, says, fault } of BAD) {
    test(name, () => {
      const reading = read([latin1(bytes)]);
      expect(reading.error).toStartWith(`${code}: Cannot read the request: `);
      expect(reading.error).toContain(says);
      expect(reading.fault).toBe(fault);
      expect(requestFaultStatus(code)).toBeGreaterThanOrEqual(400);
    });
  }

  test(`more than ${FIELDS_MAX} fields`, () => {
    const { error } = read([latin1(GET + "a:\r\n".repeat(FIELDS_MAX) + "\r\n")], {
      ...LIMITS,
      headBytesMax: 4_096,
    });
    expect(error).toBe("head_too_large: Cannot read the request: its head has too many fields");
  });
});

describe("RequestHeadReader gives the same for every way to cut the bytes", () => {
  for (const { name, bytes: text } of [...GOOD, ...BAD]) {
    test(name, () => {
      const bytes = latin1(text);
      const whole = read([Buffer.from(bytes)]);
      for (let offset = 0; offset <= bytes.length; offset++) {
        expect(read(cut(bytes, offset)), `cut at ${offset}`).toEqual(whole);
      }
      expect(read(eachByte(bytes)), "byte by byte").toEqual(whole);
    });
  }
});

describe("RequestHeadReader", () => {
  /** Texts that can become no head, each as soon as its last byte is here. */
  const HOPELESS = [
    "\x16",
    "GET\r",
    "GET /\r",
    "GET / HTTX",
    "G T HTTP/1.1\r\n",
    GET + "a: \0",
    GET + "a\n",
  ];
  for (const text of HOPELESS) {
    test(`throws at the last byte of ${JSON.stringify(text)}`, () => {
      const bytes = latin1(text);
      const reader = new RequestHeadReader(LIMITS);
      for (const byte of bytes.subarray(0, -1)) reader.read(Buffer.from([byte]), 0);
      expect(() => reader.read(bytes.subarray(-1), 0)).toThrow(Http1Error);
    });
  }

  test("says when a head has begun, and holds nothing behind it", () => {
    const reader = new RequestHeadReader(LIMITS);
    expect(reader.hasBegun).toBeFalse();
    expect(reader.read(latin1("\r\n"), 0)).toBeUndefined();
    expect(reader.hasBegun).toBeFalse();
    expect(reader.read(latin1("G"), 0)).toBeUndefined();
    expect(reader.hasBegun).toBeTrue();
    expect(reader.read(latin1(GET.slice(1) + "\r\nrest"), 0)?.target).toBe("/");
    expect(reader.end).toBe(GET.length + 1);
    expect(reader.hasBegun).toBeFalse();
    expect(reader.partial).toBeNull();
  });

  test("serves several connections when each keeps its own part", () => {
    const shared = new RequestHeadReader(LIMITS);
    const texts = [GET + "a: 1\r\n\r\n", POST + "b: 2\r\nc: 3\r\n\r\n"];
    const connections = texts.map((text) => ({
      pieces: eachByte(latin1(text)),
      partial: shared.partial,
      heads: [] as (readonly Field[])[],
    }));
    for (let i = 0; i < Math.max(...texts.map((text) => text.length)); i++) {
      for (const connection of connections) {
        const piece = connection.pieces[i];
        if (piece === undefined) continue;
        shared.partial = connection.partial;
        const head = shared.read(piece, 0);
        connection.partial = shared.partial;
        if (head !== undefined) connection.heads.push([...head.fields]);
      }
    }
    expect(connections.map(({ heads }) => heads)).toEqual([
      [[["Host", "a"], ["a", "1"]]],
      [[["Host", "a"], ["b", "2"], ["c", "3"]]],
    ]);
  });

  test("tells apart targets that are remembered in the same place", () => {
    const reader = new RequestHeadReader({ headBytesMax: 4_096, targetBytesMax: 2_048 });
    const random = seeded(7);
    const targets = Array.from({ length: 200 }, () => `/${(random() % 5_000).toString(36)}`);
    targets.push(`/${"x".repeat(1_000)}`);
    for (const target of [...targets, ...targets]) {
      const head = reader.read(latin1(GET.replace("/", target) + "\r\n"), 0);
      expect(head?.target).toBe(target);
    }
  });
});

describe("RequestHeadReader and 20 000 wounded requests (seeded)", () => {
  for (let seed = 1; seed <= 20; seed++) {
    test(`seed ${seed}: the same heads, bodies and errors however they are cut`, () => {
      const random = seeded(seed);
      let errors = 0;
      for (let i = 0; i < 1_000; i++) {
        const bytes = wounded(GOOD[random() % GOOD.length]!.bytes, random, 3);
        const whole = read([Buffer.from(bytes)]);
        const where = JSON.stringify(bytes.toString("latin1"));
        expect(read(randomCuts(bytes, random)), where).toEqual(whole);
        if (whole.error !== "") errors++;
      }
      // Both kinds must occur, or the wounds are too deep or too shallow to show anything.
      expect(errors).toBeGreaterThan(100);
      expect(errors).toBeLessThan(950);
    });
  }
});

describe("requestHead()", () => {
  test("is GET / without a host when nothing is said", () => {
    expect({ ...requestHead(), fields: 0 }).toEqual({
      method: "GET",
      target: "/",
      isHttp10: false,
      fields: 0,
      framing: "none",
      lengthBytes: 0,
      keepsAlive: true,
      expectsContinue: false,
      upgrade: "",
    });
    expect(requestHead().fields).toBe(Fields.NONE);
  });

  test("reads what its fields say, as of a head that was sent", () => {
    const head = requestHead({
      method: "POST",
      target: "/x",
      fields: [["Content-Length", "7"], ["Connection", "close"]],
    });
    expect(head).toMatchObject({ method: "POST", target: "/x", framing: "length", lengthBytes: 7 });
    expect(head.keepsAlive).toBeFalse();
    expect(() => requestHead({ fields: [["content-length", "x"]] })).toThrow(Http1Error);
    expect(() => requestHead({ fields: [["a b", "x"]] })).toThrow(TypeError);
  });
});
