/**
 * A folder of tapes in memory.
 *
 * @module
 */

import type { TapeFile, TapeFolder } from "../../../src/sources/tape/folder.ts";
import { readTape, type Tape, tapeFile, tapeText } from "../../../src/sources/tape/format.ts";

/** Several shelves may look into it. */
export class MemoryFolder implements TapeFolder {
  /** Whole tapes, by name. */
  readonly files = new Map<string, string>();
  /** Those that are being written. */
  readonly partial = new Map<string, string>();
  /** Ids of tapes that were replayed. */
  readonly replayed: string[] = [];
  /** What the system says to whoever writes; "" = nothing. */
  trouble = "";
  readonly #watchers = new Set<() => void>();
  #stamp = 0;
  readonly #stamps = new Map<string, string>();

  put(tape: Tape): void {
    this.set(tapeFile(tape.id), tapeText(tape));
  }

  set(name: string, text: string): void {
    this.files.set(name, text);
    this.#stamps.set(name, String(++this.#stamp));
  }

  /** Tells whoever watches. */
  tell(): void {
    for (const onChange of this.#watchers) onChange();
  }

  /** The tapes in it, in the order of their ids. */
  tapes(): readonly Tape[] {
    return [...this.files].sort(([a], [b]) => a < b ? -1 : 1)
      .map(([, text]) => readTape(Buffer.from(text)));
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.files.keys()]);
  }

  read(name: string): Promise<Uint8Array> {
    return Promise.resolve(Buffer.from(this.files.get(name)!));
  }

  stampOf(name: string): Promise<string | undefined> {
    return Promise.resolve(this.#stamps.get(name));
  }

  begin(name: string): Promise<TapeFile> {
    if (this.trouble !== "") return Promise.reject(this.#error());
    this.partial.set(name, "");
    return Promise.resolve({
      append: (text) => {
        if (this.trouble !== "") return Promise.reject(this.#error());
        this.partial.set(name, this.partial.get(name)! + text);
        return Promise.resolve();
      },
      finish: () => {
        this.set(name, this.partial.get(name)!);
        this.partial.delete(name);
        return Promise.resolve();
      },
      drop: () => {
        this.partial.delete(name);
        return Promise.resolve();
      },
    });
  }

  noteReplayed(id: string): void {
    this.replayed.push(id);
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  #error(): Error {
    return Object.assign(new Error("no"), { code: this.trouble });
  }
}
