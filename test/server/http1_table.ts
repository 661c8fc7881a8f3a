/**
 * What clients, attackers and broken proxies send to an HTTP/1.1 server, byte for byte, and what has
 * to come back. Each row is sent in one piece with `PROBE` behind it, so that a row also says whether
 * the server still knows where the next request begins. RFC 9112 unless a line names another.
 *
 * @module
 */

/** One thing to send. */
export interface Row {
  readonly name: string;
  /** Each character is one byte. */
  readonly bytes: string;
  /** For each answer the statuses that are right, in order. The probe's is not among them. */
  readonly answers: readonly (readonly number[])[];
  /**
   * What becomes of the probe. "never": the connection closes before it. "either": the row ends with
   * an answer after which a server may close or go on.
   */
  readonly probe: "answered" | "never" | "either";
  /** Present where the body stays away: what reads it whole before it passes it on waits for it. */
  readonly isHalf?: true;
}

/** A chat that every weir answers with 200 and an event stream. */
export const CHAT = '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}';

/** The request behind every row: answered with 200, and the connection is over. */
export const PROBE = "GET /health HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";

/** `server.body_max_bytes` of the weirs that the table is sent to. */
export const BODY_BYTES_MAX = 100_000;

/** A request that hides in the body of another one: nobody may ever answer it, or pass it on. */
export const SMUGGLED = post([], CHAT.replace("gpt-4o", "smuggled"));

const SIZE = CHAT.length.toString(16);
const LINE = "GET /health HTTP/1.1\r\n";

/** A GET with these lines, and whatever stands behind its head. */
function get(lines: readonly string[], rest = "", target = "/health"): string {
  return [`GET ${target} HTTP/1.1`, "Host: weir", ...lines, "", rest].join("\r\n");
}

/** A chat whose framing is the row's own. */
function framed(lines: readonly string[], body: string): string {
  const head = ["POST /v1/chat/completions HTTP/1.1", "Host: weir", ...lines];
  return [...head, "Content-Type: application/json", "", body].join("\r\n");
}

/** A chat with its length. */
function post(lines: readonly string[], body: string = CHAT): string {
  return framed([`Content-Length: ${body.length}`, ...lines], body);
}

/** A chat in chunks; `body` is the framing as it stands on the wire. */
function chunked(body: string): string {
  return framed(["Transfer-Encoding: chunked"], body);
}

const BAD: readonly number[] = [400];
/** A version that is none, or one of others. */
const VERSION: readonly number[] = [505, 400];
/** A coding that weir does not know. */
const CODING: readonly number[] = [501, 400];

/** The server says what is wrong, and closes. */
function refused(name: string, bytes: string, statuses: readonly number[] = BAD): Row {
  return { name, bytes, answers: [statuses], probe: "never" };
}

/** The server answers with 200 as often as said, and goes on. */
function served(name: string, bytes: string, count = 1): Row {
  return { name, bytes, answers: Array.from({ length: count }, () => [200]), probe: "answered" };
}

/** A tolerant server serves it and a strict one refuses it; both know where it ends. */
function tolerated(name: string, bytes: string, others: readonly number[] = BAD): Row {
  return { name, bytes, answers: [[200, ...others]], probe: "either" };
}

/** One of these statuses; whether the connection goes on is the server's choice. */
function answered(name: string, bytes: string, ...statuses: readonly number[]): Row {
  return { name, bytes, answers: [statuses], probe: "either" };
}

/** The server answers with this status. */
function found(name: string, bytes: string, status: number, probe: Row["probe"]): Row {
  return { name, bytes, answers: [[status]], probe };
}

/** Line ends, and bytes that stand in no head. */
const BYTES: readonly Row[] = [
  refused("a bare CR within a field's value", get(["X: a\rb"])),
  refused("a bare CR that hides a field", get(["X: a\rContent-Length: 100"])),
  refused("a CR before the line end", get(["X: a\r"])),
  refused("a bare CR within a field's name", get(["X\r: a"])),
  refused("a bare CR within the request line", get([], "", "/health\r")),
  refused("a bare LF behind the request line", get([]).replace("\r\n", "\n")),
  refused("a bare LF behind a field", get(["X: a\nY: b"])),
  refused("a bare LF that ends the head", "GET /health HTTP/1.1\r\nHost: weir\r\n\n"),
  refused("bare LFs all through", get([]).replaceAll("\r\n", "\n")),
  refused("LF CR in place of CR LF", get([]).replaceAll("\r\n", "\n\r")),
  refused("bare CRs all through", get([]).replaceAll("\r\n", "\r")),
  refused("a NUL in the target", get([], "", "/he\0alth")),
  refused("a NUL in a field's name", get(["X\0: a"])),
  refused("a NUL in a field's value", get(["X: a\0"])),
  refused("a NUL before the method", `\0${get([])}`),
  refused("0x01 in a field's value", get(["X: a\x01b"])),
  refused("a vertical tab in a field's value", get(["X: a\x0bb"])),
  refused("a form feed in a field's name", get(["X\x0c: a"])),
  refused("an escape character in a field's value", get(["X: \x1b[2J"])),
  refused("DEL in a field's value", get(["X: a\x7f"])),
  refused("DEL in a field's name", get(["X\x7f: a"])),
  tolerated("bytes above 0x7f in a field's value, as RFC 9110 5.5 allows", get(["X: \xe4\xff"])),
  served("a tab within a field's value", get(["X: a\tb"])),
];

/** Fields. */
const FIELDS: readonly Row[] = [
  refused("a field folded with a blank", get(["X: a", " b"])),
  refused("a field folded with a tab", get(["X: a", "\tb"])),
  refused("a folded length", post([]).replace("Content-Length: ", "Content-Length:\r\n ")),
  refused("a first field that begins with a blank", `${LINE} Host: weir\r\n\r\n`),
  refused("a blank before the colon", get(["X : a"])),
  refused("a tab before the colon", get(["X\t: a"])),
  refused("a blank before the colon of a length", framed(["Content-Length : 1"], CHAT)),
  refused("a blank before the colon of a coding", framed(["Transfer-Encoding : chunked"], "")),
  refused("a field without a name", get([": a"])),
  refused("a field without a colon", get(["X"])),
  refused("a blank within a field's name", get(["X Y: a"])),
  refused("brackets in a field's name", get(["X(Y): a"])),
  refused("a quote in a field's name", get(['"X": a'])),
  refused("a slash in a field's name", get(["X/Y: a"])),
  refused("a byte above 0x7f in a field's name", get(["X\xe4: a"])),
  served("an empty value", get(["X:"])),
  served("blanks and tabs around a value", get(["X: \t a \t "])),
  served("no blank behind the colon", get(["X:a"])),
  served("colons within a value", get(["X: a: b:c"])),
  served("every character of a token in a name", get(["!#$%&'*+-.^_`|~09azAZ: a"])),
  served("names that an object has of itself", get(["__proto__: a", "constructor: b"])),
  served("a field of 40 KiB", get([`X: ${"a".repeat(40_960)}`])),
  refused("a field of 70 KiB", get([`X: ${"a".repeat(71_680)}`]), [431]),
  refused(
    "70 KiB of small fields",
    get(Array.from({ length: 7000 }, (_, i) => `X${String(i).padStart(4, "0")}: a`)),
    [431],
  ),
  refused("a name of 70 KiB without a colon", get(["X".repeat(71_680)]), [431, 400]),
];

/** The request line. */
const REQUEST_LINES: readonly Row[] = [
  refused("two blanks behind the method", get([]).replace(" ", "  ")),
  refused("two blanks before the version", get([]).replace(" HTTP", "  HTTP")),
  refused("a tab behind the method", get([]).replace(" ", "\t")),
  refused("a tab before the version", get([]).replace(" HTTP", "\tHTTP")),
  refused("a blank behind the version", get([]).replace("1.1\r", "1.1 \r"), VERSION),
  refused("a blank before the method", ` ${get([])}`),
  refused("a blank within the target", get([], "", "/health ?a"), VERSION),
  refused("no target", "GET HTTP/1.1\r\nHost: weir\r\n\r\n", VERSION),
  refused("no version", "GET /health\r\nHost: weir\r\n\r\n", VERSION),
  refused("a method alone", "GET\r\n\r\n", VERSION),
  refused("no method", "/health HTTP/1.1\r\nHost: weir\r\n\r\n", VERSION),
  refused("brackets in the method", get([]).replace("GET", "G(E)T")),
  refused("a byte above 0x7f in the method", get([]).replace("GET", "G\xcbT")),
  refused("a colon in the method", get([]).replace("GET", "GET:")),
  answered("a method in small letters", get([]).replace("GET", "get"), 400, 404, 405, 501),
  answered("a method that nobody knows", get([]).replace("GET", "BREW"), 400, 404, 405, 501),
  refused("HTTP/2.0", get([]).replace("HTTP/1.1", "HTTP/2.0"), VERSION),
  refused("HTTP/1.2", get([]).replace("HTTP/1.1", "HTTP/1.2"), VERSION),
  refused("HTTP/0.9 in full", get([]).replace("HTTP/1.1", "HTTP/0.9"), VERSION),
  refused("HTTP/1.10", get([]).replace("HTTP/1.1", "HTTP/1.10"), VERSION),
  refused("HTTP/01.1", get([]).replace("HTTP/1.1", "HTTP/01.1"), VERSION),
  refused("HTTP/1,1", get([]).replace("HTTP/1.1", "HTTP/1,1"), VERSION),
  refused("HTTP/1", get([]).replace("HTTP/1.1", "HTTP/1"), VERSION),
  refused("http/1.1 in small letters", get([]).replace("HTTP/1.1", "http/1.1"), VERSION),
  refused("another protocol's name", get([]).replace("HTTP/1.1", "RTSP/1.1"), VERSION),
  refused(
    "an answer in place of a request",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    VERSION,
  ),
  tolerated("an empty line before the request line (2.2)", `\r\n${get([])}`),
  refused("a bare LF before the request line", `\n${get([])}`),
  answered("a target above the limit", get([], "", `/health?${"a".repeat(9000)}`), 414),
  refused("a target of 70 KiB", get([], "", `/health?${"a".repeat(71_680)}`), [414, 431]),
];

/** Targets and hosts. */
const TARGETS: readonly Row[] = [
  refused("a byte above 0x7f in the target", get([], "", "/health?\xe4")),
  refused("UTF-8 in the target", get([], "", "/health?\xe6\xb0\xb4")),
  refused("0x01 in the target", get([], "", "/health?\x01")),
  refused("DEL in the target", get([], "", "/health?\x7f")),
  answered("a target without its slash", get([], "", "health"), 400, 404),
  answered("a target that is a question mark", get([], "", "?a"), 400, 404),
  tolerated("a fragment in the target", get([], "", "/health#x"), [400, 404]),
  served("a whole URL", get([], "", "http://weir/health")),
  served("a whole URL with a port and a query", get([], "", "http://weir:80/health?a=b")),
  served("a whole URL whose scheme is in capitals", get([], "", "HTTP://weir/health")),
  tolerated("a whole URL of another host than the field's", get([], "", "http://evil/health")),
  refused("a whole URL of ftp", get([], "", "ftp://weir/health")),
  refused("a whole URL of file", get([], "", "file:///etc/passwd")),
  refused("a whole URL of ws", get([], "", "ws://weir/health")),
  answered("a URL without its slashes", get([], "", "http:health"), 400, 404),
  answered("a whole URL without a host", get([], "", "http:///health"), 400, 404),
  answered("* for another method than OPTIONS", get([], "", "*"), 400, 404, 405),
  answered(
    "OPTIONS *",
    "OPTIONS * HTTP/1.1\r\nHost: weir\r\n\r\n",
    ...[200, 204, 400, 404, 405, 501],
  ),
  answered("a tunnel", "CONNECT weir:443 HTTP/1.1\r\nHost: weir:443\r\n\r\n", 400, 404, 405),
  answered("a tunnel to a path", "CONNECT /health HTTP/1.1\r\nHost: weir\r\n\r\n", 400, 404, 405),
  refused("no host", `${LINE}\r\n`),
  refused("no host, but other fields", `${LINE}X: a\r\n\r\n`),
  refused("the same host twice", get(["Host: weir"])),
  refused("two hosts", get(["Host: evil"])),
  refused("two hosts, one in small letters", get(["host: evil"])),
  refused("a host with a blank", `${LINE}Host: we ir\r\n\r\n`),
  refused("a host with a path", `${LINE}Host: weir/health\r\n\r\n`),
  refused("a host with a user", `${LINE}Host: user@weir\r\n\r\n`),
  refused("a host with a query", `${LINE}Host: weir?a\r\n\r\n`),
  refused("a host with a fragment", `${LINE}Host: weir#a\r\n\r\n`),
  refused("a host with a backslash", `${LINE}Host: weir\\evil\r\n\r\n`),
  refused("a host whose port is no number", `${LINE}Host: weir:http\r\n\r\n`),
  refused("a host with two ports", `${LINE}Host: weir:80:80\r\n\r\n`),
  refused("a host with half a bracket", `${LINE}Host: [::1\r\n\r\n`),
  refused("a host with a byte above 0x7f", `${LINE}Host: w\xe4ir\r\n\r\n`),
  ...["[", "[]", "x@y", "a, b", "a<b>", ":80", "a:65536", "a b", "[::1]x", "a/metrics"].map((
    host,
  ) => refused(`the host ${host}`, `${LINE}Host: ${host}\r\n\r\n`)),
  refused("HTTP/1.0 with a host that is none", "GET /health HTTP/1.0\r\nHost: x@y\r\n\r\n"),
  refused("HTTP/1.0 with two hosts", "GET /health HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
  tolerated("an empty host", `${LINE}Host:\r\n\r\n`),
  // A path is cut out of the target, whatever the host is.
  found("a known path below another one", get([], "", "/aaaaaaa/metrics"), 404, "answered"),
  found("the same as a whole URL", get([], "", "http://a/aaaaaaa/metrics"), 404, "answered"),
  found("a whole URL whose host is a path", get([], "", "http://metrics/a"), 404, "answered"),
  found("a path that begins with two slashes", get([], "", "//weir/health"), 404, "answered"),
  found("a known path below another one, no host", "GET /a/health HTTP/1.0\r\n\r\n", 404, "never"),
  found("a query that is a path", get([], "", "/nothing?/health"), 404, "answered"),
  served("a host that is an IPv6 address with a port", `${LINE}Host: [::1]:8080\r\n\r\n`),
  served("a host with blanks around it", `${LINE}Host: \t weir:8080 \r\n\r\n`),
];

/** Bodies with a length. Where its meaning is in doubt, a request hides in the body. */
const LENGTHS: readonly Row[] = [
  served("a chat with its length", post([])),
  served("a length with leading zeros", post([]).replace("Content-Length: ", "Content-Length: 00")),
  served("blanks and tabs around a length", post([]).replace(/(Length:)( \d+)/, "$1 \t$2 \t")),
  served("a length of 0", get(["Content-Length: 0"])),
  served(
    "a GET with a body that is a request",
    get([`Content-Length: ${SMUGGLED.length}`], SMUGGLED),
  ),
  {
    name: "a HEAD with a body that is a request",
    bytes: `HEAD${get([`Content-Length: ${SMUGGLED.length}`], SMUGGLED).slice(3)}`,
    answers: [[200]],
    probe: "answered",
  },
  ...[
    ["with a plus", "+5"],
    ["with a minus", "-5"],
    ["in hex", "0x5"],
    ["in hex without its x", "5a"],
    ["with a fraction", "5.0"],
    ["with an exponent", "1e1"],
    ["with a blank in it", "5 5"],
    ["with a semicolon", "5;a"],
    ["with a comma behind it", "5,"],
    ["with a comma before it", ",5"],
    ["in quotes", '"5"'],
    ["that is empty", ""],
    ["that is two numbers", "5, 6"],
    ["that is a number and a word", "5, chunked"],
    ["behind a vertical tab", "\x0b5"],
    ["in superscript", "\xb2"],
    ["that is no number", "five"],
    ["with an underscore", "1_0"],
  ].map(([how, length]) =>
    refused(`a length ${how}`, framed([`Content-Length: ${length}`], SMUGGLED))
  ),
  refused("a length above 2⁶⁴", framed(["Content-Length: 18446744073709551621"], CHAT), [400, 413]),
  refused("a length above 2⁵³", framed(["Content-Length: 9007199254740993"], CHAT), [400, 413]),
  refused("a length of 400 digits", framed([`Content-Length: ${"1".repeat(400)}`], CHAT), [
    400,
    413,
  ]),
  refused("two lengths", post(["Content-Length: 0"])),
  refused(
    "two lengths, the smaller one first",
    framed(
      ["Content-Length: 0", `Content-Length: ${SMUGGLED.length}`],
      SMUGGLED,
    ),
  ),
  served("the same length twice (6.3, 5)", post([`Content-Length: ${CHAT.length}`])),
  served(
    "the same length twice in one field",
    framed([`Content-Length: ${CHAT.length}, ${CHAT.length}`], CHAT),
  ),
  {
    name: "a body above the limit that does not come",
    bytes: framed([`Content-Length: ${BODY_BYTES_MAX + 1}`], ""),
    answers: [[413]],
    probe: "never",
    isHalf: true,
  },
  answered("a body above the limit that has come", post([], "x".repeat(BODY_BYTES_MAX + 1)), 413),
  answered(
    "a body above the limit that is full of requests",
    post([], SMUGGLED.repeat(Math.ceil(BODY_BYTES_MAX / SMUGGLED.length) + 1)),
    413,
  ),
  answered(
    "a body for a URL that is not there",
    post([], SMUGGLED).replace("/v1/chat/completions", "/nothing"),
    404,
  ),
  answered(
    "a body for a method that is not allowed",
    post([], SMUGGLED).replace("POST /v1/chat/completions", "DELETE /memory/query"),
    ...[404, 405],
  ),
  {
    name: "a name that is nearly a length",
    bytes: get(["Content_Length: 100", "X-Content-Length: 100", "Content-Lengths: 100"]),
    answers: [[200]],
    probe: "answered",
  },
];

/** Codings, alone and beside a length. */
const CODINGS: readonly Row[] = [
  ...["Content-Length first", "Transfer-Encoding first"].map((how, i) => {
    const fields = [`Content-Length: ${SMUGGLED.length + 5}`, "Transfer-Encoding: chunked"];
    return refused(
      `a length and chunks, ${how}`,
      framed(i === 0 ? fields : fields.reverse(), `0\r\n\r\n${SMUGGLED}`),
    );
  }),
  refused(
    "a length that ends within the chunks",
    framed(["Content-Length: 4", "Transfer-Encoding: chunked"], `${SIZE}\r\n${CHAT}\r\n0\r\n\r\n`),
  ),
  refused(
    "a length of 0 and chunks",
    framed(
      ["Content-Length: 0", "Transfer-Encoding: chunked"],
      `0\r\n\r\n${SMUGGLED}`,
    ),
  ),
  refused(
    "a length and a coding that is not known",
    framed([`Content-Length: ${SMUGGLED.length}`, "Transfer-Encoding: x"], SMUGGLED),
    CODING,
  ),
  ...[
    "identity",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "chunked, identity",
    "xchunked",
    "chunkedx",
    "chunk",
    "chunked;q=1",
    '"chunked"',
    "\x0bchunked",
    "chun ked",
    "ch\xf9nked",
    "",
  ].map((coding) =>
    refused(
      `the coding ${JSON.stringify(coding)}`,
      framed([`Transfer-Encoding: ${coding}`], `0\r\n\r\n${SMUGGLED}`),
      CODING,
    )
  ),
  ...["Chunked", "chunked,", ", chunked"].map((coding) => ({
    name: `the coding ${JSON.stringify(coding)}, which is chunked or refused`,
    bytes: framed([`Transfer-Encoding: ${coding}`], `${SIZE}\r\n${CHAT}\r\n0\r\n\r\n`),
    answers: [[200, ...CODING]],
    probe: "either" as const,
  })),
  refused(
    "two codings",
    framed(
      ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
      `0\r\n\r\n${SMUGGLED}`,
    ),
    CODING,
  ),
  refused(
    "chunked twice",
    framed(
      ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
      `0\r\n\r\n${SMUGGLED}`,
    ),
    CODING,
  ),
  refused(
    "a folded coding",
    framed(["Transfer-Encoding:", " chunked"], `0\r\n\r\n${SMUGGLED}`),
    CODING,
  ),
  refused(
    "chunks in HTTP/1.0",
    chunked(`0\r\n\r\n${SMUGGLED}`).replace("HTTP/1.1", "HTTP/1.0"),
    CODING,
  ),
  served("a name that is nearly a coding", get(["Transfer_Encoding: chunked", "TE: chunked"])),
];

/** Bodies in chunks. */
const CHUNKS: readonly Row[] = [
  served("a chat in one chunk", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\n\r\n`)),
  served(
    "a chat in a chunk for each byte",
    chunked(`${CHAT.replace(/./gs, "1\r\n$&\r\n")}0\r\n\r\n`),
  ),
  served("a size in capitals", chunked(`${SIZE.toUpperCase()}\r\n${CHAT}\r\n0\r\n\r\n`)),
  served("a size with leading zeros", chunked(`000${SIZE}\r\n${CHAT}\r\n000\r\n\r\n`)),
  served("extensions", chunked(`${SIZE};a;b=c;d="e;f"\r\n${CHAT}\r\n0;g=h\r\n\r\n`)),
  served("trailers", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: a\r\nY:\r\n\r\n`)),
  served(
    "trailers before another chat",
    chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: a\r\nY:\r\n\r\n`).repeat(2),
    2,
  ),
  served(
    "a GET with a body in chunks that is a request",
    get(
      ["Transfer-Encoding: chunked"],
      `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    ),
  ),
  ...[
    ["in hex with its x", "0x5"],
    ["with a minus", "-1"],
    ["with a plus", "+5"],
    ["of 17 digits", "00000000000000005"],
    ["above 2⁶³", "8000000000000005"],
    ["above 2⁶⁴", "10000000000000005"],
    ["that is empty", ""],
    ["that is only an extension", ";a"],
    ["with a blank in it", "5 5"],
    ["with a blank before it", " 5"],
    ["with a tab before it", "\t5"],
    ["that is no number", "g"],
    ["with a letter behind it", "5g"],
    ["with a comma", "5,5"],
    ["with an underscore", "5_"],
    ["with a NUL behind it", "5\0"],
    ["with a vertical tab behind it", "5\x0b"],
  ].map(([how, size]) =>
    refused(`a size ${how}`, chunked(`${size}\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), [400, 413])
  ),
  refused("a bare LF behind a size", chunked(`5\nhello\r\n0\r\n\r\n${SMUGGLED}`)),
  refused("a bare CR behind a size", chunked(`5\rhello\r\n0\r\n\r\n${SMUGGLED}`)),
  refused("a bare LF in an extension", chunked(`5;a\nhello\r\n0\r\n\r\n${SMUGGLED}`)),
  refused("a bare CR in an extension", chunked(`5;a\rb\r\nhello\r\n0\r\n\r\n${SMUGGLED}`)),
  refused("a NUL in an extension", chunked(`5;a\0\r\nhello\r\n0\r\n\r\n${SMUGGLED}`)),
  refused(
    "an extension of 200 KiB",
    chunked(`5;${"a".repeat(204_800)}\r\nhello\r\n0\r\n\r\n${SMUGGLED}`),
    [400, 413, 431],
  ),
  refused("nothing behind a chunk's bytes", chunked(`5\r\nhello0\r\n\r\n${SMUGGLED}`)),
  refused("a bare LF behind a chunk's bytes", chunked(`5\r\nhello\n0\r\n\r\n${SMUGGLED}`)),
  refused("a bare CR behind a chunk's bytes", chunked(`5\r\nhello\r0\r\n\r\n${SMUGGLED}`)),
  refused("a chunk that is longer than its size", chunked(`5\r\nhello!\r\n0\r\n\r\n${SMUGGLED}`)),
  refused("a chunk that is shorter than its size", chunked(`6\r\nhello\r\n0\r\n\r\n${SMUGGLED}`)),
  refused("a last chunk that ends with a bare LF", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\n\n`)),
  refused("a last chunk with bytes", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nhello\r\n\r\n`)),
  refused("a trailer without a colon", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX\r\n\r\n`)),
  refused("a trailer without a name", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\n: a\r\n\r\n`)),
  refused("a blank before a trailer's colon", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX : a\r\n\r\n`)),
  refused("a folded trailer", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: a\r\n b\r\n\r\n`)),
  refused("a bare LF behind a trailer", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: a\n\r\n`)),
  refused("a bare CR in a trailer", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: a\rb\r\n\r\n`)),
  refused("a NUL in a trailer", chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: \0\r\n\r\n`)),
  refused(
    "a trailer of 70 KiB",
    chunked(`${SIZE}\r\n${CHAT}\r\n0\r\nX: ${"a".repeat(71_680)}\r\n\r\n`),
    [400, 413, 431],
  ),
  ...["Content-Length: 500", "Transfer-Encoding: chunked", "Host: evil"].map((trailer) =>
    tolerated(
      `a trailer that is no trailer: ${trailer}`,
      chunked(`${SIZE}\r\n${CHAT}\r\n0\r\n${trailer}\r\n\r\n`),
    )
  ),
  answered(
    "chunks above the limit",
    chunked(`${"8000\r\n" + "x".repeat(0x8000) + "\r\n"}`.repeat(4) + "0\r\n\r\n"),
    413,
  ),
];

/** Which requests belong to a connection, and what else its fields say. */
const CONNECTIONS: readonly Row[] = [
  served("five requests at once", get([]).repeat(5), 5),
  served(
    "chats of both framings in turn",
    (post([]) + chunked(`${SIZE}\r\n${CHAT}\r\n0\r\n\r\n`)).repeat(3),
    6,
  ),
  {
    name: "an unknown URL between two others",
    bytes: get([]) + get([], "", "/nothing") + get([]),
    answers: [[200], [404], [200]],
    probe: "answered",
  },
  {
    name: "a bad head behind two good ones",
    bytes: get([]) + get([]) + get(["X : a"]),
    answers: [[200], [200], [400]],
    probe: "never",
  },
  {
    name: "bad chunks behind a chat",
    bytes: post([]) + chunked(`x\r\n${SMUGGLED}`),
    answers: [[200], [400]],
    probe: "never",
  },
  ...["close", "Close", "CLOSE", "keep-alive, close", "close, keep-alive", " , close"].map(
    (value): Row => ({
      name: `a request behind Connection: ${value}`,
      bytes: get([`Connection: ${value}`], SMUGGLED),
      answers: [[200]],
      probe: "never",
    }),
  ),
  {
    name: "a request behind a close that stands in the second of two fields",
    bytes: get(["Connection: keep-alive", "Connection: close"], SMUGGLED),
    answers: [[200]],
    probe: "never",
  },
  {
    name: "a request behind a chat that closes",
    bytes: post(["Connection: close"]) + SMUGGLED,
    answers: [[200]],
    probe: "never",
  },
  served("words that only contain close", get(["Connection: closed, not-close"])),
  served("a length that Connection names", post(["Connection: Content-Length"])),
  served("a host that Connection names", post(["Connection: Host"])),
  served(
    "a coding that Connection names",
    framed(
      ["Connection: Transfer-Encoding", "Transfer-Encoding: chunked"],
      `${SIZE}\r\n${CHAT}\r\n0\r\n\r\n`,
    ),
  ),
  {
    name: "a request behind one in HTTP/1.0",
    bytes: get([], SMUGGLED).replace("HTTP/1.1", "HTTP/1.0"),
    answers: [[200]],
    probe: "never",
  },
  {
    name: "a chat in HTTP/1.0",
    bytes: post([]).replace("HTTP/1.1", "HTTP/1.0"),
    answers: [[200]],
    probe: "never",
  },
  {
    name: "HTTP/1.0 without a host",
    bytes: "GET /health HTTP/1.0\r\n\r\n",
    answers: [[200]],
    probe: "never",
  },
  served("HTTP/1.0 that is kept alive", get(["Connection: keep-alive"]).replace("1.1", "1.0")),
  served(
    "HTTP/1.0 without a host that is kept alive",
    "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".repeat(2),
    2,
  ),
  answered(
    "an upgrade to a web socket",
    get([
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Version: 13",
    ]),
    426,
  ),
  answered(
    "an upgrade to a web socket with a body",
    post(["Connection: upgrade", "Upgrade: WebSocket"], SMUGGLED),
    426,
  ),
  served(
    "an upgrade to HTTP/2",
    get(["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]),
  ),
  served("an upgrade to TLS", get(["Connection: Upgrade", "Upgrade: TLS/1.0"])),
  tolerated("a web socket that no Connection names", get(["Upgrade: websocket"]), [426]),
  tolerated("an expectation that nobody knows", get(["Expect: tea"]), [417]),
  refused("HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
  refused(
    "a TLS greeting",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
  ),
];

/** Every row. */
export const ROWS: readonly Row[] = [
  ...BYTES,
  ...FIELDS,
  ...REQUEST_LINES,
  ...TARGETS,
  ...LENGTHS,
  ...CODINGS,
  ...CHUNKS,
  ...CONNECTIONS,
];
