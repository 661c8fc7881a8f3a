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
  /** True: the mock's words have their blanks behind them, as in that system. */
  readonly cutsAfterBlank: boolean;
  /** The event behind a whole answer; "" = there is none, the body just ends. */
  readonly end: string;
  /** What is in the event of an error; "" = there is none, the body is cut. */
  readonly error: string;
  /** True: each event says its name on a line of its own. */
  readonly hasEventLines?: true;
  /** True: its clients wait for `[DONE]`, so an error is followed by one. */
  readonly endsErrors?: true;
  /** True: it answers nothing before its first word, so no comments fill the silence until then. */
  readonly opensLate?: true;
  /** True: an upstream's bytes are passed on as they are. */
  readonly isRelayed?: true;
  /** True: it says that it has begun before it has a word. */
  readonly opensAtOnce?: true;
  /** Where its upstream is asked; absent: /v1/chat/completions. */
  readonly asksAt?: string;
  /** What it answers when its upstream cannot be reached: a status, and what its body begins with. */
  readonly unreachable: readonly [status: number, body: string];
}

/** Settings that some of them need to keep the rules of all. */
export const SETTINGS = {
  // Who speaks another dialect is said again.
  "llm.speaks": "[openai_chat]",
  // `/v1/response` alone lets its upstream finish when the client leaves: the turn is kept whole.
  "response.on_disconnect": "cancel",
};

const DONE = "data: [DONE]\n\n";
const ERROR = '"error":';
/** Anthropic's clients read events by their names. */
function saidInBlocks(stream: string): string {
  return (dataOf(stream.replaceAll(/^event: .*\n/gm, "")) as readonly {
    readonly delta?: { readonly text?: string };
  }[]).map(({ delta }) => delta?.text ?? "").join("");
}

const HELLO = [{ role: "user", content: "Hello 你好 🌊" }];

/** The data of every event, `[DONE]` and comments left out. */
function dataOf(stream: string): unknown[] {
  return stream.split("\n\n").map((event) => event.replace(/^event: .*\n/, "")).filter((event) =>
    event.startsWith("data: ") && event !== "data: [DONE]"
  ).map((event) => JSON.parse(event.slice("data: ".length)));
}

function saidInDeltas(stream: string): string {
  return (dataOf(stream) as readonly { readonly type: string; readonly delta?: string }[])
    .map(({ delta }) => delta ?? "").join("");
}

function saidInChunks(stream: string): string {
  return (dataOf(stream) as readonly {
    readonly choices?: readonly { readonly delta?: { readonly content?: string } }[];
  }[]).map(({ choices }) => choices?.[0]?.delta?.content ?? "").join("");
}

/** An upstream of these tests may have chat's chunks, which pass as they are. */
function saidInTexts(stream: string): string {
  return (dataOf(stream) as readonly { readonly choices?: readonly { readonly text?: string }[] }[])
    .map(({ choices }) => choices?.[0]?.text ?? "").join("") || saidInChunks(stream);
}

function saidInContents(stream: string): string {
  return (dataOf(stream) as readonly { readonly content?: string }[])
    .map(({ content }) => content ?? "").join("");
}

function saidInEnvelopes(stream: string): string {
  return (dataOf(stream) as readonly { readonly data: { readonly content?: string } }[])
    .map(({ data }) => data.content ?? "").join("");
}

function saidInLines(stream: string): string {
  return stream.split("\n\n").filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length)).join("");
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
    cutsAfterBlank: false,
    end: DONE,
    error: ERROR,
    isRelayed: true,
    unreachable: [502, "{"],
  },
  {
    path: "/v1/responses",
    body: { model: "gpt-4o", input: HELLO, stream: true },
    said: saidInDeltas,
    cutsAfterBlank: false,
    end: "}\n\n",
    error: "event: error\n",
    opensAtOnce: true,
    unreachable: [502, "{"],
  },
  {
    path: "/v1/messages",
    body: { model: "claude-sonnet-4-5", max_tokens: 100, messages: HELLO, stream: true },
    said: saidInBlocks,
    end: 'data: {"type":"message_stop"}\n\n',
    error: 'event: error\ndata: {"type":"error"',
    cutsAfterBlank: false,
    hasEventLines: true,
    unreachable: [502, '{"type":"error","error":{"type":"api_error"'],
  },
  {
    path: "/v1/completions",
    body: {
      model: "gpt-3.5-turbo-instruct",
      prompt: "Hello 你好 🌊",
      stream: true,
      max_tokens: 999,
    },
    said: saidInTexts,
    cutsAfterBlank: false,
    end: DONE,
    error: ERROR,
    isRelayed: true,
    asksAt: "/v1/completions",
    unreachable: [502, "{"],
  },
  {
    path: "/chat",
    body: { model: "gpt-4o", messages: HELLO, stream: true },
    said: saidInChunks,
    cutsAfterBlank: false,
    end: DONE,
    error: ERROR,
    isRelayed: true,
    unreachable: [502, ""],
  },
  {
    path: "/api/chat",
    body: { messages: HELLO },
    said: saidInContents,
    cutsAfterBlank: true,
    end: DONE,
    error: ERROR,
    endsErrors: true,
    unreachable: [200, 'data: {"error":"'],
  },
  {
    path: "/conv",
    headers: { "chat-type": "conversation" },
    body: { content: "Hello 你好 🌊" },
    said: saidInMessages,
    cutsAfterBlank: true,
    end: DONE,
    error: ERROR,
    unreachable: [502, ""],
  },
  {
    path: "/v1/response",
    body: { query: "Hello 你好 🌊" },
    said: saidInEnvelopes,
    cutsAfterBlank: true,
    end: DONE,
    // The envelope has no other word for one.
    error: '"code":-1',
    unreachable: [200, 'data: {"code":-1,"msg":"流式响应错误: '],
  },
  {
    path: "/api/workflows/runs",
    body: { input: { prompt: "Hello 你好 🌊" } },
    said: saidInLines,
    cutsAfterBlank: false,
    // model-compose has neither an end mark nor an event for an error: a text could be either.
    end: "",
    error: "",
    // Whether the answer is a stream at all shows with the workflow's first output.
    opensLate: true,
    unreachable: [200, '{"task_id":"'],
  },
];
