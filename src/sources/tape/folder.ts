/**
 * The folder of tapes, as recording and replaying have it. Whoever starts weir gives one.
 *
 * @module
 */

/** A folder of tapes. Everything may reject, with what the system says. */
export interface TapeFolder {
  /** The names of the whole tapes in it, in no order; none where there is no such folder. */
  list(): Promise<readonly string[]>;
  read(name: string): Promise<Uint8Array>;
  /** What is another text once the file has changed; undefined = there is none. */
  stampOf(name: string): Promise<string | undefined>;
  /** Begins a tape, and makes the folder where there is none. It has its name when it is whole. */
  begin(name: string): Promise<TapeFile>;
  /** Notes that a tape has been replayed, for whoever removes those that never are. Never fails. */
  noteReplayed(id: string): void;
  /** Calls `onChange` soon after something in it has changed, until what it gives is called. */
  watch(onChange: () => void): () => void;
}

/** A tape that is being written. */
export interface TapeFile {
  append(text: string): Promise<void>;
  /** It is whole: it gets its name. */
  finish(): Promise<void>;
  /** It will not be whole, and goes. */
  drop(): Promise<void>;
}
