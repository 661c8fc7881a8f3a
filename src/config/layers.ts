/**
 * What an environment and the flags say about the settings.
 *
 * @module
 */

import { readValue } from "./file.ts";
import {
  type Given,
  type Layer,
  type Problem,
  shownKey,
  unknownPath,
  unknownVariable,
} from "./problems.ts";
import { KNOWN_VARIABLES, SETTING_ROWS } from "./schema.ts";

/** A setting from the command line: `--set server.port=0`, or a flag that stands for one. */
export interface ConfigFlag {
  /** "server.port" */
  readonly key: string;
  readonly value: string;
  /** How messages call it, for example "--port"; without it "--set server.port". */
  readonly name?: string;
}

/** Variables by name. An empty one counts as not set. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Variables that weir sets for processes of its own. */
const INTERNAL_PREFIX = "WEIR_INTERNAL_";

/** Where test kits look for the executable: whatever they start, they hand their environment on to. */
const BINARY_NAME = "WEIR_BINARY";

/**
 * What Kubernetes puts into every container beside a Service named "weir", "weir-mock" or the like:
 * WEIR_SERVICE_HOST, WEIR_MOCK_PORT_8080_TCP_ADDR and so on. Nobody wrote those.
 */
const KUBERNETES_NAME =
  /^WEIR_(?:\w+_)?(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;
/** The same of one more name, which may be a setting's: WEIR_SERVER_PORT=tcp://10.0.0.1:8080. */
const KUBERNETES_PORT = /^WEIR_(?:\w+_)?PORT$/;

/** One environment; `prefix` says in messages which one. */
export function readEnvironment(variables: Variables, prefix: string): Layer {
  const known = new Map<string, string>();
  const isSet = (name: string) => {
    const value = variables[name] ?? "";
    return value !== "" && !isServicePort(name, value);
  };
  // The names people already have come first, so that the WEIR_ ones replace them.
  for (const [name, path] of KNOWN_VARIABLES) if (isSet(name)) known.set(path, name);
  const rows = [...SETTING_ROWS.values()];
  for (const row of rows) if (isSet(row.variable)) known.set(row.path, row.variable);
  const names = Object.keys(variables);
  const layers = [...known].map(([path, name]) =>
    readValue(SETTING_ROWS.get(path)!, variables[name]!, `${prefix}${name}`, names.indexOf(name))
  );
  const settable = new Set(rows.map((row) => row.variable));
  const problems: Problem[] = [];
  for (const [at, name] of names.entries()) {
    if (!name.startsWith("WEIR_") || settable.has(name) || !isSet(name)) continue;
    if (name === BINARY_NAME || name.startsWith(INTERNAL_PREFIX) || KUBERNETES_NAME.test(name)) {
      continue;
    }
    problems.push({ at, text: `${prefix}${shownKey(name)}: ${unknownVariable(name)}` });
  }
  return joined(layers, problems);
}

/** The port of a Service, and no setting nor somebody's guess at one: its value tells. */
function isServicePort(name: string, value: string): boolean {
  return KUBERNETES_PORT.test(name) && /^(?:tcp|udp|sctp):\/\//.test(value);
}

/** The flags in their order: of two for the same setting the last one counts. */
export function readFlags(flags: readonly ConfigFlag[]): Layer {
  const layers = new Map<string, Layer>();
  const problems: Problem[] = [];
  for (const [at, flag] of flags.entries()) {
    const row = SETTING_ROWS.get(flag.key.toLowerCase());
    if (row === undefined) {
      problems.push({ at, text: `--set ${shownKey(flag.key)}: ${unknownPath(flag.key)}` });
    } else {
      layers.set(row.path, readValue(row, flag.value, flag.name ?? "--set", at));
    }
  }
  return joined([...layers.values()], problems);
}

function joined(layers: readonly Layer[], problems: readonly Problem[]): Layer {
  const given: Given[] = layers.flatMap((layer) => layer.given);
  return {
    given,
    problems: [...layers.flatMap((layer) => layer.problems), ...problems],
    warnings: [],
  };
}
