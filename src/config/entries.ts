/**
 * Settings that come as lists of entries, and what they share with sections.
 *
 * @module
 */

import { z } from "zod";
import {
  credential,
  entries,
  entryName,
  headerFields,
  httpUrl,
  line,
  timeout,
  whole,
} from "./rules.ts";

/** Back-off doubles: more retries than these outlast every client. */
const RETRIES_MAX = 10;
/** Entries are compared with each request: limits against accidents only. */
const TOKENS_MAX = 100;

/** What is said about an upstream, be it `llm` or an entry of `upstreams`. */
export const UPSTREAM = {
  base_url: httpUrl("the upstream, e.g. https://api.openai.com/v1; empty = none"),
  api_key: credential(
    "its key; empty = the client's own is passed on, while auth.token is empty",
  ),
  api_key_file: line("", "file that holds the key instead; empty = none"),
  model_id: line("", "the model when a request names none"),
  headers_timeout_ms: timeout(60_000, "longest wait for its response headers"),
  first_token_timeout_ms: timeout(120_000, "longest wait for its first chunk"),
  idle_timeout_ms: timeout(120_000, "longest silence between two chunks"),
  retries: whole(0, RETRIES_MAX, 2, "before the first byte only"),
  headers: headerFields("added to every upstream request, e.g. {X-Team: blue}"),
  proxy: httpUrl("http:// or https:// proxy on the way to it; empty = none"),
  ca_file: line("", "PEM file with extra certificate authorities to trust"),
};

const mustOne = "an entry with a name and either token or token_file";
const token = z.strictObject({
  name: entryName("token"),
  token: credential("the token itself; empty = the text of token_file"),
  token_file: line("", "file that holds it; empty = none"),
}, mustOne).refine(({ token, token_file }) => (token === "") !== (token_file === ""), mustOne);

/** Bearer tokens with names. */
export const TOKENS = entries(
  token,
  { max: TOKENS_MAX, example: "{name: blue, token: …}", noun: "token" },
  "further tokens, e.g. [{name: blue, token: …}, {name: ci, token_file: …}]",
  "secret",
);
