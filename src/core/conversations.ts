/**
 * The conversations of `/conv`: trees of messages, of which one node is where the talk stands. Whoever
 * keeps them implements `Conversations`.
 *
 * @module
 */

/** One conversation, without its messages. */
export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly updatedMs: number;
  /** The message that the next one answers to; at first a root that says nothing. */
  readonly currentNode: string;
}

/** One message. */
export interface Said {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly text: string;
}

/** Keeps conversations. Each belongs to one owner, and nobody else sees it. */
export interface Conversations {
  /** The owner's conversations, the last used first, and how many there are. */
  list(
    owner: string,
    offset: number,
    limit: number,
  ): { readonly total: number; readonly items: readonly Conversation[] };

  find(owner: string, id: string): Conversation | undefined;

  /** A new conversation in which nothing has been said. */
  begin(owner: string): Conversation;

  /**
   * What was said up to the message `nodeId`, oldest first, the last `countMax` of it; undefined
   * when the conversation has no such message.
   */
  thread(id: string, nodeId: string, countMax: number): readonly Said[] | undefined;

  /** Adds messages, the first one below `parentId` and each below the one before. */
  add(id: string, parentId: string, messages: readonly Said[]): void;

  /** Closes what is open. Nothing may be called afterwards. */
  close(): void;
}
