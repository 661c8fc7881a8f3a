/**
 * The keys in force: those of the config, and those of the store, which are looked for again and again.
 *
 * @module
 */

import { AppError, asAppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import { isLimited, type Key, type KeyFacts } from "../core/keys.ts";
import type { Soon, Store } from "../core/store.ts";
import type { Keys } from "./auth.ts";

/** Where keys come from. */
export interface KeyRingOptions {
  /** Those that do not change as long as the ring lives. */
  readonly fixed: readonly KeyFacts[];
  /** Keys of the store that are called so open nothing: what is told of the name is the operator's. */
  readonly taken: ReadonlySet<string>;
  /** Where there may be more; absent = there are none. */
  readonly store: Pick<Store, "keysVersion" | "keys"> | undefined;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly watch: Watch;
}

/** All of them, by their digests. What time it takes to find one tells nothing of any key's text. */
export class KeyRing implements Keys {
  readonly #options: KeyRingOptions;
  readonly #fixed: readonly Key[];
  #keys: ReadonlyMap<string, Key>;
  #hasLimits: boolean;
  /** The version of the store's keys that these are; -1 = nobody has read them. */
  #version = -1;
  #trouble = "";
  /** Names of which it was told that they are taken. */
  readonly #told = new Set<string>();

  constructor(options: KeyRingOptions) {
    this.#options = options;
    this.#fixed = options.fixed.map(inForce);
    this.#keys = mapOf(this.#fixed);
    this.#hasLimits = this.#fixed.some(({ isLimited }) => isLimited);
  }

  /** Why the keys of the store are not those that it has now; "" = they are. */
  get trouble(): string {
    return this.#trouble;
  }

  /** False while nobody knows what keys the store has. */
  get isRead(): boolean {
    return this.#options.store === undefined || this.#version >= 0;
  }

  /** True when some key has limits: its requests must be understood. */
  get hasLimits(): boolean {
    return this.#hasLimits;
  }

  find(token: string): Key | undefined {
    const key = this.#keys.get(digestOf(token));
    if (key !== undefined) return key.endsMs > this.#options.wallMs() ? key : undefined;
    if (this.isRead) return undefined;
    throw new AppError("unavailable", "The keys cannot be looked up now: try again", {
      headers: { "retry-after": "1" },
    });
  }

  /** Takes the keys that the store has now, where they have changed. Never throws or rejects. */
  look(): Soon<void> {
    const { store } = this.#options;
    if (store === undefined) return;
    try {
      const version = store.keysVersion();
      if (version instanceof Promise) {
        return version.then((version) => this.#take(version, store)).catch(this.#fail);
      }
      const taken = this.#take(version, store);
      return taken instanceof Promise ? taken.catch(this.#fail) : taken;
    } catch (error) {
      this.#fail(error);
    }
  }

  #take(version: number, store: Pick<Store, "keys">): Soon<void> {
    if (version === this.#version) return this.#recover();
    const put = (stored: readonly KeyFacts[]) => {
      // In the config's favour, should a text be in both.
      const keys = [...this.#usable(stored).map(inForce), ...this.#fixed];
      this.#keys = mapOf(keys);
      this.#hasLimits = keys.some(({ isLimited }) => isLimited);
      this.#version = version;
      this.#recover();
    };
    const keys = store.keys();
    return keys instanceof Promise ? keys.then(put) : put(keys);
  }

  #usable(stored: readonly KeyFacts[]): readonly KeyFacts[] {
    const { taken, wallMs, watch } = this.#options;
    return stored.filter(({ name, endsMs }) => {
      if (!taken.has(name)) return true;
      if (endsMs > wallMs() && !this.#told.has(name)) watch({ kind: "key_left_out", name });
      this.#told.add(name);
      return false;
    });
  }

  readonly #fail = (error: unknown): void => {
    const { plain } = asAppError(error);
    if (this.#trouble === "") this.#options.watch({ kind: "store_failed", cause: plain });
    this.#trouble = plain;
  };

  #recover(): void {
    if (this.#trouble !== "") this.#options.watch({ kind: "store_recovered" });
    this.#trouble = "";
  }
}

/** SHA-256 of a key's text, as 64 hex digits. */
export function digestOf(token: string): string {
  return Bun.SHA256.hash(token, "hex"); // half the time of a `CryptoHasher`
}

function inForce(facts: KeyFacts): Key {
  return { ...facts, isLimited: isLimited(facts.rules) };
}

function mapOf(keys: readonly Key[]): ReadonlyMap<string, Key> {
  return new Map(keys.map((key) => [key.digest, key]));
}
