/**
 * Makes the requests of a load: one body for all, bodies from a list in turn, or conversations that
 * grow by what was answered.
 *
 * @module
 */

import type { AnswerForm } from "../event_meaning.ts";
import { KIND, type RequestRecord, textOf } from "../record.ts";
import type { PreparedRequest, RequestMaker } from "../run.ts";
import { requestBytes } from "../stream_probe.ts";
import { type Api, asksForStream, bodyOf, type Message } from "./bodies.ts";

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

/** What conversations are like. */
export interface Conversations {
  readonly api: Exclude<Api, "raw" | "embeddings">;
  readonly model: string;
  readonly isStream: boolean;
  readonly tokensMax: number | undefined;
  /** Questions of one conversation. */
  readonly turns: number;
  /** Between an answer and the next question. */
  readonly thinkMs: (random: () => number) => number;
  /** The next question. */
  readonly ask: (random: () => number) => string;
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
  turn: number;
  messages: readonly Message[];
}

/** Every slot has conversations of several turns: each question follows what was answered before. */
export function conversationsOf(
  endpoints: readonly Endpoint[],
  { api, model, isStream, tokensMax, turns, thinkMs, ask, count, isEndless, numberOf }:
    Conversations,
  behaviour: Behaviour,
  chance: Chance,
): RequestMaker {
  const sessions = new Map<number, Session>();
  let begun = 0;
  return {
    next(slot) {
      let session = sessions.get(slot);
      if (session === undefined) {
        const number = numberOf(begun++);
        const endpoint = number % endpoints.length;
        session = { number, endpoint, random: chance(number), turn: 0, messages: [] };
        sessions.set(slot, session);
      }
      session.messages = [...session.messages, { role: "user", content: ask(session.random) }];
      const body = bodyOf(api, { model, messages: session.messages, isStream, tokensMax });
      const promptTokens = session.messages.reduce((sum, { content }) => sum + count(content), 0);
      const endpoint = endpoints[session.endpoint]!;
      return {
        ...prepared(endpoint, { body, promptTokens, tokensMax: tokensMax ?? NaN }, behaviour),
        endpoint: session.endpoint,
        session: session.number,
        turn: session.turn,
        leaveTokens: leaveOf(behaviour, session.random),
      };
    },
    over(slot, record: RequestRecord) {
      const session = sessions.get(slot);
      if (session === undefined) return undefined;
      const content = textOf(record, KIND.text);
      session.turn++;
      // What was not answered cannot be gone on from.
      if (session.turn === turns || content === "") {
        sessions.delete(slot);
        return isEndless ? thinkMs(session.random) : undefined;
      }
      session.messages = [...session.messages, { role: "assistant", content }];
      return thinkMs(session.random);
    },
  };
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
