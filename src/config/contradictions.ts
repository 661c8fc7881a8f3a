/**
 * Settings that are right one by one and cannot hold together.
 *
 * @module
 */

import type { Config } from "./schema.ts";

/** How a sentence about a setting, or about the part of it under `inner`, begins. */
export type Label = (path: string, inner: readonly PropertyKey[]) => string;

const TLS_PAIRS = [
  ["tls_cert_file", "tls_key_file"],
  ["tls_key_file", "tls_cert_file"],
] as const;

/** Everything in `config` that cannot hold together. Only what was given can be part of it. */
export function contradictions(config: Config, label: Label): readonly string[] {
  const { chat, llm, server, memory } = config;
  const problems: string[] = [];
  const say = (path: string, text: string) => problems.push(`${label(path, [])}: ${text}`);
  if (chat.source === "proxy" && llm.base_url === "") {
    say("chat.source", 'must be auto or mock while llm.base_url is empty: it is "proxy"');
  }
  if (server.unix !== "" && server.workers !== 1) {
    say(
      "server.unix",
      "must be empty while server.workers is not 1: processes can share " +
        "a port, and no socket file. Set server.workers: 1, or let nginx use the port",
    );
  }
  for (const [key, other] of TLS_PAIRS) {
    if (server[key] === "" || server[other] !== "") continue;
    say(`server.${key}`, `must be empty while server.${other} is: the two belong together`);
  }
  const file = memory.system_prompt_file;
  if (file !== "" && memory.system_prompt !== "") {
    say(
      "memory.system_prompt_file",
      `must be empty while memory.system_prompt is set: it is ${JSON.stringify(file)}`,
    );
  }
  return problems;
}
