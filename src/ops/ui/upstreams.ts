/**
 * The upstreams that routes lead to, and how they do: one line at the foot of the page, as health
 * tells it.
 *
 * @module
 */

import { element } from "./element.ts";
import type { Wording } from "./wording.ts";
import type { Word } from "./words.ts";

/** From one look at them to the next. */
const LOOK_MS = 5_000;

/** What is said of each state of a breaker. */
const STATES: ReadonlyMap<unknown, Word> = new Map([
  ["closed", "upstream_closed"],
  ["open", "upstream_open"],
  ["half_open", "upstream_half_open"],
]);

/** One upstream, as health tells it. */
export interface UpstreamState {
  readonly name: string;
  readonly word: Word;
  readonly state: string;
}

/** The upstreams in `health`; none where it tells of none. */
export function upstreamsIn(health: Readonly<Record<string, unknown>>): readonly UpstreamState[] {
  const { upstreams } = health;
  if (!Array.isArray(upstreams)) return [];
  return upstreams.flatMap((one: Readonly<Record<string, unknown>> | null) => {
    const word = STATES.get(one?.["breaker"]);
    return word === undefined ? [] : [{
      name: String(one!["name"]),
      state: String(one!["breaker"]),
      word,
    }];
  });
}

/** Shows those of `health` in `list`, and looks again from time to time while somebody sees them. */
export function showUpstreams(
  list: HTMLElement,
  health: Readonly<Record<string, unknown>>,
  look: () => Promise<Readonly<Record<string, unknown>>>,
  wording: Wording,
): void {
  let shown = "";
  const show = (upstreams: readonly UpstreamState[]) => {
    const text = JSON.stringify(upstreams);
    if (text === shown) return; // whoever listens to the page hears of changes alone
    shown = text;
    list.replaceChildren(
      ...upstreams.map(({ name, word, state }) =>
        element(
          "li",
          { "data-state": state },
          element("b", {}, name),
          " ",
          wording.say(element("span"), word),
        )
      ),
    );
  };
  const again = async () => {
    // What nobody sees is not asked for; what was seen last stays where health does not answer.
    const next = document.hidden ? [] : upstreamsIn(await look().catch(() => ({})));
    if (next.length > 0) show(next);
    setTimeout(again, LOOK_MS);
  };
  const upstreams = upstreamsIn(health);
  list.hidden = upstreams.length === 0;
  if (list.hidden) return;
  show(upstreams);
  setTimeout(again, LOOK_MS);
}
