/**
 * Answers of every kind with faults, behind a real server on a wheel that a test turns by hand, and a
 * client that sees every byte and how it ends.
 *
 * @module
 */

import { expect } from "bun:test";
import { parseFaults } from "../../src/config/faults.ts";
import type { Answer, PieceSink, RelayBody, Step } from "../../src/core/answer.ts";
import type { Call } from "../../src/core/exchange.ts";
import type { FaultEdits } from "../../src/core/fault_plan.ts";
import { KnownBody } from "../../src/core/relay_body.ts";
import type { AbortLike } from "../../src/lib/abort.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { RawSocket } from "../lib/http1/raw_socket.ts";
import { waitFor } from "../server/launch.ts";
import { DONE, LAYOUT, saying, settle } from "./driver_rig.ts";
import { handServer, steps } from "./hand_server.ts";

/** The kinds of answers. "json" comes in one piece, and "relayed json" so from an upstream. */
export type AnswerKind =
  | "at once"
  | "paced"
  | "live"
  | "relay"
  | "json"
  | "relayed json"
  /** An event of 20 kB each 10 ms, thirty of them. */
  | "large relay";

const TEXTS = ["a", "水", "c"] as const;
/** What a stream says: three texts and its end mark, at 10, 20, 30 and 40 ms. */
export const EVENTS = [saying("a"), saying("水"), saying("c"), DONE] as const;
export const ALL = EVENTS.join("");
export const EVERY_MS = 10;
/** What the large one says. */
const LARGE_EVENTS = 30;
export const LARGE_EVENT = 20_000;
export const LARGE = `data: ${"x".repeat(LARGE_EVENT - 8)}\n\n`.repeat(LARGE_EVENTS - 1) +
  DONE.padStart(LARGE_EVENT, "\n");
/** What an answer in one piece says. */
export const JSON_BODY = JSON.stringify({ said: "a水c" });

/** How a connection stands. */
export type Ending = "whole" | "fin" | "reset" | "open";

function answerOf(
  kind: AnswerKind,
  { engine: { wheel }, signal }: Call,
  count: () => void,
): Answer {
  switch (kind) {
    case "at once":
    case "json": {
      const script = { name: "s", steps: steps(0, 0, TEXTS) };
      return { kind: "script", script, model: "m" };
    }
    case "paced": {
      const script = { name: "s", steps: steps(EVERY_MS, EVERY_MS, TEXTS) };
      return { kind: "script", script, model: "m" };
    }
    case "live":
      return { kind: "live", steps: told(wheel, signal), model: "m" };
    case "relay": {
      const pieces = EVENTS.map((text, i) => ({
        bytes: Buffer.from(text),
        atUs: (i + 1) * EVERY_MS * 1000,
      }));
      return {
        kind: "relay",
        status: 200,
        fields: Fields.of([["content-type", "text/event-stream"]]),
        body: new KnownBody(pieces, "end", wheel),
      };
    }
    case "large relay": {
      const pieces = Array.from({ length: LARGE_EVENTS }, (_, i) => ({
        bytes: Buffer.from(LARGE.slice(i * LARGE_EVENT, (i + 1) * LARGE_EVENT)),
        atUs: (i + 1) * EVERY_MS * 1000,
      }));
      return {
        kind: "relay",
        status: 200,
        fields: Fields.of([["content-type", "text/event-stream"]]),
        body: new CountedBody(new KnownBody(pieces, "end", wheel), count),
      };
    }
    case "relayed json": {
      const bytes = Buffer.from(JSON_BODY);
      return {
        kind: "relay",
        status: 200,
        fields: Fields.of([["content-type", "application/json"]]),
        body: new KnownBody([{ bytes, atUs: 0 }], "end", wheel),
      };
    }
  }
}

async function* told(wheel: Call["engine"]["wheel"], signal: AbortLike) {
  for (const [i, text] of TEXTS.entries()) {
    if (!await wheel.until((i + 1) * EVERY_MS, signal)) return;
    yield [{ kind: "delta", choice: 0, block: "text", text }] as const satisfies readonly Step[];
  }
  await wheel.until((TEXTS.length + 1) * EVERY_MS, signal);
}

/** A body whose pieces are counted. */
class CountedBody implements RelayBody {
  readonly #inner: RelayBody;
  readonly #count: () => void;

  constructor(inner: RelayBody, count: () => void) {
    this.#inner = inner;
    this.#count = count;
  }

  whole() {
    return this.#inner.whole();
  }

  flow(sink: PieceSink): void {
    this.#inner.flow({
      onPiece: (bytes, atUs, isLast) => {
        this.#count();
        return sink.onPiece(bytes, atUs, isLast);
      },
      onEnd: (ending, error) => sink.onEnd(ending, error),
    });
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  cancel(): void {
    this.#inner.cancel();
  }
}

/** One answer with faults, and its client. */
export class FaultRig {
  readonly hand: ReturnType<typeof handServer>;
  #client: RawSocket | undefined = undefined;
  /** Pieces of a large relay that were asked for and came. */
  piecesRead = 0;

  /** `faults`: as they are written. */
  constructor(kind: AnswerKind, faults: string, faultEdits: FaultEdits = {}) {
    this.hand = handServer(({ manner }) => ({
      kind: "ask",
      source: {
        name: "s",
        answer: (_ask, call) => {
          call.faults = { faults: parseFaults(faults), draw: () => 0.5 };
          return answerOf(kind, call, () => this.piecesRead++);
        },
      },
      model: () => "m",
      turn: () => {
        throw new Error("Nobody asks for it");
      },
      isStream: !kind.endsWith("json"),
      manner: { ...manner, faultEdits },
      layout: LAYOUT,
      whole: () => ({
        kind: "whole",
        status: 200,
        headers: { "content-type": "application/json" },
        body: JSON_BODY,
      }),
    }));
  }

  async ask(method = "GET"): Promise<RawSocket> {
    this.#client ??= await RawSocket.open(this.hand.server.port);
    const { length } = this.hand.exchanges;
    this.#client.send(`${method} / HTTP/1.1\r\nHost: x\r\n\r\n`);
    await waitFor(() => this.hand.exchanges.length > length, "the request");
    await settle();
    return this.#client;
  }

  get client(): RawSocket {
    return this.#client!;
  }

  /** Moves the clock to `ms`. */
  async to(ms: number): Promise<void> {
    for (let now = this.hand.engine.wheel.nowMs; now < ms;) {
      this.hand.moveTo(++now);
      await settle();
    }
  }

  /** Waits until the body is `body` and the connection stands as `ending` says, and nothing else. */
  async expect(body: string, ending: Ending): Promise<void> {
    const wanted = Buffer.from(body).toString("latin1");
    const state = () => ({ body: bodyOf(this.client.text).body, ending: this.#ending });
    await waitFor(
      () => Bun.deepEquals(state(), { body: wanted, ending }),
      `${JSON.stringify({ wanted, ending })}, and not ${JSON.stringify(state())}`,
    ).catch(() => expect(state()).toEqual({ body: wanted, ending }));
  }

  /** What came before the body, in lower case. */
  get head(): string {
    return this.client.text.split("\r\n\r\n", 1)[0]!.toLowerCase();
  }

  /** The body as it came, framing and all. */
  get wire(): string {
    return this.client.text.slice(this.client.text.indexOf("\r\n\r\n") + 4);
  }

  /** The chunks of the body. */
  get chunks(): readonly string[] {
    return bodyOf(this.client.text).chunks;
  }

  /** The names of the faults that have happened. */
  get met(): readonly string[] {
    return this.hand.events.flatMap((event) =>
      event.kind === "fault_happened" ? [event.fault] : []
    );
  }

  /** Ends it. @throws when an exchange is still open, unless its client leaves now. */
  async close(): Promise<void> {
    this.#client?.reset();
    await this.hand.server.stop(true);
    await waitFor(() => this.hand.engine.streams.size === 0, "every answer to be over");
    expect(this.hand.engine.wheel.waiting).toBe(0);
    for (const event of this.hand.events) expect(event.kind).not.toBe("bug");
  }

  get #ending(): Ending {
    const { isReset, hasFin, isClosed, text } = this.client;
    if (isReset) return "reset";
    const { isWhole } = bodyOf(text);
    if (isWhole) return "whole";
    return hasFin || isClosed ? "fin" : "open";
  }
}

/** Takes a response apart. */
function bodyOf(text: string) {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return { body: "", isWhole: false, chunks: [] };
  const head = text.slice(0, headEnd).toLowerCase();
  const rest = text.slice(headEnd + 4);
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length !== undefined) {
    return { body: rest, isWhole: rest.length === Number(length), chunks: [] };
  }
  const chunks: string[] = [];
  for (let at = 0;;) {
    const sizeEnd = rest.indexOf("\r\n", at);
    const size = sizeEnd < 0 ? NaN : parseInt(rest.slice(at, sizeEnd), 16);
    const end = sizeEnd + 2 + size;
    const isHere = !Number.isNaN(size) && rest.length >= end + 2;
    if (!isHere || size === 0) {
      return { body: chunks.join(""), isWhole: isHere && size === 0, chunks };
    }
    chunks.push(rest.slice(sizeEnd + 2, end));
    at = end + 2;
  }
}
