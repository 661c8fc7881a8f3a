/**
 * Cassettes of VCR for Python (kevin1024/vcrpy), as YAML or JSON: what was sent and answered, in
 * order, and no times. Read are its own form, the older one of httpx (`content`, `status_code`),
 * bodies that a recorder has parsed (`parsed_body`), and the form that VCR has in other languages
 * (`http_interactions`, `base64_string`).
 *
 * @module
 */

import { parse } from "yaml";
import { keptFields, pathOf, type Recording, type Recordings, type Untaken } from "./recording.ts";

type Json = Readonly<Record<string, unknown>>;

/** The most aliases of a file: recorders write equal objects once, and short names for the others. */
const ALIASES_MAX = 10_000;

/** The list of interactions by its name in the file. */
const LISTS = ["interactions", "http_interactions"] as const;

/**
 * The exchanges in `text`, a cassette that is called `file`; undefined = it is none.
 *
 * @throws {Error} with one sentence when it is neither YAML nor JSON.
 */
export function readCassette(text: string, file: string): Recordings | undefined {
  const value = object(parsed(text));
  const list = LISTS.map((name) => value[name]).find(Array.isArray) as unknown[] | undefined;
  if (list === undefined) return undefined;
  const recordings: Recording[] = [];
  const untaken: Untaken[] = [];
  for (const [at, interaction] of list.entries()) {
    const place = `${file}, interaction ${at + 1}`;
    const read = recordingOf(object(interaction), place);
    if (typeof read === "string") untaken.push({ place, why: read });
    else recordings.push(read);
  }
  return { recordings, untaken };
}

function parsed(text: string): unknown {
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text);
    } catch {
      // Braces may begin YAML as well.
    }
  }
  try {
    // PyYAML writes YAML 1.1, with bytes as `!!binary`.
    return parse(text, {
      version: "1.1",
      uniqueKeys: false,
      maxAliasCount: ALIASES_MAX,
      logLevel: "error",
    });
  } catch (error) {
    const [line] = (error as Error).message.split("\n");
    throw new Error(`it is no YAML and no JSON: ${line!.replace(/:$/, "")}`);
  }
}

/** The exchange, or why it is none. */
function recordingOf({ request, response }: Json, place: string): Recording | string {
  const asked = object(request);
  const answered = object(response);
  const path = pathOf(asked["uri"]);
  if (path === undefined) return "its request has no uri";
  const status = Number(answered["status_code"] ?? object(answered["status"])["code"]);
  if (!Number.isInteger(status)) return "its response has no status";
  const question = bytesOf(asked);
  const answer = bytesOf(answered);
  if (question === undefined) return "the body of its request is neither text nor bytes";
  if (answer === undefined) return "the body of its response is neither text nor bytes";
  return {
    place,
    method: typeof asked["method"] === "string" ? asked["method"].toUpperCase() : "",
    path,
    request: question,
    status,
    fields: keptFields(pairsOf(answered["headers"])),
    pieces: answer.length === 0 ? [] : [{ bytes: answer, atUs: 0 }],
    hasTimes: false,
  };
}

/** The body of a request or response, whichever way it is written; undefined = in no known one. */
function bytesOf(message: Json): Uint8Array<ArrayBuffer> | undefined {
  const { parsed_body, content, body = content } = message;
  if (parsed_body !== undefined) return bytes(parsed_body);
  const { string, base64_string } = object(body);
  if (typeof base64_string === "string") {
    return Uint8Array.from(Buffer.from(base64_string, "base64"));
  }
  return bytes(string === undefined ? body : string);
}

function bytes(value: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (value === undefined || value === null) return new Uint8Array();
  if (typeof value === "string") return Uint8Array.from(Buffer.from(value));
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  return typeof value === "object"
    ? Uint8Array.from(Buffer.from(JSON.stringify(value)))
    : undefined;
}

/** Headers with one value or a list of them. */
function* pairsOf(headers: unknown): Iterable<readonly [string, string]> {
  for (const [name, value] of Object.entries(object(headers))) {
    const [first = ""] = Array.isArray(value) ? value : [value];
    yield [name, String(first)];
  }
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null ? value as Json : {};
}
