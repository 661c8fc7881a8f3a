/**
 * Passes on what weir has no words for: any path of OpenAI's API goes to an upstream that takes it.
 *
 * @module
 */

import type { Answer, Ask, Source, Wire } from "../core/answer.ts";
import { queryOf } from "../core/body.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { invalidUrl } from "../dialects/openai/errors.ts";
import { echo } from "../dialects/openai/faults.ts";
import { namedModel } from "../dialects/openai_chat/peek_model.ts";
import { decodedAscii, plainPath } from "../lib/plain_path.ts";
import { globOf } from "./glob.ts";
import { checkRoute } from "./keys/routes.ts";
import { MODEL_CHARS_MAX, type Route } from "./route.ts";
import { takeRule } from "./usage/usage.ts";

/** A route to an upstream or to the mock, and which paths that one takes. */
export interface PassRoute extends Route, PassTarget {
  /** Where it leads to several: each of them. Absent = to one. */
  readonly each?: readonly PassTarget[] | undefined;
}

/** An upstream, or the mock, and which paths it takes. */
export interface PassTarget {
  readonly to: Source;
  readonly takes: (path: string) => boolean;
  readonly isMock: boolean;
}

/** Who passes on. */
export interface Passing extends Source {
  /**
   * Who has what is kept at `path` (without its query) for `model`, by the first route that fits it
   * ("" = none is named, so any route may): an upstream, the mock, or nobody, when that upstream does
   * not take the path.
   */
  answerer(model: string, path: string): "upstream" | "mock" | "nobody";
}

/** A longer path is nobody's: matching a pattern may take the cube of its length. */
const PATH_CHARS_MAX = 1024;

/** Paths that no client is let to, unless an upstream's `paths` name them: keys, users, bills. */
const PRIVATE = /^\/organization(?![\w-])/i;

/**
 * Which paths an upstream takes; `paths` are patterns in which `*` is any text, none = the usual ones.
 * A path is judged by where it leads, not by how it is spelled: none that climbs is taken. What is in
 * a list has to be in it both for servers that tidy a path up and for those that do not.
 */
export function pathTaker(paths: readonly string[]): (path: string) => boolean {
  if (paths.length === 0) {
    return (path) => {
      const plain = plainPath(path);
      return plain !== undefined && !PRIVATE.test(plain);
    };
  }
  const globs = paths.map((pattern) => globOf(decodedAscii(pattern) ?? pattern));
  const isListed = (path: string | undefined) =>
    path !== undefined && globs.some((glob) => glob.test(path));
  return (path) =>
    path.length <= PATH_CHARS_MAX && isListed(plainPath(path)) && isListed(decodedAscii(path));
}

/**
 * Asks the first upstream whose route fits the model that is named. A request that names none goes
 * to the first that takes its path; where that one knows no such thing (404), the next ones are
 * asked: an object is with the upstream that has made it. The mock answers for no upstream that the
 * model's route leads to.
 *
 * Its `answer` throws an `AppError` `path_unknown` when no upstream takes the path.
 */
export function passOn(routes: readonly PassRoute[]): Passing {
  const rows = routes.map((route) => ({
    ...route,
    glob: route.model === undefined ? undefined : globOf(route.model),
  }));

  function fitting(model: string): typeof rows {
    return rows.filter(({ glob }) =>
      model === "" || glob === undefined ||
      (model.length <= MODEL_CHARS_MAX && glob.test(model))
    );
  }

  /** Who may be asked. An object is with one upstream: where no model decides, each is one of its own. */
  function targets(ask: Ask, wire: Wire, path: string, call: Call): readonly Source[] {
    const model = modelOf(wire);
    const fits = fitting(model).filter(({ fits }) => fits === undefined || fits(ask, call));
    const mayMock = model === "" || fits[0]?.isMock === true;
    const isTaking = ({ takes, isMock }: PassTarget) => takes(path) && (mayMock || !isMock);
    const taking = fits.filter(isTaking);
    const asked = model === "" ? taking : taking.slice(0, 1);
    for (const { name = "" } of asked) checkRoute(name, call);
    if (model !== "") takeRule(asked[0]?.usage ?? "count", call);
    call.route = asked[0]?.name ?? "";
    call.target = asked[0]?.first ?? "";
    const each = model === "" ? asked.flatMap((row) => row.each?.filter(isTaking) ?? [row]) : asked;
    return [...new Set(each.map(({ to }) => to))];
  }

  return {
    name: routes[0]?.to.name ?? "",
    answerer(model, path) {
      const fits = fitting(model).filter(({ fits }) => fits === undefined)
        .slice(0, model === "" ? undefined : 1);
      if (fits.every(({ isMock }) => isMock)) return "mock";
      return fits.some(({ isMock, takes }) => !isMock && takes(path)) ? "upstream" : "nobody";
    },
    answer(ask, call) {
      const { wire } = ask;
      if (wire === undefined) throw new TypeError("Cannot pass on what came over no wire");
      const path = wire.path.split("?", 1)[0]!;
      const found = targets(ask, wire, path, call);
      const [first] = found;
      if (first === undefined) throw invalidUrl(wire.method, `/v1${path}`);
      call.source = first.name;
      if (found.length === 1 || path.lastIndexOf("/") === 0) return first.answer(ask, call);
      const object = objectOf(wire.method, path);
      if (object !== undefined) return askOwner(found, object, ask, call);
      return wire.upload === undefined ? askInTurn(found, ask, call) : first.answer(ask, call);
    },
  };
}

/** Methods that change nothing (RFC 9110 section 9.2.1): whoever is asked first may as well be. */
const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
/** A word of the API; ids have digits or capitals besides. */
const WORD = /^[a-z_-]*$/;

/**
 * The object that a request would change: its path up to the first id ("/responses/resp_1" of
 * "/responses/resp_1/cancel"). undefined = it changes none that there is.
 */
function objectOf(method: string, path: string): string | undefined {
  if (SAFE.has(method)) return undefined;
  const segments = path.split("/"); // the first two are "" and what all such objects are below
  const id = segments.findIndex((segment, index) => index >= 2 && !WORD.test(segment));
  if (id !== -1) return segments.slice(0, id + 1).join("/");
  return method === "DELETE" ? path : undefined;
}

/** What belongs to the change, and not to the question who has the object. */
const OF_CHANGE = {
  "content-type": null,
  "content-encoding": null,
  "idempotency-key": null,
  "if-match": null,
  "if-none-match": null,
  "if-modified-since": null,
  "if-unmodified-since": null,
  range: null,
};

/** What an upstream answers that has no such object, or gives none of its kind. */
const LACKING: ReadonlySet<number> = new Set([404, 405, 501]);

/**
 * The answer of the first of `sources` that gives the object when asked for it: a change is tried
 * nowhere else. One that refuses to be asked may have it: its refusal is the answer.
 *
 * @throws {AppError} `object_unknown` when none has it.
 */
async function askOwner(
  sources: readonly Source[],
  object: string,
  ask: Ask,
  call: Call,
): Promise<Answer> {
  const wire = ask.wire!;
  const path = object + queryOf(wire.path);
  const fields = wire.fields.with(OF_CHANGE);
  const question: Ask = {
    model: () => ask.model(),
    turn: () => ask.turn(),
    wire: { dialect: wire.dialect, method: "GET", path, fields, body: null },
  };
  for (const source of sources) {
    const answer = await source.answer(question, call);
    if (answer.kind !== "relay") continue;
    const { status, body } = answer;
    const isGiven = status >= 200 && status < 300;
    if (!isGiven && !LACKING.has(status)) return answer;
    body.cancel();
    if (isGiven) return source.answer(ask, call);
  }
  throw new AppError(
    "object_unknown",
    `No upstream gives '${echo(object)}' when asked for it, so which of them to send this ` +
      `${wire.method} to is not known. \`paths\` of an upstream says what only it is asked for.`,
  );
}

/** The answer of the first of `sources` that has what is asked for, else that of the last. */
async function askInTurn(sources: readonly Source[], ask: Ask, call: Call): Promise<Answer> {
  for (const source of sources.slice(0, -1)) {
    const answer = await source.answer(ask, call);
    if (answer.kind !== "relay" || answer.status !== 404) return answer;
    answer.body.cancel();
  }
  return sources.at(-1)!.answer(ask, call);
}

/** The model that a request names, in JSON or in a form; "" = none. */
function modelOf({ fields, body }: Wire): string {
  if (body === null || body.length === 0) return "";
  const type = fields.get("content-type") ?? "";
  if (/\bjson\b|^$|urlencoded/i.test(type)) return namedModel(body); // curl's `-d` calls all a form
  if (!/^multipart\/form-data\b/i.test(type)) return "";
  return MODEL_FIELD.exec(
    Buffer.from(body.buffer, body.byteOffset, body.byteLength)
      .toString("latin1", 0, FORM_BYTES_MAX),
  )?.[1] ?? "";
}

/** A form is searched so far: what is behind a large file is not found, and names no model. */
const FORM_BYTES_MAX = 64 * 1024;
const MODEL_FIELD = /\bname="?model"?\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,200})\r\n/;
