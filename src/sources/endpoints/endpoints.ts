/**
 * What the mock answers beside conversations: the paths of OpenAI's API that take one JSON body and
 * give one. To whoever asks it is like an upstream that has these paths only.
 *
 * @module
 */

import type { Answer, Relay, Source, Wire } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { KnownBody } from "../../core/relay_body.ts";
import { invalidUrl, OPENAI_VERSION } from "../../dialects/openai/errors.ts";
import { Fields } from "../../lib/http1/fields.ts";
import { embeddings } from "./embeddings.ts";
import type { Endpoint, EndpointDeps, Made } from "./endpoint.ts";
import { MadeBody } from "./made_body.ts";
import { moderations } from "./moderations.ts";

/** The mock's endpoints. */
export interface Endpoints extends Source {
  /** Whether it has `path`: "/embeddings". */
  has(path: string): boolean;
}

/** Makes them. */
export function mockEndpoints(deps: EndpointDeps): Endpoints {
  const byPath: ReadonlyMap<string, Endpoint> = new Map([
    ["/embeddings", embeddings(deps)],
    ["/moderations", moderations(deps)],
  ]);
  const models = new Set(deps.models);

  function checkModel(model: string): void {
    if (models.size === 0 || models.has(model)) return;
    throw new AppError(
      "model_unknown",
      `The model \`${model}\` does not exist or you do not have access to it.`,
    );
  }

  async function answered(text: string, endpoint: Endpoint, call: Call): Promise<Answer> {
    return relayOf(await endpoint(text, checkModel, call), call);
  }

  return {
    name: "mock",
    has: (path) => byPath.has(path),
    answer({ wire }, call) {
      const { path, method } = wire!;
      const endpoint = byPath.get(path.split("?", 1)[0]!);
      if (endpoint === undefined) throw invalidUrl(method, `/v1${path}`);
      return answered(textOf(wire!), endpoint, call);
    },
  };
}

function textOf({ body }: Wire): string {
  return body === null ? "" : new TextDecoder().decode(body);
}

/** `made` as an answer. */
export function relayOf(
  made: Made,
  { engine, requestId }: Pick<Call, "engine" | "requestId">,
): Relay {
  return {
    kind: "relay",
    status: 200,
    fields: Fields.of([
      ["content-type", "application/json"],
      ["openai-version", OPENAI_VERSION],
      ["openai-processing-ms", "1"],
      ["x-request-id", requestId],
      ["access-control-expose-headers", "X-Request-ID"],
    ]),
    body: typeof made === "string"
      ? new KnownBody([{ bytes: Buffer.from(made), atUs: 0 }], "end", engine.wheel)
      : new MadeBody(made, engine.wheel),
  };
}
