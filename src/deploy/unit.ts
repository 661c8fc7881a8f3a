/**
 * The systemd unit.
 *
 * @module
 */

import { fill } from "./fill.ts";
import TEMPLATE from "./weir.service" with { type: "text" };

/** Seconds between the end of the drain and the moment systemd kills what is left. */
const STOP_SLACK_S = 15;

/** What a unit is filled in with. Paths are absolute. */
export interface UnitFacts {
  readonly program: string;
  readonly configFile: string;
  /** `server.drain_ms` */
  readonly drainMs: number;
  /** Variables that win over a config which does not say where a service may write. */
  readonly variables: Readonly<Record<string, string>>;
  /** Variables that tell weir of nginx in front of it. */
  readonly siteVariables: Readonly<Record<string, string>>;
  /** Files that hold keys, by the names under which weir finds them. */
  readonly credentials: Readonly<Record<string, string>>;
}

/** The unit, shipped as `weir.service`, for these facts. */
export function unitText(facts: UnitFacts): string {
  const credentials = Object.entries(facts.credentials);
  return fill(TEMPLATE, [
    {
      start: "ExecStart=",
      lines: [`ExecStart=${word(facts.program)} serve --config ${word(facts.configFile)}`],
    },
    {
      start: "TimeoutStopSec=",
      lines: [`TimeoutStopSec=${Math.ceil(facts.drainMs / 1000) + STOP_SLACK_S}`],
    },
    {
      start: "#Environment=WEIR_MEMORY_URL=",
      lines: Object.keys(facts.variables).length === 0
        ? ["#Environment=WEIR_MEMORY_URL=sqlite:///var/lib/weir/weir.db"]
        : environment(facts.variables),
    },
    { start: "Environment=WEIR_OPS_METRICS_PORT=", lines: [] },
    {
      start: "Environment=WEIR_SERVER_TRUSTED_PROXIES=",
      lines: environment(facts.siteVariables),
    },
    {
      start: "#LoadCredential=",
      lines: credentials.length === 0
        ? ["#LoadCredential=llm_api_key:/etc/weir/llm_api_key"]
        : credentials.map(([name, path]) => `LoadCredential=${escape(`${name}:${path}`)}`),
    },
  ]);
}

function environment(variables: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(variables).map(([name, value]) =>
    `Environment=${word(`${name}=${value}`)}`
  );
}

/** As one word of a command line or an environment (systemd.syntax(7), "Quoting"). */
function word(text: string): string {
  const escaped = escape(text);
  return /[\s"'\\;]/.test(text) ? `"${escaped.replace(/["\\]/g, "\\$&")}"` : escaped;
}

/** Without specifiers: a percent sign is one. */
function escape(text: string): string {
  return text.replaceAll("%", "%%");
}
