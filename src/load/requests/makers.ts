/**
 * Makes the requests of a load: one body for all, bodies from a list in turn, or conversations that
 * grow by what was answered.
 *
 * @module
 */

import type { AnswerForm } from "../event_meaning.ts";
import type { RequestRecord } from "../record.ts";
import type { PreparedRequest, RequestMaker } from "../run.ts";
import { requestBytes } from "../stream_probe.ts";
import { type Api, asksForStream, bodyOf, type Item } from "./bodies.ts";
import { answered, AnswerKeeper, RESULT, type Said } from "./said.ts";

/** Where requests go, and with which headers. */
export interface Endpoint {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What a whole answer must be; undefined = anything. */
  readonly form?: AnswerForm | undefined;
}

/** How clients behave. */
export interface Behaviour {
  /** They leave after so many tokens; Infinity = never. */
  readonly leaveTokens: number;
  /** The share of them that does. */
  readonly leaveShare: number;
  readonly readBytesPerSecond: number;
}

/** A body, and what is known of it. */
export interface LoadBody {
  /** Undefined: a GET. */
  readonly body: string | undefined;
  readonly promptTokens: number;
  readonly tokensMax: number;
}

/**
 * Numbers by chance for one thing of a load: the same for the same thing, whichever part of the load
 * it is in.
 */
export type Chance = (number: number) => () => number;

/** Bodies in turn: a few that are sent again and again, or number `at` of many, made when it is due. */
export type Bodies = readonly LoadBody[] | ((at: number) => LoadBody);

/**
 * Sends `bodies` in turn. "all": each of them to every endpoint; "one": to the one whose turn it is,
 * as where body n belongs to arrival n.
 */
export function turnsOf(
  endpoints: readonly Endpoint[],
  bodies: Bodies,
  behaviour: Behaviour,
  chance: Chance,
  each: "all" | "one" = "all",
): RequestMaker {
  const perBody = each === "all" ? endpoints.length : 1;
  // A few are laid down once: a request of theirs costs no encoding. Many would fill the memory.
  const laid = typeof bodies === "function"
    ? []
    : bodies.map((one) => endpoints.map((endpoint) => prepared(endpoint, one, behaviour)));
  const requestOf = typeof bodies === "function"
    ? (at: number, endpoint: number) => prepared(endpoints[endpoint]!, bodies(at), behaviour)
    : (at: number, endpoint: number) => laid[at % laid.length]![endpoint]!;
  return {
    next(_slot, _dueMs, number) {
      const endpoint = number % endpoints.length;
      const request = requestOf(Math.floor(number / perBody), endpoint);
      const leaveTokens = leaveOf(behaviour, () => chance(number)());
      return { ...request, endpoint, session: number, leaveTokens };
    },
    over: () => 0,
  };
}

/** One question of a conversation. */
export interface Question {
  /** What is said, behind all that was said before. */
  readonly messages: readonly Item[];
  /** Tokens of these messages; NaN = nobody knows. */
  readonly promptTokens: number;
  readonly tokensMax: number | undefined;
  readonly fields?: Item | undefined;
  /** Asked as it is in place of the above, with nothing of what was said before. */
  readonly whole?: LoadBody | undefined;
}

/** What one conversation asks. */
export interface Script {
  /** Its questions. */
  readonly turns: number;
  /** Question `turn`, from 0, each once and in their order. */
  question(turn: number): Question;
  /**
   * Milliseconds from `endMs`, when the answer before was over, to question `turn`; of `turns` to the
   * next conversation.
   */
  waitMs(turn: number, endMs: number): number;
}

/** What conversations are like. */
export interface Conversations {
  readonly api: Exclude<Api, "raw">;
  readonly model: string;
  readonly isStream: boolean;
  /** Of conversation `number` of the whole load. */
  readonly scriptOf: (number: number, random: () => number) => Script;
  readonly count: (text: string) => number;
  /** False: after its last turn a slot is done, as in an open loop, where sessions arrive. */
  readonly isEndless: boolean;
  /** The number, in the whole load, of this run's own conversation number `own`. */
  readonly numberOf: (own: number) => number;
}

/** One slot's conversation. */
interface Session {
  readonly number: number;
  readonly endpoint: number;
  readonly random: () => number;
  readonly script: Script;
  readonly messages: Item[];
  promptTokens: number;
  turn: number;
  answer: AnswerKeeper | undefined;
}

/** Every slot has conversations of several turns: each question follows what was answered before. */
export function conversationsOf(
  endpoints: readonly Endpoint[],
  { api, model, isStream, scriptOf, count, isEndless, numberOf }: Conversations,
  behaviour: Behaviour,
  chance: Chance,
): RequestMaker {
  const sessions = new Map<number, Session>();
  let begun = 0;
  const begin = (): Session => {
    const number = numberOf(begun++);
    const random = chance(number);
    const endpoint = number % endpoints.length;
    const script = scriptOf(number, random);
    const state = { messages: [], promptTokens: 0, turn: 0, answer: undefined };
    return { number, endpoint, random, script, ...state };
  };
  /** The next question of a conversation, with what was said before. */
  const asked = (session: Session): LoadBody => {
    const { messages, promptTokens, tokensMax, fields, whole } = session.script.question(
      session.turn,
    );
    if (whole !== undefined) {
      // Who says all of it, has said it.
      session.messages.splice(0, Infinity, ...messages);
      session.promptTokens = promptTokens;
      return whole;
    }
    session.messages.push(...messages);
    session.promptTokens += promptTokens;
    const wanted = { model, messages: session.messages, isStream, tokensMax, fields };
    return {
      body: bodyOf(api, wanted),
      promptTokens: session.promptTokens,
      tokensMax: tokensMax ?? NaN,
    };
  };
  return {
    next(slot) {
      const session = sessions.get(slot) ?? begin();
      sessions.set(slot, session);
      const isLast = session.turn + 1 === session.script.turns;
      session.answer = isLast ? undefined : new AnswerKeeper();
      return {
        ...prepared(endpoints[session.endpoint]!, asked(session), behaviour),
        endpoint: session.endpoint,
        session: session.number,
        turn: session.turn,
        leaveTokens: leaveOf(behaviour, session.random),
        follower: session.answer,
      };
    },
    over(slot, record: RequestRecord) {
      const session = sessions.get(slot);
      if (session === undefined) return undefined;
      const { script, answer } = session;
      session.turn++;
      const said = answer?.said(record);
      // What was not answered cannot be gone on from.
      if (said === undefined || (record.outcome !== "completed" && !hasSaid(said))) {
        sessions.delete(slot);
        return isEndless ? script.waitMs(script.turns, record.endMs) : undefined;
      }
      const { text, calls } = said;
      session.messages.push(...answered(api, said));
      session.promptTokens += [text, ...calls.flatMap(({ name, input }) => [name, input, RESULT])]
        .reduce((sum, said) => sum + (said === "" ? 0 : count(said)), 0);
      return script.waitMs(session.turn, record.endMs);
    },
  };
}

function hasSaid({ text, calls }: Said): boolean {
  return text !== "" || calls.length > 0;
}

function prepared(
  { url, headers, form }: Endpoint,
  { body, promptTokens, tokensMax }: LoadBody,
  { readBytesPerSecond }: Behaviour,
): PreparedRequest {
  return {
    bytes: requestBytes(url, body, headers),
    wantsEvents: asksForStream(body),
    form,
    leaveTokens: Infinity,
    readBytesPerSecond,
    session: 0,
    turn: 0,
    promptTokens,
    tokensMax,
  };
}

function leaveOf({ leaveTokens, leaveShare }: Behaviour, random: () => number): number {
  return leaveTokens === Infinity || random() >= leaveShare ? Infinity : leaveTokens;
}
