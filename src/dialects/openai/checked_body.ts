/**
 * Reads and checks the JSON body of a small endpoint: one table of parameters each.
 *
 * @module
 */

import { parseJsonBody } from "../../core/json_body.ts";
import { MODEL_CHARS_MAX } from "../../core/turn.ts";
import {
  checkFields,
  checkLength,
  type Fields,
  isObject,
  type JsonObject,
  type Level,
} from "./check.ts";
import { brokenJson, modelAbsent } from "./errors.ts";
import { errorOf, missing, under, unknownKey } from "./faults.ts";

/** The parameters of one endpoint. */
export interface BodyRules {
  /** In the order in which their faults are reported. `model` is checked before all of them. */
  readonly fields: Fields;
  /** False: a body may leave the model out. */
  readonly needsModel: boolean;
}

/**
 * The object in `text`, whose parameters keep `rules`. Of several faults the one is reported that
 * chat reports first: no model, another required one that is not there, an unknown key (on `live`),
 * then the others in the order of the table.
 *
 * @throws {AppError} 400: what is wrong with it.
 */
export function checkedBody(text: string, rules: BodyRules, level: Level): JsonObject {
  const body = parseJsonBody(text, brokenJson);
  if (!isObject(body)) throw brokenJson();
  checkModel(body["model"], rules.needsModel);
  const { fields } = rules;
  for (const [name, { isRequired }] of fields) {
    if (isRequired && body[name] === undefined) throw errorOf(missing(name));
  }
  if (level === "live") {
    const known = ["model", ...fields.map(([name]) => name)];
    for (const key in body) if (!known.includes(key)) throw errorOf(unknownKey(key, known));
  }
  const fault = checkFields(body, fields, level);
  if (fault !== undefined) throw errorOf({ ...fault, path: fault.path.slice(1) });
  return body;
}

function checkModel(model: unknown, isNeeded: boolean): void {
  if (model === undefined || model === null || model === "") {
    if (isNeeded) throw modelAbsent();
    return;
  }
  if (typeof model !== "string") throw brokenJson(); // measured with chat
  const tooLong = checkLength(model, MODEL_CHARS_MAX);
  if (tooLong !== undefined) throw errorOf(under("model", tooLong));
}
