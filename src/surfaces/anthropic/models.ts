/**
 * `GET /v1/models` and `GET /v1/models/{id}` for clients of Anthropic's API: the mock's models, or
 * the upstream's.
 *
 * @module
 */

import { URLSearchParams } from "node:url";
import type { Source } from "../../core/answer.ts";
import { queryOf } from "../../core/body.ts";
import type { Surface } from "../../core/surface.ts";
import { errorEvent, modelNotFound } from "../../dialects/anthropic_messages/errors.ts";
import { modelInfo, modelsPage } from "../../dialects/anthropic_messages/models.ts";
import { plainPath } from "../../lib/plain_path.ts";
import { allowed } from "../../sources/model_lists.ts";
import { ANTHROPIC_FIELDS, anthropicDoor, type DoorDeps } from "./door.ts";

/** What the surface needs. */
export interface AnthropicModelsDeps extends DoorDeps {
  /** Whom to ask for its models; undefined = the mock answers. */
  readonly upstream: Source | undefined;
  /** The models the mock answers for; empty = any, and the list shows the usual ones. */
  readonly models: readonly string[];
}

/** Makes the surface: the list, or one model where the path names an `id`. */
export function anthropicModels(deps: AnthropicModelsDeps): Surface {
  const { upstream } = deps;
  return {
    ...anthropicDoor(deps),
    name: "v1_models",
    source: upstream?.name ?? "mock",
    takes: "nothing",
    answer({ head, params }, exchange) {
      const { requestId } = exchange;
      const { id } = params;
      const mayAsk = allowed(exchange);
      if (id !== undefined && !mayAsk(id)) throw modelNotFound(id);
      const query = queryOf(head.target);
      if (upstream === undefined) {
        const value = id === undefined
          ? modelsPage(deps.models, new URLSearchParams(query), mayAsk)
          : modelInfo(id, deps.models);
        return {
          kind: "whole",
          status: 200,
          headers: {
            "content-type": "application/json",
            "request-id": requestId,
            ...ANTHROPIC_FIELDS,
          },
          body: JSON.stringify(value),
        };
      }
      // Such a name would lead out of the upstream's list of models.
      if (id !== undefined && plainPath(`/${id}`) === undefined) throw modelNotFound(id);
      return {
        kind: "pass",
        source: upstream,
        model: "",
        manner: { errorEvent },
        wire: {
          dialect: "openai",
          method: "GET",
          path: `/models${id === undefined ? "" : `/${encodeURIComponent(id)}`}${query}`,
          fields: head.fields,
          body: null,
        },
      };
    },
  };
}
