/**
 * HTTP/1.1 read strictly: every answer, or every request, that stands in the bytes of a connection.
 * What a tolerant reader would pass over is an error here.
 *
 * @module
 */

/** Names in lower case; the values of one name in their order. */
export type Fields = ReadonlyMap<string, readonly string[]>;

/** One answer. */
export interface Answer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: Buffer;
  /** Statuses of the interim answers (1xx) before it. */
  readonly interim: readonly number[];
  /** False when the bytes end before the body does. */
  readonly isWhole: boolean;
}

/** One request. */
export interface Asked {
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly body: Buffer;
  /** False when the bytes end before the body does. */
  readonly isWhole: boolean;
}

interface Head {
  readonly first: string;
  readonly fields: Fields;
  /** Where the body begins. */
  readonly end: number;
}

interface Body {
  readonly bytes: Buffer;
  readonly end: number;
  readonly isWhole: boolean;
}

const REQUEST_LINE = /^([A-Za-z-]+) ([\x21-\x7e]+) HTTP\/1\.[01]$/;
const ANY_LINE = /^([A-Za-z-]+) (.+) HTTP\/1\.[01]$/s;
const ANY_FIELD = /^([^:]*):[ \t]*(.*?)[ \t]*$/s;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

/**
 * The answers in `bytes`. `methods` are those of their requests: an answer to HEAD has no body.
 *
 * @throws {Error} when they are no HTTP/1.1, or a head is not whole.
 */
export function parseAnswers(bytes: Buffer, methods: readonly string[] = []): Answer[] {
  const answers: Answer[] = [];
  let interim: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const { first, fields, end } = takeHead(bytes, at);
    const status = Number(/^HTTP\/1\.1 (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(first)?.[1]);
    if (Number.isNaN(status)) throw new Error(`Cannot read a status line: it is "${first}"`);
    if (status < 200) {
      interim.push(status);
      at = end;
      continue;
    }
    const hasBody = methods[answers.length] !== "HEAD" && status !== 204 && status !== 304;
    const body = hasBody
      ? takeBody(bytes, end, fields, bytes.length - end)
      : { bytes: Buffer.alloc(0), end, isWhole: true };
    answers.push({ status, fields, body: body.bytes, isWhole: body.isWhole, interim });
    interim = [];
    at = body.end;
  }
  return answers;
}

/**
 * The requests in `bytes`. "careless": their sender frames them well, but looks neither at targets
 * nor at fields.
 *
 * @throws {Error} when they are no HTTP/1.1, or a head is not whole.
 */
export function parseRequests(bytes: Buffer, sender: "careful" | "careless" = "careful"): Asked[] {
  const requests: Asked[] = [];
  const [line, field] = sender === "careful" ? [REQUEST_LINE, FIELD] : [ANY_LINE, ANY_FIELD];
  for (let at = 0; at < bytes.length;) {
    const { first, fields, end } = takeHead(bytes, at, field);
    const [, method, target] = line.exec(first) ?? [];
    if (method === undefined || target === undefined) {
      throw new Error(`Cannot read a request line: it is "${first}"`);
    }
    const body = takeBody(bytes, end, fields, 0);
    requests.push({ method, target, fields, body: body.bytes, isWhole: body.isWhole });
    at = body.end;
  }
  return requests;
}

function takeHead(bytes: Buffer, at: number, field = FIELD): Head {
  const end = bytes.indexOf("\r\n\r\n", at);
  if (end < 0) {
    throw new Error(`Cannot find a head's end: ${JSON.stringify(bytes.toString("latin1", at))}`);
  }
  const [first = "", ...lines] = bytes.toString("latin1", at, end).split("\r\n");
  const fields = new Map<string, string[]>();
  for (const line of lines) {
    const [, name, value] = field.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new Error(`Cannot read a field: it is ${JSON.stringify(line)}`);
    }
    const key = name.toLowerCase();
    fields.set(key, [...fields.get(key) ?? [], value]);
  }
  return { first, fields, end: end + 4 };
}

/** `unframed` is how long a body with neither a length nor chunks is. */
function takeBody(bytes: Buffer, at: number, fields: Fields, unframed: number): Body {
  const coding = fields.get("transfer-encoding");
  const lengths = fields.get("content-length");
  if (coding !== undefined) {
    if (lengths !== undefined) throw new Error("Cannot tell a body's end: length and chunks");
    if (coding.join() !== "chunked") throw new Error(`Cannot read a coding: it is "${coding}"`);
    return takeChunks(bytes, at);
  }
  const text = lengths?.join() ?? String(unframed);
  if (!/^\d{1,15}$/.test(text)) throw new Error(`Cannot read a length: it is "${text}"`);
  const end = at + Number(text);
  return { bytes: bytes.subarray(at, end), end, isWhole: end <= bytes.length };
}

function takeChunks(bytes: Buffer, start: number): Body {
  const chunks: Buffer[] = [];
  for (let at = start;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) break;
    const line = bytes.toString("latin1", at, lineEnd);
    if (!/^[0-9A-Fa-f]{1,12}$/.test(line)) throw new Error(`Cannot read a size: it is "${line}"`);
    const size = parseInt(line, 16);
    const end = lineEnd + 2 + size;
    if (bytes.length < end + 2) break;
    // Nothing here sends trailers, so the last chunk ends like any other.
    if (bytes.toString("latin1", end, end + 2) !== "\r\n") {
      throw new Error("Cannot read a chunk: no CRLF stands behind its bytes");
    }
    if (size === 0) return { bytes: Buffer.concat(chunks), end: end + 2, isWhole: true };
    chunks.push(bytes.subarray(lineEnd + 2, end));
    at = end + 2;
  }
  return { bytes: Buffer.concat(chunks), end: bytes.length, isWhole: false };
}
