/**
 * `weir help`.
 *
 * @module
 */

import type { Terminal } from "./terminal.ts";

const TEXT =
  `weir speaks the OpenAI streaming API: it mocks it, proxies it, remembers conversations.

  weir [serve]       start the server (the default)
  weir check [FILE]  read the config and print what is in force, secrets masked
  weir version       version, commit, Bun version
  weir help          this text

Options of serve and check
  -c, --config FILE      the config file (default: config.yaml here, if there is one)
      --host HOST        the address to listen on (default 127.0.0.1)
      --port PORT        the port to listen on (default 8080; 0 = any free one)
      --set KEY=VALUE    any setting: --set mock.delay_ms=0 (may be repeated)

A flag wins over the environment (WEIR_SERVER_PORT, OPENAI_API_KEY, …), the environment over .env,
.env over the file.

Try it
  weir
  curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'`;

/** Prints how weir is called. */
export function help(_args: readonly string[], terminal: Terminal): number {
  terminal.print(TEXT);
  return 0;
}
