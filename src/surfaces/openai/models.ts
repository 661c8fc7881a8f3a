/**
 * `GET /v1/models` and `GET /v1/models/{id}`: the mock's models, or the upstream's.
 *
 * @module
 */

import type { Source } from "../../core/answer.ts";
import { type Authorize, type Engine, Exchange } from "../../core/exchange.ts";
import type { Stamps } from "../../core/stamp.ts";
import { queryOf } from "../../core/body.ts";
import { errorResponse, keyError } from "../../dialects/openai/errors.ts";
import { modelObject, modelsList } from "../../dialects/openai/models.ts";

/** What the surface needs. */
export interface ModelsDeps {
  readonly engine: Engine;
  readonly source: Source;
  readonly stamps: Stamps;
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  /** The models the mock answers for; empty = any, and the list shows the usual ones. */
  readonly models: readonly string[];
}

/** Makes the handler. `id` undefined = the list. */
export function models(
  deps: ModelsDeps,
): (request: Request, id: string | undefined) => Promise<Response> {
  const { engine, source, stamps } = deps;

  async function handle(request: Request, id: string | undefined, exchange: Exchange) {
    const verdict = deps.authorize(request.headers, exchange);
    if (verdict !== "ok") throw keyError(verdict, request.headers, deps.secrets);
    if (source.pass !== undefined) {
      const path = `/models${id === undefined ? "" : `/${encodeURIComponent(id)}`}`;
      return await source.pass({
        method: "GET",
        path: path + queryOf(request.url),
        headers: request.headers,
        body: null,
      }, exchange);
    }
    const value = id === undefined ? modelsList(deps.models) : modelObject(id, deps.models);
    const body = `${JSON.stringify(value, null, 2)}\n`;
    exchange.complete(200, Buffer.byteLength(body));
    return new Response(body, {
      headers: {
        "content-type": "application/json",
        "x-request-id": exchange.requestId,
        "openai-version": "2020-10-01",
        "access-control-allow-origin": "*",
      },
    });
  }

  return async (request, id) => {
    const exchange = new Exchange(engine, "v1_models", request);
    exchange.source = source.name;
    exchange.requestId = `req_${stamps.hex(32)}`;
    try {
      return await handle(request, id, exchange);
    } catch (error) {
      return errorResponse(exchange.refuse(error), exchange.requestId);
    }
  };
}
