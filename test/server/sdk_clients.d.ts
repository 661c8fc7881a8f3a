/** One client in one dialect, and what people do with it. Each gives what it has got in the end. */
export interface Client {
  readonly name: string;
  readonly dialect: Dialect;
  text(url: string): Promise<string>;
  streamed(url: string): Promise<string>;
  /** Runs a tool until the model says something. `ran` is told what the tool was called with. */
  toolLoop(url: string, ran: (input: unknown) => void): Promise<string>;
  /** A city and its degrees, in the client's own way to a schema. */
  structured(url: string): Promise<unknown>;
  /** The vector of a text, where the client has such a call; of this length, if it is given. */
  embedded?(url: string, dimensions?: number): Promise<readonly number[]>;
}

export type Dialect = "openai_chat" | "openai_responses" | "anthropic_messages";

/** What the clients ask for: a text, a call of the tool `weather`, a value of a schema. */
export const PROMPTS: { readonly text: string; readonly call: string; readonly form: string };

export const CLIENTS: readonly Client[];
