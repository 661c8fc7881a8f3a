/**
 * The errors that an LLM's API answers with, as the upstream of an audit says them, and what came of
 * one on its way to the client.
 *
 * @module
 */

import { jsonDifferences } from "../../lib/json_differences.ts";
import { changeText } from "./comparison.ts";
import { headFields } from "./head_fields.ts";
import { tellWithRoom } from "./own_answer.ts";
import { type ClientExchange, END_TEXTS } from "./probe_client.ts";
import type { Asked, Rig } from "./rig.ts";
import type { Attempt } from "./scripted_upstream.ts";
import { headText, jsonAnswer } from "./stream.ts";

/** Headers, names in lower case. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** An error of an API. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
  /** Headers besides those of its body. */
  readonly fields: Fields;
}

function refusal(
  status: number,
  reason: string,
  type: string,
  code: string | null = null,
  { param = null, fields = [] }: Partial<Pick<Refusal, "param" | "fields">> = {},
): Refusal {
  return { status, reason, type, param, code, fields };
}

/** The upstream asks for so many seconds. */
export const RETRY_AFTER_S = 1;
const LATER: Fields = [["retry-after", String(RETRY_AFTER_S)]];
const INVALID = "invalid_request_error";

/** All but those that are busy. */
export const REFUSALS: readonly Refusal[] = [
  refusal(400, "Bad Request", INVALID, "context_length_exceeded", {
    param: "messages",
    fields: [["x-should-retry", "false"]],
  }),
  refusal(401, "Unauthorized", INVALID, "invalid_api_key"),
  refusal(403, "Forbidden", "permission_error", "unsupported_country_region_territory"),
  refusal(404, "Not Found", INVALID, "model_not_found", { param: "model" }),
  refusal(408, "Request Timeout", "timeout"),
  refusal(413, "Content Too Large", INVALID, "request_too_large"),
  refusal(422, "Unprocessable Content", INVALID, "invalid_value", { param: "temperature" }),
  refusal(500, "Internal Server Error", "server_error"),
  refusal(502, "Bad Gateway", "server_error", "bad_gateway"),
  refusal(504, "Gateway Timeout", "timeout", "gateway_timeout"),
  refusal(529, "Overloaded", "overloaded_error", null, { fields: LATER }),
];
export const TOO_MANY = refusal(429, "Too Many Requests", "requests", "rate_limit_exceeded", {
  fields: LATER,
});
export const UNAVAILABLE = refusal(
  503,
  "Service Unavailable",
  "server_error",
  "server_is_overloaded",
  { fields: LATER },
);

/** What the upstream says to the request with `mark`. */
export function refusalBody({ type, param, code }: Refusal, mark: string): string {
  const message = `The upstream refuses «naïve 漢字 🚦» (${mark})`;
  return JSON.stringify({ error: { message, type, param, code } });
}

/** Answers with it. */
export function refuse(attempt: Attempt, mark: string, refusal: Refusal): void {
  const { status, reason, fields } = refusal;
  const lines = fields.map(([name, value]) => `${name}: ${value}`);
  attempt.write(Buffer.from(jsonAnswer(status, reason, refusalBody(refusal, mark), lines)));
}

/** The page of a balancer before the provider. */
export const HTML =
  "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>The audit’s upstream</body>\r\n</html>\r\n";

/** Answers with a 502 that is a page. */
export function refuseInHtml(attempt: Attempt): void {
  const fields = ["content-type: text/html; charset=utf-8"];
  const length = `content-length: ${Buffer.byteLength(HTML)}`;
  attempt.write(Buffer.from(headText(502, "Bad Gateway", [...fields, length]) + HTML));
}

/** What a client asks for: gateways often take other ways for each. */
export const FORMS = ["stream", "whole"] as const;
export type Form = typeof FORMS[number];

/** A gateway that asks again first may take so long. */
export const ANSWER_MS_MAX = 20_000;

/** Asks the gateway for an answer of `form`; one that does not end is told as such. */
export async function tellForm(
  rig: Rig,
  form: Form,
  script: (attempt: Attempt, mark: string) => void,
): Promise<Asked> {
  return await tellWithRoom(rig, script, {
    body: (mark) =>
      form === "stream"
        ? rig.chatBody(mark)
        : rig.chatBody(mark).replace('"stream":true', '"stream":false'),
    timeoutMs: ANSWER_MS_MAX,
    mayStay: true,
  });
}

/** What came of a body. `note`: whoever looks for what the upstream has said finds it still. */
export interface BodyChange {
  readonly verdict: "fail" | "note";
  readonly text: string;
}

/** What became of an error's JSON; undefined = nothing. */
export function bodyChange(said: string, came: string): BodyChange | undefined {
  if (said === came) return undefined;
  if (came === "") return { verdict: "fail", text: "no body" };
  const wanted = JSON.parse(said) as { readonly error: Told };
  let got: unknown;
  try {
    got = JSON.parse(came);
  } catch {
    return { verdict: "fail", text: "a body that is no JSON" };
  }
  const differences = jsonDifferences(got, wanted);
  if (differences.length === 0) return { verdict: "note", text: "the same values, written anew" };
  // To a client a null that is missing is one.
  const lost = differences.find(({ one, other }) =>
    other !== undefined && (other !== null || one !== undefined)
  );
  if (lost === undefined) return { verdict: "note", text: changeText(differences[0]!) };
  const place = placeOf(got, wanted.error);
  return place === undefined || place === "error"
    ? { verdict: "fail", text: changeText(lost) }
    : { verdict: "note", text: `in an envelope of the gateway's own, as ${place || "its body"}` };
}

/** What clients read of an error. */
interface Told {
  readonly message: string;
  readonly code: string | null;
}

/** Objects and lists in an envelope are not deeper. */
const DEPTH_MAX = 8;

/** Where in `value` an object has the message and the code of `error`: "", "detail.error"; undefined = nowhere. */
function placeOf(value: unknown, error: Told, depth = 0): string | undefined {
  if (typeof value !== "object" || value === null || depth > DEPTH_MAX) return undefined;
  const { message, code = null } = value as Partial<Told>;
  if (message === error.message && code === error.code) return "";
  for (const [key, inner] of Object.entries(value)) {
    const place = placeOf(inner, error, depth + 1);
    if (place !== undefined) return place === "" ? key : `${key}.${place}`;
  }
  return undefined;
}

/** What is wrong with an answer that should have `status`, whatever it holds; undefined = nothing. */
export function statusChange(exchange: ClientExchange, status: number): string | undefined {
  if (exchange.status !== status) return `${exchange.status || "no answer"} instead`;
  return exchange.end === "whole" ? undefined : END_TEXTS[exchange.end ?? "left"];
}

/** What became of headers that the upstream has said, each as a few words; none = nothing. */
export function fieldChanges({ headText }: ClientExchange, fields: Fields): readonly string[] {
  const got = new Map(headFields(headText));
  return fields.filter(([name, value]) => got.get(name) !== value).map(([name, value]) =>
    got.has(name) ? `${name}: ${got.get(name)} instead of ${value}` : `no ${name}`
  );
}
