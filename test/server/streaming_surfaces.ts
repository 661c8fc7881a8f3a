/**
 * Every URL that streams an answer, in one list: what holds for one of them holds for all. A new
 * surface is one row.
 *
 * @module
 */

/** One URL. */
export interface StreamingSurface {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
  /** What the events in `stream` say, put together. */
  readonly said: (stream: string) => string;
  /** True: its clients wait for `[DONE]`, so an error is followed by one. */
  readonly endsErrors?: true;
  /** What it answers when its upstream cannot be reached: a status, and what its body begins with. */
  readonly unreachable: readonly [status: number, body: string];
}

const HELLO = [{ role: "user", content: "Hello 你好 🌊" }];

/** The data of every event, `[DONE]` and comments left out. */
function dataOf(stream: string): unknown[] {
  return stream.split("\n\n").filter((event) =>
    event.startsWith("data: ") && event !== "data: [DONE]"
  ).map((event) => JSON.parse(event.slice("data: ".length)));
}

function saidInChunks(stream: string): string {
  return (dataOf(stream) as readonly {
    readonly choices?: readonly { readonly delta: { readonly content?: string } }[];
  }[]).map(({ choices }) => choices?.[0]?.delta.content ?? "").join("");
}

function saidInContents(stream: string): string {
  return (dataOf(stream) as readonly { readonly content?: string }[])
    .map(({ content }) => content ?? "").join("");
}

function saidInMessages(stream: string): string {
  const texts = (dataOf(stream) as readonly {
    readonly message: { readonly content: { readonly parts: readonly string[] } } | null;
  }[]).flatMap(({ message }) => message === null ? [] : [message.content.parts[0]!]);
  return texts.at(-1) ?? "";
}

/** The list. */
export const STREAMING_SURFACES: readonly StreamingSurface[] = [
  {
    path: "/v1/chat/completions",
    body: { model: "gpt-4o", messages: HELLO, stream: true },
    said: saidInChunks,
    unreachable: [502, "{"],
  },
  {
    path: "/chat",
    body: { model: "gpt-4o", messages: HELLO, stream: true },
    said: saidInChunks,
    unreachable: [502, ""],
  },
  {
    path: "/api/chat",
    body: { messages: HELLO },
    said: saidInContents,
    endsErrors: true,
    unreachable: [200, 'data: {"error":"'],
  },
  {
    path: "/conv",
    headers: { "chat-type": "conversation" },
    body: { content: "Hello 你好 🌊" },
    said: saidInMessages,
    unreachable: [502, ""],
  },
];
