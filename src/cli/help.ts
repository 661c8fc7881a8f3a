/**
 * `weir help`.
 *
 * @module
 */

import type { Terminal } from "./terminal.ts";

const TEXT =
  `weir speaks the OpenAI streaming API: it mocks it, proxies it, remembers conversations.

  weir [serve]       start the server (the default)
  weir up            start the server with the workflows of model-compose.yml
  weir down          stop what weir up has started in this folder
  weir run [WORKFLOW] --input JSON
                     run a workflow here and now, and print what it gives
  weir check [FILE]  read the config and print what is in force, secrets masked
  weir memory backup FILE
                     copy the embedded memory to FILE, while weir runs
  weir token         print a token for /chat and /conv: --id 1000 --hours 10
  weir install       print the systemd unit and the nginx site for this config
  weir bench URL     open many streams on any server, and tell how late its events come
  weir version       version, commit, Bun version
  weir help          this text

Options of serve, check, up, run and memory backup
  -c, --config FILE      the config file (default: config.yaml here, if there is one)
      --host HOST        the address to listen on (default 127.0.0.1)
      --port PORT        the port to listen on (default 8080; 0 = any free one)
      --set KEY=VALUE    any setting: --set mock.delay_ms=0 (may be repeated)
  -f, --file FILE        a workflow file (default: model-compose.yml here, if there is one; may be
                         repeated: the files are merged)
      --env-file FILE    instead of .env (may be repeated)
  -e, --env NAME=VALUE   a variable that wins over the environment (may be repeated)

Options of up
  -d, --detach           in the background; weir.log gets what it prints
  -v, --verbose          tell when runs and jobs begin and end

Options of run
  -i, --input JSON       the input; - reads it from standard input
  -o, --output FILE      write there what would be printed
  -v, --verbose          tell when jobs begin and end

Options of install, besides those
      --write            write them, the config and this program to where they belong
      --root DIR         below DIR instead of /
      --force            also over files that are there and differ
      --server-name NAME                                the site's host name
      --certificate FILE --certificate-key FILE         HTTPS instead of HTTP
Options of bench
  -n, --streams N        streams, each on a connection of its own (default 64, at most 20000)
  -s, --seconds S        their starts are spread over this long (default 2)
      --events WHAT      learn: every answer must be as the first ones, at their pace (default);
                         N: every answer must have N events; free: any number, as they come
      --timeout S        an answer may end this much later than it is due (default 30)
  -d, --body JSON        what is posted (default: a chat request with "stream": true)
  -X, --method METHOD    POST (default) or GET
  -H, --header 'A: B'    a header more (may be repeated)
      --json             print the report as JSON

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
