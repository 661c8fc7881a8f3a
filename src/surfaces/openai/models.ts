/**
 * `GET /v1/models` and `GET /v1/models/{id}`: the mock's models, or the upstream's; the mock's
 * `DELETE /v1/models/{id}`.
 *
 * @module
 */

import type { Source } from "../../core/answer.ts";
import { queryOf } from "../../core/body.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Inbound, Output, Surface, Whole } from "../../core/surface.ts";
import {
  bodyTooLarge,
  errorAnswer,
  errorEvent,
  keyError,
  modelNotListed,
} from "../../dialects/openai/errors.ts";
import { deletedModel, modelObject, modelsList } from "../../dialects/openai/models.ts";
import { plainPath } from "../../lib/plain_path.ts";
import { allowed } from "../../sources/model_lists.ts";

/** What the surface needs. */
export interface ModelsDeps {
  /** Whom to ask for its models; undefined = the mock answers. */
  readonly upstream: Source | undefined;
  readonly stamps: Stamps;
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  /** The models the mock answers for; empty = any, and the list shows the usual ones. */
  readonly models: readonly string[];
}

/** Makes the surface: the list, or one model where the path names an `id`. */
export function models(deps: ModelsDeps): Surface {
  const { upstream, stamps } = deps;
  function valueOf(method: string, id: string | undefined, mayAsk: (model: string) => boolean) {
    if (id === undefined) {
      const { object, data } = modelsList(deps.models);
      return { object, data: data.filter(({ id }) => mayAsk(id)) };
    }
    return method === "DELETE" ? deletedModel(id, deps.models) : modelObject(id, deps.models);
  }

  function own({ head, params }: Inbound, exchange: Exchange): Whole {
    const { requestId } = exchange;
    const value = valueOf(head.method, params["id"], allowed(exchange));
    return {
      kind: "whole",
      status: 200,
      headers: {
        "content-type": "application/json",
        "x-request-id": requestId,
        "openai-version": "2020-10-01",
        "access-control-allow-origin": "*",
      },
      body: `${JSON.stringify(value, null, 2)}\n`,
    };
  }

  function passed(source: Source, { head, params }: Inbound): Output {
    const { id } = params;
    // Such a name would lead out of the upstream's list of models.
    if (id !== undefined && plainPath(`/${id}`) === undefined) throw modelNotListed(id);
    const path = `/models${id === undefined ? "" : `/${encodeURIComponent(id)}`}`;
    return {
      kind: "pass",
      source,
      model: "",
      manner: { errorEvent },
      wire: {
        dialect: "openai",
        method: "GET",
        path: path + queryOf(head.target),
        fields: head.fields,
        body: null,
      },
    };
  }

  return {
    name: "v1_models",
    source: upstream?.name ?? "mock",
    takes: "nothing",
    admit({ fields }, exchange) {
      exchange.requestId = `req_${stamps.hex(32)}`;
      const verdict = deps.authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, deps.secrets);
    },
    answer(inbound, exchange) {
      const { id } = inbound.params;
      if (id !== undefined && !allowed(exchange)(id)) throw modelNotListed(id);
      return upstream === undefined ? own(inbound, exchange) : passed(upstream, inbound);
    },
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId }) => errorAnswer(error, requestId),
  };
}
