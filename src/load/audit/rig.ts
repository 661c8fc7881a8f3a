/**
 * What every check of an audit works with: the client, the upstream, the two ways between them, and
 * the clock that all share.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { createHash, randomInt } from "node:crypto";
import type { Finding, Verdict } from "./finding.ts";
import type { MachineWatch } from "./machine_watch.ts";
import { counted } from "../../lib/counted.ts";
import { answerOf, IsolationWatch } from "./isolation_watch.ts";
import { ms } from "./numbers.ts";
import { OwnKeys, SECRET_NAME } from "./own_keys.ts";
import { ClientConnection, type ClientExchange, type Target } from "./probe_client.ts";
import type { Attempt, Expectation, ScriptedUpstream } from "./scripted_upstream.ts";
import { follow, type Watched } from "./watched.ts";

/** Straight to the upstream, or through the gateway. */
export type Way = "direct" | "through";

/** How one request is sent. */
export interface AskOptions {
  /** The request's body; a chat request unless given. It must contain the mark. */
  readonly body?: ((mark: string) => string) | undefined;
  readonly fields?: Target["fields"] | undefined;
  /** The connection to use; a new one unless given, which is closed afterwards. */
  readonly connection?: ClientConnection | undefined;
  /** False: what comes is counted and not kept, but for errors. */
  readonly isKept?: boolean;
  /** Path and query; the target's unless given. */
  readonly path?: string | undefined;
}

/** How one request is sent and waited for. */
export interface TellOptions extends AskOptions {
  /** The client leaves when the answer has not ended by then. */
  readonly timeoutMs?: number;
  /** True: that it has not is an answer, too. Else it counts against the check (`Unended`). */
  readonly mayStay?: boolean;
}

/** A request that was sent. */
export interface Asked {
  readonly mark: string;
  readonly exchange: ClientExchange;
  readonly connection: ClientConnection;
  readonly expectation: Expectation;
}

/** What an audit may do and knows. */
export interface RigOptions {
  readonly upstream: ScriptedUpstream;
  readonly gateway: Target;
  readonly watch: MachineWatch;
  /** The model that requests name. */
  readonly model: string;
  /** The key that the client shows the gateway, when it has one of its own. */
  readonly gatewayKey: string | undefined;
  /** How often the gateway may ask again by its own declaration. */
  readonly retriesDeclared: number;
  /** How long streams are silent, in seconds. */
  readonly silencesS: readonly number[];
  /** Resident bytes of the gateway; undefined where its process is not known. */
  readonly memoryBytes: (() => number | undefined) | undefined;
  readonly signal: AbortSignal;
  /** What marks and canaries are drawn from; any number unless given. */
  readonly seed?: number | undefined;
  /** Is told of every request and connection. */
  readonly ledger?: Witness | undefined;
}

/** Who writes down what happens. */
export interface Witness {
  /** Runs a check; what is asked in it belongs to it. */
  during<T>(check: string, run: () => Promise<T>): Promise<T>;
  /** A connection of the client's is open. */
  opened(way: Way, connection: ClientConnection): void;
  /** A request was sent, with this body. */
  asked(way: Way, asked: Asked, body: string): void;
}

/** Seeds are smaller than this. */
export const SEED_MAX = 2 ** 32 - 1;

/** What is asked outside of a check. */
const GREETING = "the greeting";

/** A check in which so many answers in a row, or in all, have not ended is stopped. */
const UNENDED_ROW_MAX = 3;
const UNENDED_MAX = 5;

/** The part of a finding that says that a check was stopped. */
export const ENDS = "ends";

/**
 * Behind so many requests of a check one of `WATCHED_EVERY` is looked at for marks of others and for
 * keys: an overload would measure the looking.
 */
const WATCHED_ALL = 2000;
const WATCHED_EVERY = 16;

/** A check under way, and its answers that did not end. */
interface Scope {
  readonly check: string;
  /** Requests through the gateway. */
  asked: number;
  readonly unended: Asked[];
  /** How long the last of them was waited for. */
  unendedMs: number;
  inRow: number;
}

/** A check is stopped: answers do not end, and each costs as long as it is waited for. */
export class Unended extends Error {
  override readonly name = "Unended";
  readonly #answers: readonly Asked[];
  readonly #timeoutMs: number;
  #kept: readonly Finding[] = [];

  /** `timeoutMs`: how long the last of them was waited for. */
  constructor(answers: readonly Asked[], timeoutMs: number) {
    super(`${counted(answers.length, "answer")} did not end`);
    this.#answers = answers;
    this.#timeoutMs = timeoutMs;
  }

  /** What the check has found until then is told all the same. */
  keep(findings: readonly Finding[]): this {
    this.#kept = findings;
    return this;
  }

  /** What was kept, and what is said of the end. `isStopped`: of a check that was not run to its own. */
  findings(check: string, isStopped = true): readonly Finding[] {
    // It is the gateway's doing where the upstream had said all there was, or was never asked.
    const written = this.#answers.filter(({ expectation }) =>
      expectation.attempts.some((attempt) => answerOf(attempt) === "whole")
    );
    const unasked = this.#answers.filter(({ expectation }) => expectation.attempts.length === 0);
    const count = this.#answers.length;
    return [
      ...this.#kept,
      finding(check, {
        part: ENDS,
        verdict: written.length + unasked.length === count ? "fail" : "void",
        limit:
          `answers end: behind ${UNENDED_ROW_MAX} in a row that do not, or ${UNENDED_MAX} in all, the check stops`,
        measured: `${isStopped ? "stopped: " : ""}${
          counted(count, "answer")
        } had not ended when the client left, ${
          this.#timeoutMs / 1000
        } s after asking; the upstream had ${
          written.length === count
            ? "written each to its end"
            : unasked.length === count
            ? "got none of the requests whole"
            : `written ${written.length} of them to the end, and not got ${unasked.length} of the requests whole`
        }`,
        value: count,
        unit: "answers",
        evidence: this.#answers.flatMap(timeline),
        mend: unasked.length > 0
          ? "Send each request on whole, also where a kept connection has ended just then, and say 502 where that cannot be done."
          : "End the answer where the upstream's ends: with its last chunk, or its last byte.",
      }),
    ];
  }
}

/**
 * Runs the parts of a check in turn. What the first ones have found is told even where answers of a
 * later one do not end.
 */
export async function inTurn(
  parts: readonly (() => Promise<Finding | readonly Finding[]>)[],
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  try {
    for (const part of parts) findings.push(...[await part()].flat());
  } catch (error) {
    throw error instanceof Unended ? error.keep(findings) : error;
  }
  return findings;
}

/** The ground of all checks. */
export class Rig {
  readonly options: RigOptions;
  readonly upstream: ScriptedUpstream;
  readonly watch: MachineWatch;
  readonly seed: number;
  /** Keys that end at the gateway, and where they were seen all the same. */
  readonly keys = new OwnKeys();
  /** What is wrong with requests and answers whatever the check. */
  readonly isolation = new IsolationWatch();
  readonly #direct: Target;
  readonly #scope = new AsyncLocalStorage<Scope>();
  #drawn = 0;

  constructor(options: RigOptions) {
    this.options = options;
    this.seed = options.seed ?? randomInt(SEED_MAX);
    this.upstream = options.upstream;
    this.watch = options.watch;
    const { path, fields } = options.gateway;
    for (const [name, value] of fields) {
      if (SECRET_NAME.test(name.toLowerCase())) this.keys.shown(value.replace(/^\w+ /, ""));
    }
    if (options.gatewayKey !== undefined) this.keys.guard(options.gatewayKey);
    this.#direct = {
      hostname: options.upstream.hostname,
      port: options.upstream.port,
      isTls: false,
      path,
      fields,
    };
  }

  /** Whom a request goes to. */
  target(way: Way): Target {
    return way === "direct" ? this.#direct : this.options.gateway;
  }

  /** Runs a check; what is asked in it belongs to it. */
  async during<T>(check: string, run: () => Promise<T>): Promise<T> {
    return await this.#scope.run({ check, asked: 0, unended: [], unendedMs: 0, inRow: 0 }, run);
  }

  /** What the answers that did not end say of the check under way, whose others have passed. */
  endFindings(): readonly Finding[] {
    const scope = this.#scope.getStore();
    if (scope === undefined || scope.unended.length === 0) return [];
    return new Unended(scope.unended, scope.unendedMs).findings(scope.check, false)
      .filter(({ verdict }) => verdict === "fail");
  }

  /** A chat request whose message is the mark. */
  readonly chatBody = (mark: string): string =>
    JSON.stringify({
      model: this.options.model,
      stream: true,
      messages: [{ role: "user", content: mark }],
    });

  /** The same for an answer that is no stream. */
  readonly jsonBody = (mark: string): string =>
    this.chatBody(mark).replace('"stream":true', '"stream":false');

  /** Opens a connection. */
  async connect(way: Way): Promise<ClientConnection> {
    const connection = await ClientConnection.open(this.target(way));
    this.options.ledger?.opened(way, connection);
    return connection;
  }

  /** `fields` without those that the command line gives for every request: the gateway may need them. */
  notGiven(fields: Target["fields"]): Target["fields"] {
    const given = this.options.gateway.fields.map(([name]) => name.toLowerCase());
    return fields.filter(([name]) => !given.includes(name.toLowerCase()));
  }

  /** A value that belongs to one request or answer of the check under way: no other may hold it. */
  readonly canary = (): string => this.isolation.canary(this.#check, (digits) => this.draw(digits));

  get #check(): string {
    return this.#scope.getStore()?.check ?? GREETING;
  }

  /** Hexadecimal digits, which nobody has seen yet. */
  draw(digits: number): string {
    return createHash("sha256").update(`${this.seed}/${this.#drawn++}`).digest("hex")
      .slice(0, digits);
  }

  /** Sends a request; whatever reaches the upstream of it is answered by `script`. */
  async ask(
    way: Way,
    script: (attempt: Attempt, mark: string) => void | Promise<void>,
    { body = this.chatBody, fields = [], connection, isKept = true, path }: AskOptions = {},
  ): Promise<Asked> {
    this.options.signal.throwIfAborted();
    const mark = `wa-${this.draw(16)}`;
    const used = connection ?? await this.connect(way);
    const scope = this.#scope.getStore();
    const isWatched = way === "through" && (scope === undefined ||
      scope.asked++ < WATCHED_ALL || scope.asked % WATCHED_EVERY === 0);
    const expectation = this.upstream.expect(mark, (attempt) => {
      if (isWatched) {
        const text = `${attempt.headText}\r\n\r\n${attempt.body.toString("latin1")}`;
        this.isolation.arrived(watched, text);
        this.keys.arrived(watched, text);
      }
      return script(attempt, mark);
    });
    const sentBody = body(mark);
    const exchange = used.ask(sentBody, fields, isKept, path);
    const asked = { mark, exchange, connection: used, expectation };
    const watched: Watched = {
      check: this.#check,
      mark,
      exchange,
      isKept,
      sentBody,
      attempts: expectation.attempts,
      lines: () => timeline(asked),
    };
    if (isWatched) follow(watched, [this.isolation.asked(watched), this.keys.asked(watched)]);
    if (way === "through") void exchange.ended.then(() => this.keys.answered(watched));
    if (connection === undefined) void exchange.ended.then(() => used.leave("fin"));
    this.options.ledger?.asked(way, asked, sentBody);
    return asked;
  }

  /**
   * Waits until the answer has ended, or leaves after `timeoutMs`.
   *
   * @throws {Unended} where too many answers of this check have not ended, unless it `mayStay`.
   */
  async settle(asked: Asked, timeoutMs = 10_000, mayStay = false): Promise<Asked> {
    const hasEnded = await this.within(asked.exchange.ended, timeoutMs);
    if (!hasEnded) {
      asked.expectation.unfinished = this.upstream.unfinished();
      asked.connection.leave("reset");
    }
    const scope = this.#scope.getStore();
    if (scope === undefined || mayStay || asked.connection.target === this.#direct) return asked;
    if (hasEnded) scope.inRow = 0;
    // What this machine slept through was not waited for.
    else if (this.watch.worst(asked.exchange.sentMs, performance.now()) < timeoutMs / 4) {
      scope.unended.push(asked);
      scope.unendedMs = timeoutMs;
      if (++scope.inRow >= UNENDED_ROW_MAX || scope.unended.length >= UNENDED_MAX) {
        throw new Unended(scope.unended, timeoutMs);
      }
    }
    return asked;
  }

  /** Sends a request and waits for the end of its answer. */
  async tell(
    way: Way,
    script: (attempt: Attempt, mark: string) => void | Promise<void>,
    options: TellOptions = {},
  ): Promise<Asked> {
    const asked = await this.ask(way, script, options);
    return await this.settle(asked, options.timeoutMs, options.mayStay);
  }

  /**
   * True when `promise` settled within `timeoutMs`.
   *
   * @throws the signal's reason as soon as it aborts, and if it has before.
   */
  async within(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
    const late = Promise.withResolvers<false>();
    const timer = setTimeout(() => late.resolve(false), timeoutMs);
    const { signal } = this.options;
    const stop = () => late.reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    try {
      return await Promise.race([promise.then(() => true as const), late.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  /** Waits. */
  async sleep(delayMs: number): Promise<void> {
    await this.within(new Promise<never>(() => {}), delayMs);
  }
}

/**
 * True when `count` times are more than a machine explains that was itself late `stalls` times: it is
 * late for the gateway about as often as for the audit. A fault of the gateway's comes all the time.
 */
export function isBeyondMachine(count: number, stalls: number): boolean {
  return count > 3 + 2 * stalls;
}

/** True when it shows in most of the rounds: once is the machine, or chance. */
export function isRule(rounds: readonly boolean[]): boolean {
  return rounds.filter(Boolean).length > rounds.length / 2;
}

/** A connection that is opened again when it was closed. */
export class KeptConnection {
  readonly #rig: Rig;
  readonly #way: Way;
  #connection: ClientConnection | undefined;

  constructor(rig: Rig, way: Way) {
    this.#rig = rig;
    this.#way = way;
  }

  /** The open one. */
  async get(): Promise<ClientConnection> {
    if (this.#connection === undefined || this.#connection.isClosed) {
      this.#connection = await this.#rig.connect(this.#way);
    }
    return this.#connection;
  }

  /** Closes it. */
  close(): void {
    this.#connection?.leave("fin");
  }
}

/** One test of the table. */
export interface Check {
  /** One word or two, for `--only`. */
  readonly name: string;
  /** What it asks, as a question. */
  readonly title: string;
  /** It mostly waits: it runs beside the others. */
  readonly isSlow?: boolean;
  /** How often it is run again at most when something of it is void; as the audit says unless given. */
  readonly againMax?: number;
  run(rig: Rig): Promise<readonly Finding[]>;
  /** What would disturb the others: run when all of them are over. */
  after?(rig: Rig): Promise<readonly Finding[]>;
  /**
   * What all checks have seen, judged behind everything else. What is bad is told even if nobody has
   * chosen this one.
   */
  overall?(rig: Rig): readonly Finding[];
}

/** What a finding has in any case; the rest follows from the verdict. */
interface FindingParts extends Omit<Finding, "check" | "name" | "verdict" | "mend" | "evidence"> {
  readonly verdict: Verdict;
  /** What stands behind the slash of the name. */
  readonly part?: string;
  readonly mend: string;
  readonly evidence?: readonly string[];
}

/** A finding of `check`. What passed needs no mending. */
export function finding(check: string, parts: FindingParts): Finding {
  const { part, mend, evidence = [], ...rest } = parts;
  return {
    check,
    name: part === undefined ? check : `${check}/${part}`,
    ...rest,
    evidence: evidence.slice(0, EVIDENCE_LINES_MAX),
    mend: rest.verdict === "pass" ? "" : mend,
  };
}

/** Of one finding. Reports for people show fewer. */
const EVIDENCE_LINES_MAX = 1000;
/** Of one line of evidence that shows bytes, unless said otherwise. Reports for people show fewer. */
const SHOWN_BYTES_MAX = 16 * 1024;

/** Bytes as a line of evidence: printable as they are, the rest escaped. */
export function shownBytes(
  bytes: Uint8Array | string,
  from = 0,
  bytesMax = SHOWN_BYTES_MAX,
): string {
  const text = typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
  const part = text.slice(from, from + bytesMax);
  const escaped = part.replace(/[^\x20-\x7e]/g, (char) => {
    if (char === "\n") return "\\n";
    if (char === "\r") return "\\r";
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `${from > 0 ? "…" : ""}${escaped}${text.length > from + bytesMax ? "…" : ""}`;
}

/** A line of evidence: what happened to a request, on the audit's clock. */
export function timeline({ exchange, expectation }: Asked): readonly string[] {
  const at = (timeMs: number | undefined) =>
    timeMs === undefined ? "never" : `+${ms(timeMs - exchange.sentMs)}`;
  return [
    "client: sent +0 ms",
    ...(expectation.attempts.length > 0 ? [] : [
      `upstream: no whole request${expectation.unfinished.map((line) => `; ${line}`).join("")}`,
    ]),
    ...expectation.attempts.map((attempt, i) =>
      `upstream: request ${i + 1} on connection ${attempt.connection} whole ${
        at(attempt.arrivedMs)
      }, ${counted(attempt.writes.length, "write")}, first ${at(attempt.writes[0]?.atMs)}, last ${
        at(attempt.writes.at(-1)?.atMs)
      }, connection ended ${at(attempt.leftMs)}${
        attempt.leaving === undefined ? "" : ` (${attempt.leaving})`
      }`
    ),
    `client: status ${exchange.status || "none"} ${at(exchange.headMs)}, ${
      counted(exchange.reads.length, "read")
    }, last ${at(exchange.reads.at(-1)?.atMs)}, ended ${at(exchange.endMs)} (${
      exchange.end === "left" ? "the client left" : exchange.end ?? "not"
    }${exchange.fault === "" ? "" : `: ${exchange.fault}`})`,
  ];
}
