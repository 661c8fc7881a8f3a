/**
 * The rows of `/__weir/*`.
 *
 * @module
 */

import type { Surface } from "../../core/surface.ts";
import { JSON_TYPE, type Route, type RouteParameter } from "../route.ts";
import type { FixtureAdmin } from "./fixtures.ts";

type Row = Pick<Route, "method" | "path" | "summary" | "body"> & {
  readonly serve: Surface;
  readonly description?: string;
  readonly query?: readonly RouteParameter[];
  readonly responses?: Route["responses"];
};

const SESSION: RouteParameter = {
  name: "x-weir-session",
  in: "header",
  description: "a test's own fixtures, counters and requests; without it, those of all",
};

const OBJECT = { type: "object" } as const;
const FIXTURE = {
  match: { userMessage: "weather" },
  response: { content: "It is sunny." },
};

function query(name: string, description: string): RouteParameter {
  return { name, in: "query", description };
}

/** Which requests are meant. */
const FILTERS = [
  query("session", "only those of this session"),
  query("model", "only those that ask for this model"),
  query("path", "only those of this path"),
  query("status", "only those that were answered so"),
  query("fixture", "only those that the fixture with this id has answered"),
  query("matched", "true: only those that a fixture has answered; false: only the others"),
  query("since", "only those since then: milliseconds since 1970, or a date"),
  query("match", "JSON: only those that this match of a fixture fits"),
  query("limit", "how many at most, the newest: 1 to 1000, 100 unless said"),
];

/** The rows. */
export function fixtureRoutes(admin: FixtureAdmin): readonly Route[] {
  const rows: readonly Row[] = [
    {
      method: "get",
      path: "/__weir/fixtures",
      serve: admin.list,
      summary: "List the fixtures, in the order in which they are looked at",
    },
    {
      method: "post",
      path: "/__weir/fixtures",
      serve: admin.add,
      summary: "Add fixtures",
      description:
        "They stand before those of files: behind those that were added, or before them.",
      body: {
        schema: { ...OBJECT, required: ["fixtures"] },
        example: { fixtures: [FIXTURE], position: "last" },
      },
      responses: {
        "201": { description: "Their ids; every worker has them", types: [JSON_TYPE] },
        "409": { description: "There is one with that id", types: [JSON_TYPE] },
      },
    },
    {
      method: "put",
      path: "/__weir/fixtures/{id}",
      serve: admin.replace,
      summary: "Put another fixture in the place of one that was added",
      body: { schema: OBJECT, example: FIXTURE },
    },
    {
      method: "delete",
      path: "/__weir/fixtures/{id}",
      serve: admin.remove,
      summary: "Take away a fixture that was added",
    },
    {
      method: "post",
      path: "/__weir/reset",
      serve: admin.reset,
      summary: "Forget what was added and counted",
      description:
        "All of it, or what the body names: added fixtures, counters, the journal, sessions, limits. " +
        "With a session, its own alone.",
      body: { schema: OBJECT, example: { fixtures: true, counters: true } },
    },
    {
      method: "get",
      path: "/__weir/limits",
      serve: admin.listLimits,
      summary: "List the limits of mock.limits, and what is left of each",
      description: "Buckets that are full, and gates with nobody behind them, are left out.",
    },
    {
      method: "put",
      path: "/__weir/limits",
      serve: admin.switchLimits,
      summary: "Switch a provider that the mock plays out of order, or into order again",
      description:
        "Without an entry, a number from 0, all of mock.limits. It holds in every worker, until it is " +
        "switched again or reset.",
      body: {
        schema: { ...OBJECT, required: ["state"] },
        example: { state: "overloaded", entry: 0 },
      },
      responses: {
        "200": { description: "All limits, as they are now", types: [JSON_TYPE] },
        "409": { description: "There are no limits", types: [JSON_TYPE] },
      },
    },
    {
      method: "delete",
      path: "/__weir/limits",
      serve: admin.resetLimits,
      summary: "Fill all buckets, and take states back to what the config says",
    },
    {
      method: "post",
      path: "/__weir/next",
      serve: admin.next,
      summary: "Answer the next request so, once",
      body: {
        schema: { ...OBJECT, required: ["response"] },
        example: { response: { content: "Once." } },
      },
      responses: { "201": { description: "Its id; every worker has it", types: [JSON_TYPE] } },
    },
    {
      method: "get",
      path: "/__weir/requests",
      serve: admin.requests,
      summary: "List the last requests, and what has answered them",
      description:
        "ops.journal says what is kept of them. Where there is no room for all that fit, `next` is what " +
        "the earlier ones are asked for with, as `before`.",
      query: [
        ...FILTERS,
        query(
          "before",
          "only those that came before: what `next` is in the answer with newer ones",
        ),
        query("wait", "wait until so many fit"),
        query("timeout_ms", "no longer than that: 0 to 60000, 5000 unless said"),
      ],
      responses: {
        "200": { description: "Them, the newest last", types: [JSON_TYPE] },
        "409": { description: "The journal does not keep what is asked for", types: [JSON_TYPE] },
      },
    },
    {
      method: "delete",
      path: "/__weir/requests",
      serve: admin.clear,
      summary: "Forget the last requests",
    },
    {
      method: "post",
      path: "/__weir/verify",
      serve: admin.verify,
      summary: "Were there as many requests as expected?",
      description:
        "The body may name what the list of requests is filtered by. Without times there " +
        "must be one or more.",
      body: {
        schema: OBJECT,
        example: { match: { model: "gpt-4o" }, times: { min: 0, max: 3 } },
      },
      responses: {
        "200": { description: "Yes", types: [JSON_TYPE] },
        "409": { description: "The journal does not keep what is asked for", types: [JSON_TYPE] },
        "417": { description: "No; and the requests that come nearest", types: [JSON_TYPE] },
      },
    },
    {
      method: "get",
      path: "/__weir/verdict",
      serve: admin.verdict,
      summary: "What did clients make of the faults that fixtures gave them?",
      description:
        "A finding for each fault among the requests that are kept: whether it was asked again, and as " +
        "late as it was told; whether an answer that broke off was noticed; whether a tool ran twice.",
      query: FILTERS,
      responses: {
        "200": { description: "The findings", types: [JSON_TYPE] },
        "409": { description: "The journal does not keep bodies", types: [JSON_TYPE] },
      },
    },
  ];
  return rows.map(({ query = [], responses = {}, ...row }) => ({
    ...row,
    tag: "Fixtures",
    auth: "admin",
    holds: "state",
    opens: "admin",
    parameters: [
      ...[...row.path.matchAll(/\{(\w+)\}/g)].map(([, name]): RouteParameter => ({
        name: name!,
        in: "path",
        description: "its id",
        example: "fx_1",
      })),
      SESSION,
      ...query,
    ],
    responses: {
      ...("201" in responses ? {} : { "200": { description: "Done", types: [JSON_TYPE] } }),
      ...responses,
      "403": { description: "Not from another machine without auth.token", types: [JSON_TYPE] },
      default: { description: "What is wrong", types: [JSON_TYPE] },
    },
  }));
}
