/** What a client has got of an answer in the end. */
export interface Read {
  readonly text: string | null | undefined;
  /** Why it ended, in the client's words; undefined = it does not tell. */
  readonly reason: string | null | undefined;
  /** Tokens of the answer; undefined = it does not know. */
  readonly tokens: number | null | undefined;
}

/** Where a client asks. */
export interface ReaderTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly retries: number;
  /** Its name: a part of what it says. */
  readonly client: string;
  /** True: it has a tool, and what the model calls is its text. */
  readonly isCalling?: boolean;
}

/** One client in one dialect. */
export interface Reader {
  readonly name: string;
  readonly dialect: "openai_chat" | "openai_responses" | "anthropic_messages";
  /** Streams one answer. */
  read(target: ReaderTarget): Promise<Read>;
}

export const READERS: readonly Reader[];
