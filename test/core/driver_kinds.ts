/**
 * Every kind of output, told by hand: a test tells the first piece and the rest, and looks whether
 * what was told is freed.
 *
 * @module
 */

import type { Answer, Script, Step } from "../../src/core/answer.ts";
import { layScript } from "../../src/core/frames.ts";
import type { Asking, Output } from "../../src/core/surface.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { DONE, DriverRig, errorEvent, LAYOUT, saying, settle } from "./driver_rig.ts";
import { HandBody, relayOf, SlowSource, Told } from "./told_answers.ts";

/** When the pieces of what is known beforehand are due, in milliseconds after the request. */
export const FIRST_MS = 50;
const REST_MS = 100;

/** "a" at `FIRST_MS`, "b" and the end a while later. */
export const SCRIPT: Script = {
  name: "script",
  steps: [
    { kind: "delta", choice: 0, block: "text", text: "a", afterMs: FIRST_MS },
    { kind: "delta", choice: 0, block: "text", text: "b", afterMs: REST_MS },
    { kind: "end", choice: 0, reason: "stop", afterMs: REST_MS },
  ],
};

/** The same, all of it due at once. */
export const SCRIPT_AT_ONCE: Script = {
  name: "script at once",
  steps: SCRIPT.steps.map((step) => ({ ...step, afterMs: 0 })),
};

/** A step that says `text`. */
export function delta(text: string): Step {
  return { kind: "delta", choice: 0, block: "text", text };
}

/** What a test tells of one output. */
export interface Hand {
  /** Tells the first piece. */
  first(): Promise<void>;
  /** Tells the rest, and its end. */
  rest(): Promise<void>;
  /** Fails where it stands; absent: it cannot. */
  fail?(error: unknown): Promise<void>;
  /** True when nothing is held for it any more. */
  isFreed(): boolean;
}

/** How an answer is asked for, where it is asked for. */
export type AskOptions = Pick<Asking, "keeper" | "isDraining">;

/** One kind of output. */
export interface OutputKind {
  readonly name: string;
  /** "piecewise": its pieces leave as they come. "whole": nothing leaves before its end. */
  readonly leaves: "piecewise" | "whole";
  /** All that is said. */
  readonly all: string;
  /** What of it is the first piece. */
  readonly head: string;
  /** What `AskOptions` it takes. */
  readonly takes: readonly (keyof AskOptions)[];
  /** The output as its surface gives it, and the hand that tells it. */
  make(rig: DriverRig, options: AskOptions): { readonly output: Output; readonly hand: Hand };
}

/** Told by the clock. */
function timed(rig: DriverRig): Hand {
  return {
    first: () => rig.pass(FIRST_MS - rig.nowMs),
    rest: () => rig.pass(FIRST_MS + 2 * REST_MS - rig.nowMs),
    isFreed: () => true,
  };
}

/** Told item by item. */
function told<Item>(items: Told<Item>, first: Item, rest: readonly Item[]): Hand {
  return {
    first() {
      items.say(first);
      return settle();
    },
    rest() {
      for (const item of rest) items.say(item);
      items.end();
      return settle();
    },
    fail(error) {
      items.fail(error);
      return settle();
    },
    isFreed: () => items.isReturned || items.isRead,
  };
}

function relayed(body: HandBody, first: string, rest: string): Hand {
  return {
    first() {
      body.say(first);
      return settle();
    },
    rest() {
      body.say(rest);
      body.end();
      return settle();
    },
    fail(error) {
      body.end("fin", error as never);
      return settle();
    },
    isFreed: () => body.isCancelled || body.isEnded,
  };
}

const STREAM = { all: `${saying("a")}${saying("b")}${DONE}`, head: saying("a") } as const;
const JSON_BODY = { all: '{"said":"ab"}', head: "" } as const;

function asked(
  rig: DriverRig,
  answer: Answer,
  options: AskOptions,
  isStream: boolean,
): Asking {
  return rig.asking(() => answer, { ...options, isStream });
}

function live(rig: DriverRig, options: AskOptions, isStream: boolean) {
  const steps = new Told<readonly Step[]>();
  const end: Step = { kind: "end", choice: 0, reason: "stop" };
  return {
    output: asked(rig, { kind: "live", steps, model: "m" }, options, isStream),
    hand: told(steps, [delta("a")], [[delta("b"), end]]),
  };
}

function script(rig: DriverRig, options: AskOptions, isStream: boolean) {
  const answer: Answer = { kind: "script", script: SCRIPT, model: "m" };
  return { output: asked(rig, answer, options, isStream), hand: timed(rig) };
}

/** All kinds whose pieces come over time. */
export const KINDS: readonly OutputKind[] = [
  {
    name: "frames",
    leaves: "piecewise",
    ...STREAM,
    takes: [],
    make: (rig) => {
      const output = {
        kind: "frames",
        frames: layScript(SCRIPT, LAYOUT),
        manner: rig.manner,
      } as const;
      return { output, hand: timed(rig) };
    },
  },
  {
    name: "events",
    leaves: "piecewise",
    ...STREAM,
    takes: [],
    make: () => {
      const events = new Told<string>();
      const output = {
        kind: "events",
        events,
        headers: { "content-type": "text/event-stream" },
        errorEvent,
      } as const;
      return { output, hand: told(events, saying("a"), [saying("b"), DONE]) };
    },
  },
  {
    name: "a script, streamed",
    leaves: "piecewise",
    ...STREAM,
    takes: ["keeper", "isDraining"],
    make: (rig, options) => script(rig, options, true),
  },
  {
    name: "a script, whole",
    leaves: "whole",
    ...JSON_BODY,
    takes: ["keeper", "isDraining"],
    make: (rig, options) => script(rig, options, false),
  },
  {
    name: "a live answer, streamed",
    leaves: "piecewise",
    ...STREAM,
    takes: ["keeper", "isDraining"],
    make: (rig, options) => live(rig, options, true),
  },
  {
    name: "a live answer, whole",
    leaves: "whole",
    ...JSON_BODY,
    takes: ["keeper", "isDraining"],
    make: (rig, options) => live(rig, options, false),
  },
  {
    name: "a relay of events",
    leaves: "piecewise",
    ...STREAM,
    takes: ["isDraining"],
    make: (rig, options) => {
      const body = new HandBody();
      return {
        output: asked(rig, relayOf(body), options, true),
        hand: relayed(body, saying("a"), saying("b") + DONE),
      };
    },
  },
  {
    name: "a passed request",
    leaves: "piecewise",
    ...STREAM,
    takes: ["isDraining"],
    make: (rig, { isDraining = false }) => {
      const body = new HandBody();
      const output = {
        kind: "pass",
        source: { name: "test source", answer: () => relayOf(body) },
        wire: {
          dialect: "chatgpt_web",
          method: "POST",
          path: "/conversation",
          fields: Fields.NONE,
          body: null,
        },
        model: "a model",
        manner: rig.manner,
        isDraining,
      } as const;
      return { output, hand: relayed(body, saying("a"), saying("b") + DONE) };
    },
  },
];

/** `kind` with a source that answers when the test tells it: nothing is known before. */
export function withSlowSource(output: Asking): {
  readonly output: Asking;
  readonly source: SlowSource<Answer>;
  readonly give: () => Promise<void>;
} {
  const source = new SlowSource<Answer>();
  const { source: known } = output;
  const slow: Asking = { ...output, source: { name: known.name, answer: source.answer } };
  const give = async () => {
    source.give(await known.answer(output, source.call!));
    await settle();
  };
  return { output: slow, source, give };
}

/** Those whose pieces leave as they come. */
export const PIECEWISE = KINDS.filter(({ leaves }) => leaves === "piecewise");

/** Asks for one of `KINDS`. */
export function begin(kind: OutputKind, options: AskOptions = {}, keepaliveMs = 0) {
  const rig = new DriverRig({ keepaliveMs });
  const { output, hand } = kind.make(rig, options);
  const asked = rig.ask(() => output);
  return { rig, hand, asked, writer: asked.writer };
}
