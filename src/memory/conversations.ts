/**
 * Conversations in SQLite: in the memory's own file, or in this process only. The database is made on
 * first use, so whoever never calls `/conv` never sees one.
 *
 * @module
 */

import type { Database } from "bun:sqlite";
import type { Conversation, Conversations, Said } from "../core/conversations.ts";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import { abandon, hasVanished, openPatiently, sqlitePath } from "../lib/sqlite_file.ts";

/** How much is kept. What was used longest ago goes first. */
export interface ConversationLimits {
  readonly conversationsMax: number;
  /** All texts together, in UTF-16 units. A file has no such limit: Infinity. */
  readonly charsMax: number;
}

/** What the store needs. */
export interface ConversationsOptions {
  /** A file, or ":memory:". */
  readonly path: string;
  readonly limits: ConversationLimits;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly uuid: () => string;
  readonly watch: Watch;
}

/** In this process: some 100 MiB at the most. */
export const IN_PROCESS_LIMITS: ConversationLimits = {
  conversationsMax: 1000,
  charsMax: 32 * 1024 * 1024,
};

/** In a file: against a script that begins conversations for ever. */
export const IN_FILE_LIMITS: ConversationLimits = { conversationsMax: 100_000, charsMax: Infinity };

/** Milliseconds a statement waits while another process writes to the same file. */
const BUSY_WAIT_MS = 1000;

/** Longest title, in characters: the beginning of the first question. */
const TITLE_CHARS_MAX = 60;
const EMPTY_TITLE = "New chat";

/** Names of their own, so that they lie beside the memory's tables in one file. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS conv_conversations (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    current_node TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS conv_owner ON conv_conversations (owner, updated_ms);
  CREATE INDEX IF NOT EXISTS conv_age ON conv_conversations (updated_ms);
  CREATE TABLE IF NOT EXISTS conv_nodes (
    conversation TEXT NOT NULL,
    id TEXT NOT NULL,
    parent TEXT NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (conversation, id)
  ) STRICT, WITHOUT ROWID;
`;

const CHAIN = `
  WITH RECURSIVE chain (id, parent, role, text, depth) AS (
    SELECT id, parent, role, text, 0 FROM conv_nodes WHERE conversation = ?1 AND id = ?2
    UNION ALL
    SELECT n.id, n.parent, n.role, n.text, depth + 1
    FROM chain JOIN conv_nodes n ON n.conversation = ?1 AND n.id = chain.parent
    WHERE depth + 1 < ?3
  ) SELECT id, role, text FROM chain ORDER BY depth DESC LIMIT ?3`;

/** A message is a row; the root is none, and is known by what lies below it or by being current. */
const KNOWS_NODE = `
  SELECT EXISTS (SELECT 1 FROM conv_nodes WHERE conversation = ?1 AND (id = ?2 OR parent = ?2))
    OR EXISTS (SELECT 1 FROM conv_conversations WHERE id = ?1 AND current_node = ?2) AS known`;

interface Row {
  readonly id: string;
  readonly title: string;
  readonly created_ms: number;
  readonly updated_ms: number;
  readonly current_node: string;
}

/**
 * Makes the store; opens nothing yet. `url` is `memory.url`: an embedded memory's file takes them
 * too, and beside any other memory they live as long as this process.
 */
export function openConversations(
  url: string,
  folder: string,
  options: Pick<ConversationsOptions, "wallMs" | "uuid" | "watch">,
): Conversations {
  const path = url.startsWith("sqlite://") ? sqlitePath(url, folder) : ":memory:";
  if (path === ":memory:") {
    return new SqliteConversations({ ...options, path, limits: IN_PROCESS_LIMITS });
  }
  return new SqliteConversations({ ...options, path, limits: IN_FILE_LIMITS });
}

/** The store. */
export class SqliteConversations implements Conversations {
  readonly #options: ConversationsOptions;
  #opened: Database | undefined = undefined;
  /** All texts of this process's own database. Not counted in a file, which has no such limit. */
  #chars = 0;

  constructor(options: ConversationsOptions) {
    this.#options = options;
  }

  list(owner: string, offset: number, limit: number) {
    const database = this.#database;
    const items = database.query<Row, [string, number, number]>(
      "SELECT * FROM conv_conversations WHERE owner = ? " +
        "ORDER BY updated_ms DESC, id DESC LIMIT ? OFFSET ?",
    ).all(owner, limit, offset).map(conversationOf);
    const total = countOf(
      database.query("SELECT count(*) AS count FROM conv_conversations WHERE owner = ?").get(owner),
    );
    return { total, items };
  }

  find(owner: string, id: string): Conversation | undefined {
    const row = this.#database.query<Row, [string, string]>(
      "SELECT * FROM conv_conversations WHERE id = ? AND owner = ?",
    ).get(id, owner);
    return row === null ? undefined : conversationOf(row);
  }

  begin(owner: string): Conversation {
    const { uuid, wallMs, limits } = this.#options;
    const nowMs = wallMs();
    const conversation: Conversation = {
      id: uuid(),
      title: EMPTY_TITLE,
      createdMs: nowMs,
      updatedMs: nowMs,
      currentNode: uuid(),
    };
    const { id, title, currentNode } = conversation;
    this.#write((database) => {
      database.query("INSERT INTO conv_conversations VALUES (?, ?, ?, ?, ?, ?)")
        .run(id, owner, title, nowMs, nowMs, currentNode);
      const count = countOf(
        database.query("SELECT count(*) AS count FROM conv_conversations").get(),
      );
      for (let left = count; left > limits.conversationsMax; left--) {
        this.#chars -= forgetOldest(database, id) ?? 0;
      }
    });
    return conversation;
  }

  thread(id: string, nodeId: string, countMax: number): readonly Said[] | undefined {
    const known = this.#database.query<{ readonly known: number }, [string, string]>(KNOWS_NODE)
      .get(id, nodeId);
    if (known?.known !== 1) return undefined;
    return this.#database.query<Said, [string, string, number]>(CHAIN).all(id, nodeId, countMax);
  }

  add(id: string, parentId: string, messages: readonly Said[]): void {
    const { wallMs, limits } = this.#options;
    const [first] = messages;
    const last = messages.at(-1);
    if (first === undefined || last === undefined) return;
    const chars = messages.reduce((sum, { text }) => sum + text.length, 0);
    if (chars > limits.charsMax) throw tooLong();
    this.#write((database) => {
      let parent = parentId;
      for (const { id: node, role, text } of messages) {
        database.query("INSERT INTO conv_nodes VALUES (?, ?, ?, ?, ?)")
          .run(id, node, parent, role, storable(text));
        parent = node;
      }
      database.query(
        "UPDATE conv_conversations SET current_node = ?, updated_ms = ?, " +
          "title = iif(title = ?, ?, title) WHERE id = ?",
      ).run(last.id, wallMs(), EMPTY_TITLE, titleOf(first.text), id);
      this.#chars += chars;
      while (this.#chars > limits.charsMax) {
        const freed = forgetOldest(database, id);
        if (freed === undefined) throw tooLong();
        this.#chars -= freed;
      }
    });
  }

  close(): void {
    this.#opened?.close();
    this.#opened = undefined;
  }

  get #database(): Database {
    if (this.#opened !== undefined && hasVanished(this.#opened)) this.#abandon(this.#opened);
    return this.#opened ??= this.#open();
  }

  /** The file is no longer at its path. True when nothing is lost with it. */
  #abandon(database: Database): boolean {
    const { path, watch } = this.#options;
    const { isSaved, text } = abandon(database, path, "turns");
    this.#opened = undefined;
    watch({ kind: "memory_file_vanished", cause: text });
    return isSaved;
  }

  #open(): Database {
    const { path } = this.#options;
    try {
      return openPatiently(path, (database) => {
        database.run("PRAGMA synchronous = NORMAL");
        database.run(SCHEMA);
        database.run(`PRAGMA busy_timeout = ${BUSY_WAIT_MS}`);
      });
    } catch (cause) {
      throw failed(`Cannot open the conversations in ${path}`, cause);
    }
  }

  /** Makes `change` whole or not at all. */
  #write(change: (database: Database) => void): void {
    const database = this.#database;
    const chars = this.#chars;
    try {
      database.transaction(() => change(database)).immediate();
      if (hasVanished(database) && !this.#abandon(database)) {
        throw new Error(`${this.#options.path} was removed or replaced while weir ran`);
      }
    } catch (cause) {
      this.#chars = chars;
      if (cause instanceof AppError) throw cause;
      throw failed("Cannot keep the conversation", cause);
    }
  }
}

/** Forgets the conversation that was used longest ago, but `keptId`; gives its texts' length. */
function forgetOldest(database: Database, keptId: string): number | undefined {
  const oldest = database.query<{ readonly id: string }, [string]>(
    "SELECT id FROM conv_conversations WHERE id <> ? ORDER BY updated_ms LIMIT 1",
  ).get(keptId);
  if (oldest === null) return undefined;
  const texts = database.query<{ readonly text: string }, [string]>(
    "SELECT text FROM conv_nodes WHERE conversation = ?",
  ).all(oldest.id);
  database.query("DELETE FROM conv_nodes WHERE conversation = ?").run(oldest.id);
  database.query("DELETE FROM conv_conversations WHERE id = ?").run(oldest.id);
  return texts.reduce((sum, { text }) => sum + text.length, 0);
}

function countOf(row: unknown): number {
  return (row as { readonly count: number }).count;
}

function conversationOf(row: Row): Conversation {
  return {
    id: row.id,
    title: row.title,
    createdMs: row.created_ms,
    updatedMs: row.updated_ms,
    currentNode: row.current_node,
  };
}

function titleOf(text: string): string {
  const line = text.trim().slice(0, 2 * TITLE_CHARS_MAX).split(/[\r\n]/, 1)[0]!;
  return storable([...line].slice(0, TITLE_CHARS_MAX).join("")) || EMPTY_TITLE;
}

/** SQLite's text functions end at a NUL, and half a character is none. Both keep their length. */
function storable(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}

function tooLong(): AppError {
  return new AppError("body_too_large", "The conversation is too long to be kept: begin anew");
}

function failed(what: string, cause: unknown): AppError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AppError("memory_failed", `${what}: ${reason}`, { cause });
}
