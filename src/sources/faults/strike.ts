/**
 * What happens in place of an answer, or before it: the faults that need no bytes of one.
 *
 * @module
 */

import { STATUS_CODES } from "node:http";
import type { Answer, Ask } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import {
  type FaultName,
  type FaultPlan,
  numberOf,
  type PlannedFault,
  wordOf,
} from "../../core/fault_plan.ts";
import { FAULT_TRAITS } from "../../core/fault_traits.ts";
import { KnownBody } from "../../core/relay_body.ts";
import { Fields } from "../../lib/http1/fields.ts";
import type { Ordinals } from "../../lib/ordinals.ts";

/** The header that names a test's own things: requests are counted within one session. */
const SESSION_HEADER = "x-weir-session";

/** What strikes need. */
export interface StrikeDeps {
  /** Counts requests, for all workers. */
  readonly ordinals: Ordinals;
  /**
   * The error of a limit that is reached, which notes at `call` what the headers say. `waitMs`: how long a
   * client is to wait; undefined = as the limit has it.
   */
  readonly rateLimited: (call: Call, waitMs: number | undefined) => AppError;
}

/** What comes in place of an answer; undefined = the answer itself. */
type Strike = (fault: PlannedFault, struck: Struck) => Answer | Promise<Answer> | undefined;

/** Who is struck. */
export interface Struck {
  readonly ask: Ask;
  readonly call: Call;
  readonly deps: StrikeDeps;
  /** What tells this plan from others, where requests are counted. */
  readonly label: string;
}

/** In this order they are looked at, whatever was written first. */
const STRIKES: readonly (readonly [FaultName, Strike])[] = [
  ["refuse", (_, { call }) => page(call, "", "")], // the writer resets in its place
  ["hang", hang],
  ["fail-first", failFirst],
  ["status", (fault, { call }) => refused(fault, call)],
  ["rate-limit", rateLimit],
  ["json-200", (fault, { call }) => refused(fault, call, 200)],
  ["html-200", (_, { call }) => {
    call.meetFault("html-200");
    return page(call, "text/html; charset=utf-8", HTML);
  }],
];

/** What happens before there is an answer. */
const BEFORE: ReadonlySet<FaultName> = new Set([...STRIKES.map(([name]) => name), "slow-head"]);

/** True: a source has `fault` happen, and no answer. */
export function isBefore({ name }: PlannedFault): boolean {
  return BEFORE.has(name);
}

const HTML = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n" +
  "<body><h1>502 Bad Gateway</h1></body></html>\n";

/**
 * Plans `plan` for the answer, and gives it, or what comes in its place.
 *
 * @throws {AppError} an error in place of the answer; `fault_impossible` where nothing of it can be.
 */
export function struck(
  plan: FaultPlan,
  who: Struck,
  answer: () => Answer | Promise<Answer>,
): Answer | Promise<Answer> {
  const { call, label } = who;
  if (call.request === undefined) checkJob(plan);
  const { faults = [] } = call.faults ?? {};
  call.faults = { ...plan, faults: [...faults, ...plan.faults] };
  const next = () => {
    for (const [name, strike] of STRIKES) {
      for (const [at, fault] of plan.faults.entries()) {
        if (fault.name !== name) continue;
        const given = strike(fault, { ...who, label: `${label} ${at}` });
        if (given !== undefined) return given;
      }
    }
    return answer();
  };
  const late = plan.faults.filter(({ name }) => name === "slow-head");
  if (late.length === 0) return next();
  const { engine: { wheel }, signal } = call;
  const waitMs = late.reduce((sum, fault) => sum + numberOf(fault, "ms"), 0);
  return wheel.until(wheel.nowMs + waitMs, signal).then((isTime) => {
    if (!isTime) throw signal.reason;
    call.meetFault("slow-head");
    return next();
  });
}

/** @throws {AppError} when a workflow's job cannot have a fault, as no answer of it leaves. */
function checkJob({ faults }: FaultPlan): void {
  const wired = faults.find(({ name }) => FAULT_TRAITS[name].isOfWire);
  if (wired === undefined) return;
  throw new AppError(
    "fault_impossible",
    `A workflow's job cannot have the fault ${wired.name}: its answer goes over no wire`,
  );
}

/** Nothing is answered until nobody waits; with the head sent, the writer holds back the rest. */
function hang(fault: PlannedFault, { call }: Struck): Promise<Answer> | undefined {
  if (call.request !== undefined && wordOf(fault, "head") === "sent") return undefined;
  call.meetFault("hang");
  const { leaving } = call;
  return new Promise((_, reject) => {
    const give = { handleEvent: () => reject(leaving.reason) };
    if (leaving.aborted) give.handleEvent();
    else leaving.addEventListener("abort", give);
  });
}

function failFirst(fault: PlannedFault, { call, deps: { ordinals }, label }: Struck): undefined {
  const { request } = call;
  const session = request?.head.fields.get(SESSION_HEADER) ?? "";
  const isOfRequest = wordOf(fault, "per") === "request" && request !== undefined;
  const asked = isOfRequest ? `${request.head.method} ${request.head.target}\n${request.text}` : "";
  const counted = `fail-first ${label}\n${session}\n${asked}`;
  const before = ordinals.next(Bun.hash.xxHash32(counted, 1), Bun.hash.xxHash32(counted, 2));
  if (before < numberOf(fault, "n")) refused(fault, call);
}

function rateLimit(fault: PlannedFault, { call, deps }: Struck): never {
  call.meetFault("rate-limit");
  const waitS = fault.keys["retry-after"];
  throw deps.rateLimited(call, waitS === undefined ? undefined : Number(waitS) * 1000);
}

/** An error in the words of the client's dialect. */
function refused(fault: PlannedFault, call: Call, status = numberOf(fault, "code")): never {
  call.meetFault(fault.name);
  const { keys } = fault;
  // Below 400 a status says nothing of what kind an error is.
  const type = wordOf(fault, "type") ?? (status < 400 ? "server_error" : undefined);
  const code = wordOf(fault, "error-code");
  const wait = keys["retry-after"];
  const usual = status === 200 ? "Internal Server Error" : STATUS_CODES[status] ?? "Error";
  throw new AppError("scripted", wordOf(fault, "message") ?? usual, {
    status,
    told: { ...(type === undefined ? {} : { type }), ...(code === undefined ? {} : { code }) },
    ...(wait === undefined ? {} : { headers: { "retry-after": String(wait) } }),
  });
}

/** A page in place of an answer. */
function page({ engine: { wheel } }: Call, type: string, text: string): Answer {
  return {
    kind: "relay",
    status: 200,
    fields: type === "" ? Fields.NONE : Fields.of([["content-type", type]]),
    body: new KnownBody([{ bytes: Buffer.from(text), atUs: 0 }], "end", wheel),
  };
}
