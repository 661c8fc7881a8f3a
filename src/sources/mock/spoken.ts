/**
 * What the mock says to a turn: its reply, what the user has said, or filler of a wanted length.
 *
 * @module
 */

import { textOf, type Turn } from "../../core/turn.ts";
import { Lru } from "../../lib/lru.ts";
import type { Tokens } from "./counter.ts";

/** What decides what is said; part of the `mock` section of the config. */
export interface SpokenOptions {
  readonly reply: string;
  /** True: the user's last words come back. */
  readonly echo?: boolean;
  /** Tokens of filler where a turn does not say how many; 0 = it is no filler. */
  readonly lorem?: number;
}

/** Something to say. */
export interface Spoken {
  /** Tells it from everything else that is said. */
  readonly key: string;
  readonly text: string;
}

/** A number of tokens, in a user's text: "lorem:200". */
const MARKER = /\blorem:(\d{1,6})\b/;
/** More are not made. */
const TOKENS_MAX = 65_536;

const FILLER = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor " +
  "incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation " +
  "ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor in reprehenderit " +
  "in voluptate velit esse cillum dolore eu fugiat nulla pariatur. Excepteur sint occaecat " +
  "cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum.";

const REMEMBERED = { entriesMax: 64, bytesMax: 4_194_304 };

/** Decides what is said. */
export class Speaker {
  /** True: it is always the same. */
  readonly isConstant: boolean;
  readonly #reply: Spoken;
  readonly #options: SpokenOptions;
  readonly #tokens: Tokens;
  readonly #fillers = new Lru<Spoken>(REMEMBERED);

  constructor(options: SpokenOptions, tokens: Tokens) {
    const { reply, echo = false, lorem = 0 } = options;
    this.isConstant = !echo && lorem === 0;
    this.#reply = { key: "reply", text: reply };
    this.#options = options;
    this.#tokens = tokens;
  }

  /** What is said to `turn`, before its limits are kept. */
  to(turn: Turn): Spoken {
    if (this.isConstant) return this.#reply;
    const said = lastWords(turn);
    if (!this.#options.echo) return this.#filler(turn, said);
    return said === "" ? this.#reply : { key: `echo ${said}`, text: said };
  }

  /** As many tokens as the user's words, the turn or else the config want. */
  #filler({ model, tokensMax }: Turn, said: string): Spoken {
    const marked = MARKER.exec(said)?.[1];
    // Whoever only limits an answer has it end at that limit: as of a model that would go on.
    const wanted = marked !== undefined
      ? Number(marked)
      : tokensMax !== undefined
      ? tokensMax + 1
      : this.#options.lorem!;
    const count = Math.min(TOKENS_MAX, wanted);
    const counter = this.#tokens.of(model);
    const key = `lorem ${count} ${counter.encoding}`;
    const known = this.#fillers.get(key);
    if (known !== undefined) return known;
    const first = counter.pieces(FILLER) ?? [];
    const next = counter.pieces(` ${FILLER}`) ?? [];
    let text = "";
    let left = count;
    for (let pieces = first; left > 0; pieces = next) {
      text += pieces.slice(0, left).join("");
      left -= pieces.length;
    }
    const made = { key, text };
    this.#fillers.set(key, made, 2 * text.length);
    return made;
  }
}

/** The last text of the user; "" = there is none. */
function lastWords({ messages }: Turn): string {
  const last = messages.findLast(({ role, content }) => role === "user" && textOf(content) !== "");
  return last === undefined ? "" : textOf(last.content);
}
