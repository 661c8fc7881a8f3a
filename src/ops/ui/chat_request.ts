/**
 * The request of the chat tab, as JSON and as a command line.
 *
 * @module
 */

/** One message of the conversation. */
export interface ChatMessage {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** What the reader has set beside the conversation. */
export interface ChatSettings {
  readonly model: string;
  /** "" = none is sent. */
  readonly system: string;
  /** null = none is sent, and the model takes its own. */
  readonly temperature: number | null;
}

/** The body of `POST /v1/chat/completions`. */
export function chatBody(settings: ChatSettings, messages: readonly ChatMessage[]) {
  const { model, system, temperature } = settings;
  return {
    model,
    messages: [
      ...(system === "" ? [] : [{ role: "system", content: system }]),
      ...messages.map(({ role, content }) => ({ role, content })),
    ],
    ...(temperature === null ? {} : { temperature }),
    stream: true,
    stream_options: { include_usage: true },
  };
}

/** The same request for a shell. The token stays out of it: a history file is no place for one. */
export function curlText(url: URL, body: unknown, hasToken: boolean): string {
  return [
    `curl -N ${quote(url.href)}`,
    ...(hasToken ? [`-H "authorization: Bearer $WEIR_TOKEN"`] : []),
    `-H 'content-type: application/json'`,
    `-d ${quote(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}

/** One word of a POSIX shell: nothing inside single quotes means anything but the quote itself. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
