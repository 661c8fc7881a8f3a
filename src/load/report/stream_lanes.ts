/**
 * Single streams as lanes: what was waited for, and a stroke for every event. They are drawn without a
 * script: a lane is stretched to the width that there is.
 *
 *   ▒▒▒▒░░░░░░░░░░░░░░│ │  ││ │         │ │ ┃
 *   queue  until the first event   ▔▔▔▔▔   the end
 *                                  longest pause
 *
 * @module
 */

import { counted } from "../../lib/counted.ts";
import type { KeptAs, KeptStream } from "../kept_streams.ts";
import { escaped } from "../page.ts";
import { TOKENS } from "../record.ts";
import { kindsText } from "./raw.ts";
import { shown } from "./terminal.ts";

const WHY: Readonly<Record<KeptAs, string>> = {
  fastest: "fastest",
  typical: "typical",
  slowest: "slowest",
  late: "latest first token",
  pause: "longest pause",
  failed: "failed",
};

/** Lanes whose lengths differ by more do not have the same scale: the short ones would not be seen. */
const SCALES_MAX = 10;
/** Units of a lane, which is as wide as the page. */
const WIDTH = 10_000;
/** Events that are listed in words. */
const LISTED_MAX = 120;

/** Rules for what is made here. */
export const LANES_SHEET = `
.stream { margin: 1rem 0; break-inside: avoid; }
.stream p { margin: 0 0 .3rem; overflow-wrap: anywhere; }
.lane { display: block; width: 100%; height: 2.5rem; background: var(--soft);
  border-bottom: 1px solid var(--line); print-color-adjust: exact; }
.lane path { fill: none; vector-effect: non-scaling-stroke; }
.scale { display: flex; justify-content: space-between; font-size: .8rem; color: var(--dim);
  font-variant-numeric: tabular-nums; }
.lane .queue, .key .queue { fill: var(--queue); background: var(--queue); }
.lane .connect, .key .connect { fill: var(--connect); background: var(--connect); }
.lane .wait, .key .wait { fill: var(--wait); background: var(--wait); }
.lane .pause, .key .pause { fill: var(--two); background: var(--two); }
.lane .token { stroke: var(--one); stroke-width: 1.5; } .key .token { background: var(--one); }
.lane .other { stroke: var(--dim); stroke-width: 1; } .key .other { background: var(--dim); }
.lane .end { stroke: var(--ink); stroke-width: 2; } .lane .failed { stroke: var(--fail); stroke-width: 4; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .85rem; color: var(--dim);
  padding: 0; margin: .4rem 0; list-style: none; }
.key i { display: inline-block; width: .9rem; height: .8rem; margin-right: .35rem; vertical-align: -.05rem;
  print-color-adjust: exact; }
.key .token, .key .other { width: 2px; } .key .other { height: .45rem; vertical-align: .1rem; }
.key .pause { height: 4px; vertical-align: .15rem; }
.events { font: 13px/1.6 ui-monospace, monospace; overflow-wrap: anywhere; padding: 0 .8rem .6rem; }
`;

/** What the signs of a lane mean. */
const KEY = `<ul class="key"><li><i class="queue"></i>waited in the client</li>
<li><i class="connect"></i>connecting</li><li><i class="wait"></i>until the first event</li>
<li><i class="token"></i>an event with tokens</li><li><i class="other"></i>another event</li>
<li><i class="pause"></i>the longest pause between tokens</li></ul>`;

/** The lanes of `streams`, with their numbers in words; `clean` takes secrets out. */
export function streamLanes(
  streams: readonly KeptStream[],
  clean: (text: string) => string,
): string {
  const lengths = streams.map(lengthOf);
  const longest = Math.max(...lengths);
  const isShared = longest <= SCALES_MAX * Math.min(...lengths.filter((length) => length > 0));
  const scale = isShared
    ? "All have the same scale."
    : "<strong>Each has a scale of its own</strong>, to its right.";
  const lanes = streams.map((stream, at) => lane(stream, isShared ? longest : lengths[at]!, clean));
  return `<p class="dim">From when each request was due. ${scale}</p>
${KEY}
${lanes.join("\n")}
<details><summary>Every event of these streams</summary>
${streams.map(eventList).join("\n")}
</details>`;
}

function lane(stream: KeptStream, toMs: number, clean: (text: string) => string): string {
  const at = (ms: number) => Math.round((WIDTH * ms) / (toMs || 1));
  const { sent, connected, end, pause, event_ms, event_kinds, outcome } = stream;
  const bar = (from: number | null, to: number | null, name: string, top = 8, height = 24) =>
    from === null || to === null || at(to) <= at(from)
      ? ""
      : `<rect class="${name}" x="${at(from)}" y="${top}" width="${
        at(to) - at(from)
      }" height="${height}"/>`;
  const strokes = (isToken: boolean, top: number, bottom: number, name: string) => {
    const places = event_ms.filter((_, i) => ((event_kinds[i]! & TOKENS) !== 0) === isToken).map(
      at,
    );
    const path = [...new Set(places)].map((x) => `M${x} ${top}V${bottom}`).join("");
    return path === "" ? "" : `<path class="${name}" d="${path}"/>`;
  };
  const first = event_ms[0] ?? end;
  const words = escaped(factsOf(stream));
  const failure = outcome === "failed"
    ? ` <bdi class="word fail">${escaped(cut(clean(stream.failure)))}</bdi>`
    : "";
  const why = stream.why.map((one) => WHY[one]).join(", ");
  return `<div class="stream"><p><span class="name">${why}</span>${failure} <span class="dim">${words}</span></p>
<svg class="lane" viewBox="0 0 ${WIDTH} 40" preserveAspectRatio="none" role="img" aria-label="${why}: ${words}">${
    bar(0, sent, "queue") + bar(sent, connected, "connect") +
    bar(connected ?? sent, first, "wait") +
    bar(pause?.[0] ?? null, pause?.[1] ?? null, "pause", 36, 4) +
    strokes(false, 16, 32, "other") + strokes(true, 6, 34, "token") +
    (end === null
      ? ""
      : `<path class="${outcome === "failed" ? "failed" : "end"}" d="M${at(end)} 2V38"/>`)
  }</svg>
<div class="scale"><span>0</span><span>${shown(toMs)} ms</span></div></div>`;
}

/** "first token 19.7 ms · longest pause 162 ms · over after 283 ms · 4 of 5 events with tokens" */
function factsOf(stream: KeptStream): string {
  const { first_token, pause, end, events, token_events, event_ms, sent, outcome } = stream;
  const told = (words: string, ms: number | null) =>
    ms === null ? [] : [`${words} ${shown(ms)} ms`];
  return [
    `request ${stream.number}`,
    ...(sent !== null && sent >= 1 ? told("sent after", sent) : []),
    ...told("first token", first_token),
    ...told("longest pause", pause === null ? null : pause[1] - pause[0]),
    ...told(outcome === "failed" ? "failed after" : "whole answer", end),
    ...(events === 0 ? [] : [`${token_events} of ${counted(events, "event")} with tokens`]),
    ...(event_ms.length < events
      ? [`${counted(event_ms.length, "event")} drawn, at even steps`]
      : []),
  ].join(" · ");
}

function eventList(stream: KeptStream): string {
  const { event_ms, event_kinds, events, head, end, connected, sent } = stream;
  const moments = ([["sent", sent], ["connected", connected], ["head", head]] as const)
    .flatMap(([name, ms]) => ms === null ? [] : [`${shown(ms)} ${name}`]);
  const listed = event_ms.slice(0, LISTED_MAX).map((ms, at) => {
    const gap = at === 0 ? "" : ` (+${shown(ms - event_ms[at - 1]!)})`;
    return `${shown(ms)}${gap} ${kindsText(event_kinds[at]!)}`;
  });
  const more = event_ms.length > LISTED_MAX || event_ms.length < events
    ? [`… ${counted(events, "event")} in all: see --raw`]
    : [];
  const over = end === null ? [] : [`${shown(end)} end`];
  return `<p class="events"><strong>${stream.why.map((one) => WHY[one]).join(", ")}</strong>, ms: ${
    escaped([...moments, ...listed, ...more, ...over].join(" · "))
  }</p>`;
}

/** How far a lane reaches. */
function lengthOf({ end, event_ms, sent }: KeptStream): number {
  return end ?? event_ms.at(-1) ?? sent ?? 0;
}

/** Texts of others have an end. */
export function cut(text: string): string {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}

const TEXT_MAX = 300;
