/**
 * Settings that come as lists of entries, and what they share with sections.
 *
 * @module
 */

import { z } from "zod";
import { headersUp } from "./door_rules.ts";
import {
  bytes,
  credential,
  entries,
  entryNameRule,
  headerFields,
  httpUrl,
  httpUrlRule,
  line,
  modelMatchRule,
  oneOf,
  pathGlobs,
  required,
  someOf,
  targetRule,
  timeout,
  whole,
} from "./rules.ts";

import { TAPE_MODES } from "./tape_rules.ts";

/** Back-off doubles: more retries than these outlast every client. */
const RETRIES_MAX = 10;
/** 256 MiB: an event is parsed as one string. */
const EVENT_BYTES_MAX = 268_435_456;
/** 1 TiB: a stream is not held. */
const ANSWER_BYTES_MAX = 1_099_511_627_776;
/** Entries are compared with each request: limits against accidents only. */
const TOKENS_MAX = 100;
const UPSTREAMS_MAX = 100;
const ROUTES_MAX = 1000;

/** What is said about an upstream, be it `llm` or an entry of `upstreams`. */
export const UPSTREAM = {
  base_url: httpUrl("the upstream, e.g. https://api.openai.com/v1; empty = none"),
  api_key: credential("its key; empty = the client's own is passed on, while auth.token is empty"),
  api_key_file: line("file that holds the key instead; empty = none"),
  model_id: line("the model when a request names none"),
  headers_timeout_ms: timeout(60_000)("longest wait for its response headers"),
  first_token_timeout_ms: timeout(120_000)("longest wait for its first chunk"),
  idle_timeout_ms: timeout(120_000)("longest silence between two chunks"),
  event_max_bytes: bytes(1024, EVENT_BYTES_MAX, 16_777_216)(
    "longest event that is read and said in another dialect, and longest answer without events",
  ),
  answer_max_bytes: bytes(1024, ANSWER_BYTES_MAX, 134_217_728)(
    "longest answer that is read so, its compression undone; where bytes are passed on, no limit",
  ),
  retries: whole(0, RETRIES_MAX, 2)("before the first byte only"),
  resend: oneOf(["auto", "never"], "auto")(
    "auto | never: whether a kept connection that closes at once, unanswered, is tried anew",
  ),
  stream_options: oneOf(["auto", "never"], "auto")(
    "auto | never: asks for the usage of streams, until the upstream refuses that (400, 422)",
  ),
  headers: headerFields("added to every upstream request, e.g. {X-Team: blue}"),
  headers_up: headersUp("the only client headers that go up; empty = all but private ones"),
  proxy: httpUrl("http:// or https:// proxy on the way to it; empty = none"),
  ca_file: line("PEM file with extra certificate authorities to trust"),
  speaks: someOf(["openai_chat", "openai_responses", "anthropic_messages"])(
    "the dialects it understands; empty = it is asked and found out",
  ),
  paths: pathGlobs(
    "which other paths of /v1 go to it, e.g. [/embeddings, /files*]; empty = all but /organization/*",
  ),
};

const upstream = z.strictObject({
  name: required(entryNameRule("upstream", "mock"))("what routes and logs call it; mock is taken"),
  ...UPSTREAM,
  base_url: required(httpUrlRule(false), "url")("where it is, e.g. https://api.openai.com/v1"),
}, "an entry with a name and a base_url").refine(
  ({ api_key, api_key_file }) => api_key === "" || api_key_file === "",
  { path: ["api_key_file"], message: "empty while api_key is set" },
);

/** Upstreams beside `llm`. */
export const UPSTREAMS = entries(
  upstream,
  UPSTREAMS_MAX,
  "{name: local, base_url: http://127.0.0.1:8000/v1}",
  { noun: "upstream" },
)("further upstreams, each by its name; llm is the one of that name");

const route = z.strictObject({
  match: required(modelMatchRule())(
    "which requests: those whose model fits, where * is any text; none = all",
  ),
  to: required(targetRule())("who answers them: the name of one upstream, or mock"),
  tape: oneOf(["usual", ...TAPE_MODES], "usual")("what is done with tapes; usual = tape.mode"),
}, "an entry with match and to");

/** Who answers which request. */
export const ROUTES = entries(route, ROUTES_MAX, "{match: {model: gpt-4o*}, to: [local]}")(
  "who answers: the first that matches; without any, chat.source decides",
);

const mustOne = "an entry with a name and either token or token_file";
const token = z.strictObject({
  name: required(entryNameRule("token"))("what logs call it"),
  token: credential("the token itself; empty = the text of token_file"),
  token_file: line("file that holds it; empty = none"),
}, mustOne).refine(({ token, token_file }) => (token === "") !== (token_file === ""), mustOne);

/** Bearer tokens with names. */
export const TOKENS = entries(token, TOKENS_MAX, "{name: blue, token: …}", {
  noun: "token",
  shows: "secret",
})("further tokens, e.g. [{name: blue, token: …}, {name: ci, token_file: …}]");
