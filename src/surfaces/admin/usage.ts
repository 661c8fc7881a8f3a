/**
 * `GET /__weir/usage`: what answers have cost. An admin key sees that of all, another one its own.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import { queryOf } from "../../core/body.ts";
import { AppError } from "../../core/errors.ts";
import type { Authorize } from "../../core/exchange.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Soon, UsageQuery, UsageSum } from "../../core/store.ts";
import type { Surface } from "../../core/surface.ts";
import { bodyTooLarge, errorAnswer, keyError } from "../../dialects/openai/errors.ts";
import { dayName, readReport, reportCsv, reportLines } from "../../ops/usage_report.ts";
import { JSON_TYPE, type Route } from "../route.ts";

const CSV_TYPE = "text/csv";
const FORMATS = ["json", "csv"];

/** What the surface needs. */
export interface UsageDeps {
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  readonly stamps: Stamps;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Asks for sums, those of the answers before this moment with them; undefined = none are kept. */
  readonly read: ((query: UsageQuery) => Soon<readonly UsageSum[]>) | undefined;
}

/** The row of `/__weir/usage`. */
export function usageRoute(deps: UsageDeps): Route {
  return {
    method: "get",
    path: "/__weir/usage",
    serve: usage(deps),
    tag: "Operation",
    summary: "What answers have cost: tokens and US dollars, of all keys or of one's own",
    auth: "admin",
    holds: "state",
    opens: "all",
    parameters: [
      query("by", "some of day, key and model, with commas: what is told apart; key unless said"),
      query(
        "since",
        "the first day, in UTC: 2026-11-01, 2026-11, today, yesterday, 7d; the first of this month unless said",
      ),
      query("until", "the last day; today unless said"),
      query("key", "only that of this key"),
      query("format", "json or csv"),
    ],
    responses: {
      "200": { description: "The sums", types: [JSON_TYPE, CSV_TYPE] },
      "401": { description: "No valid bearer token", types: [JSON_TYPE] },
      "409": { description: "No usage is kept", types: [JSON_TYPE] },
    },
  };
}

function query(name: string, description: string) {
  return { name, in: "query", description } as const;
}

function usage({ authorize, secrets, stamps, wallMs, read }: UsageDeps): Surface {
  return {
    name: "weir_usage",
    source: "",
    takes: "nothing",
    isUnnoted: true,
    admit({ fields }, exchange) {
      exchange.requestId = `req_${stamps.hex(32)}`;
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, secrets);
    },
    async answer({ head }, { key }) {
      if (read === undefined) {
        throw new AppError("conflict", "No usage is kept: set store.usage to on, or give out keys");
      }
      const words = new URLSearchParams(queryOf(head.target));
      const wordOf = (name: string) => words.get(name) ?? undefined;
      const isOwn = key !== undefined && !key.rules.admin;
      const named = wordOf("key");
      if (isOwn && named !== undefined && named !== key.name) {
        throw new AppError("forbidden", "This key is shown its own usage only: leave 'key' out");
      }
      const asked = readReport({
        by: wordOf("by"),
        since: wordOf("since"),
        until: wordOf("until"),
        key: isOwn ? key.name : wordOf("key"),
      }, wallMs());
      if ("word" in asked) throw invalid(asked.word, asked.must);
      const format = wordOf("format") ?? "json";
      if (!FORMATS.includes(format)) throw invalid("format", FORMATS.join(" or "));
      const lines = reportLines(await read(asked), asked);
      const isCsv = format === "csv";
      return {
        kind: "whole",
        status: 200,
        headers: { "content-type": isCsv ? `${CSV_TYPE}; charset=utf-8` : JSON_TYPE },
        body: isCsv ? reportCsv(lines) : JSON.stringify({
          since: dayName(asked.sinceDay),
          until: dayName(asked.untilDay),
          usage: lines,
        }),
      };
    },
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId }) => errorAnswer(error, requestId),
  };
}

function invalid(param: string, must: string): AppError {
  return new AppError("param_value", `${param} must be ${must}`, { param });
}
