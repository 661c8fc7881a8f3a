/**
 * Where fixtures are added and requests are looked up, for all workers as for one: what changes is
 * applied by every worker in the same order, and what is asked is gathered from all.
 *
 * @module
 */

import { AppError, asAppError, type ErrorCode, ERRORS } from "../../core/errors.ts";
import type { PeerQuestion, Peers } from "../../core/peers.ts";
import type { CountPage } from "../../lib/count_page.ts";
import type { Limiter } from "../../lib/limiter.ts";
import type { Ordinals } from "../../lib/ordinals.ts";
import type { Recent } from "../../lib/recent.ts";
import type { Tally } from "../../lib/tally.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { Journal } from "../../ops/journal.ts";
import type { Fixture } from "../../sources/fixtures/fixture.ts";
import type { FixtureSet } from "../../sources/fixtures/ports.ts";
import { type Change, FixtureShelf, type ReadAdded } from "../../sources/fixtures/shelf.ts";
import { type Count, Look, type RequestFilter, type Shown } from "./look.ts";

/** What it needs. */
export interface DeskDeps {
  readonly makeSet: (fixtures: readonly Fixture[]) => FixtureSet;
  readonly readAdded: ReadAdded;
  readonly counts: CountPage;
  /** How often each request came before, for what chance draws. */
  readonly ordinals: Ordinals;
  readonly limiter: Limiter;
  /** What runs and waits in all workers. */
  readonly tally: Tally;
  /** Beginnings of prompts that came lately. */
  readonly prefixes: Recent;
  readonly wheel: Wheel;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly journal: Journal;
  readonly peers: Peers;
  /** The fixtures of files, where one process reads them for all. */
  readonly readFiles?: () => FixtureState;
}

/** The fixtures of files that are in force. JSON carries it. */
export interface FixtureState {
  readonly fixtures: readonly Fixture[];
  /** Why they are not those on the disk; "" = they are. */
  readonly trouble: string;
}

const TOPIC = "fixtures";

/** Questions between workers. */
type DeskQuestion =
  | { readonly ask: "change"; readonly change: Change }
  | { readonly ask: "clear"; readonly session: string | undefined }
  | { readonly ask: "state" }
  /** Other fixtures of files are in force. */
  | { readonly ask: "files" }
  | { readonly ask: "count" | "show"; readonly filter: RequestFilter };

/** Tells a desk that `readFiles` gives something else now. */
export const FILES_CHANGED: PeerQuestion = { of: TOPIC, ask: "files" };

/** An answer between workers. */
type DeskAnswer<Value> =
  | { readonly value: Value }
  | { readonly error: { readonly code: string; readonly message: string } };

/** The one desk of a process: it outlives an app that a reload replaces. */
export class Desk {
  readonly shelf: FixtureShelf;
  readonly journal: Journal;
  readonly peers: Peers;
  readonly ordinals: Ordinals;
  readonly limiter: Limiter;
  /** What runs and waits in all workers. */
  readonly tally: Tally;
  /** Beginnings of prompts that came lately. */
  readonly prefixes: Recent;
  readonly #look: Look;
  readonly #readFiles: DeskDeps["readFiles"];
  /** What others say while the state is not here yet. */
  #early: DeskQuestion[] | undefined = undefined;

  constructor(deps: DeskDeps) {
    this.journal = deps.journal;
    this.peers = deps.peers;
    this.ordinals = deps.ordinals;
    this.limiter = deps.limiter;
    this.tally = deps.tally;
    this.prefixes = deps.prefixes;
    this.#look = new Look(deps);
    this.#readFiles = deps.readFiles;
    this.shelf = new FixtureShelf({
      ...deps,
      onTaken: (change) => {
        const forget = () => this.shelf.forgetTaken(change);
        // Whoever has not heard of it finds by its counter that it was given.
        this.change(change).then(forget, () => {});
      },
    });
  }

  /**
   * Has all workers apply `change`. Gives how many fixtures it was about.
   *
   * @throws {AppError} what is wrong with it, or that not all have it (the promise rejects).
   */
  change(change: Change): Promise<number> {
    return this.#tell({ ask: "change", change });
  }

  /**
   * Has all workers forget the requests of `session`; undefined = all. Gives how many.
   *
   * @throws {AppError} that not all have done so (the promise rejects).
   */
  async clearRequests(session: string | undefined): Promise<number> {
    return await this.#tell({ ask: "clear", session });
  }

  /** How many requests fit, in all workers. @throws {AppError} (the promise rejects). */
  async count(filter: RequestFilter): Promise<Count> {
    const counts = await this.#gather<Count>({ ask: "count", filter });
    return this.#look.joinCounts(counts);
  }

  /** Those that fit, the newest last. @throws {AppError} (the promise rejects). */
  async show(filter: RequestFilter): Promise<Shown> {
    return this.#look.joinShown(await this.#gather<Shown>({ ask: "show", filter }), filter);
  }

  /** Takes the fixtures of files in place of those before. */
  takeFiles({ fixtures, trouble }: FixtureState): void {
    this.shelf.setFiles(fixtures);
    this.shelf.trouble = trouble;
  }

  /** Takes what other workers have, before this one takes requests. From now on it hears of changes. */
  async catchUp(): Promise<void> {
    const early: DeskQuestion[] = this.#early = [];
    try {
      if (this.#readFiles !== undefined) this.takeFiles(this.#readFiles());
      const answers = await this.peers.askAll({ of: TOPIC, ask: "state" });
      const [state] = answers as readonly DeskAnswer<readonly Change[]>[];
      if (state !== undefined && "value" in state) {
        for (const change of state.value) this.shelf.apply(change);
      }
    } finally {
      this.#early = undefined;
      for (const question of early) this.#answer(question);
    }
  }

  /** Answers another worker; undefined = it is no business of the desk's. */
  answerPeer({ of, ...question }: PeerQuestion): unknown {
    if (of !== TOPIC) return undefined;
    const asked = question as unknown as DeskQuestion;
    if (this.#early === undefined) return this.#answer(asked);
    if (asked.ask === "change" || asked.ask === "files") this.#early.push(asked);
    return asked.ask === "state" ? undefined : { value: 0 } satisfies DeskAnswer<number>;
  }

  #answer(question: DeskQuestion): DeskAnswer<unknown> {
    try {
      switch (question.ask) {
        case "change": {
          const value = this.shelf.apply(question.change);
          const { change } = question;
          if (change.kind === "reset" && change.parts.includes("journal")) {
            this.journal.clear(change.session === "" ? undefined : change.session);
          }
          // Equal requests are told apart by session, and forgotten all at once.
          if (
            change.kind === "reset" && change.parts.includes("counters") && change.session === ""
          ) {
            this.ordinals.clear();
            this.prefixes.clear();
          }
          return { value };
        }
        case "clear":
          return { value: this.journal.clear(question.session) };
        case "state":
          return { value: this.shelf.snapshot() };
        case "files":
          if (this.#readFiles !== undefined) this.takeFiles(this.#readFiles());
          return { value: this.shelf.trouble };
        case "count":
          return { value: this.#look.count(question.filter) };
        case "show":
          return { value: this.#look.show(question.filter) };
      }
    } catch (thrown) {
      const { code, message } = asAppError(thrown);
      return { error: { code, message } };
    }
  }

  async #tell(question: DeskQuestion): Promise<number> {
    const { peers } = this;
    if (peers.own === 0) return valueOf(this.#answer(question)) as number;
    const { answers, missing } = await peers.tellAll({ of: TOPIC, ...question });
    const values = (answers as readonly DeskAnswer<number>[]).map(valueOf);
    if (missing > 0 || values.length === 0) {
      throw new AppError(
        "unavailable",
        missing === 0
          ? "No worker has answered: try again"
          : `${missing} of the workers do not answer: they take this once they go on`,
      );
    }
    return question.ask === "clear"
      ? values.reduce((sum, value) => sum + value, 0)
      : Math.max(...values);
  }

  async #gather<Value>(question: DeskQuestion): Promise<readonly Value[]> {
    const own = valueOf(this.#answer(question)) as Value;
    const others = await this.peers.askAll({ of: TOPIC, ...question });
    return [own, ...(others as readonly DeskAnswer<Value>[]).map(valueOf)];
  }
}

/** @throws {AppError} what a worker has thrown. */
function valueOf<Value>(answer: DeskAnswer<Value>): Value {
  if ("value" in answer) return answer.value;
  const { code, message } = answer.error;
  throw new AppError(Object.hasOwn(ERRORS, code) ? code as ErrorCode : "internal", message);
}
