/** One client, and what people do with it. Each gives what it has got in the end. */
export interface Client {
  readonly name: string;
  text(url: string): Promise<string>;
  streamed(url: string): Promise<string>;
  /** Runs a tool until the model says something. `ran` is told what the tool was called with. */
  toolLoop(url: string, ran: (input: unknown) => void): Promise<string>;
  structured(url: string): Promise<unknown>;
}

export const ai: Client;
export const agents: Client;
export const langchain: Client;
