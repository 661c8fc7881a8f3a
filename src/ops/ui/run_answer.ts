/**
 * Reads the answer of a run into the output pane, as its content type says.
 *
 * @module
 */

import { parseExactJson } from "../../lib/exact_json.ts";
import { eventBatches } from "./event_reader.ts";
import type { OutputView } from "./output_view.ts";
import type { RunWatch } from "./run_watch.ts";
import { chunkKindOf, type WorkflowSchema } from "./schema.ts";

/** Shows `response` in `output` while it comes. Settles when all of it is there. */
export async function showAnswer(
  response: Response,
  schema: WorkflowSchema,
  output: OutputView,
  watch: RunWatch,
): Promise<void> {
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("text/event-stream") && response.body !== null) {
    const isText = chunkKindOf(schema) === "text";
    for await (const batch of eventBatches(response.body)) {
      watch.count(batch.length);
      if (isText) output.appendText(batch.join(""));
      else output.appendItems(batch.map((data) => itemOf(data, schema)));
    }
    return;
  }
  const disposition = response.headers.get("content-disposition") ?? "";
  const isNamed = /^attachment/i.test(disposition);
  if (type.startsWith("application/json") && !isNamed) {
    output.showValue(parseExactJson(await response.text()));
  } else if (type.startsWith("text/plain") && !isNamed) output.showValue(await response.text());
  else output.showFile(await response.blob(), fileName(disposition, type));
}

/** One chunk of a JSON stream. A subtype names the field that is wanted of it. */
function itemOf(data: string, { outputs: [output] }: WorkflowSchema): unknown {
  let item: unknown;
  try {
    item = parseExactJson(data);
  } catch {
    return data;
  }
  const isPath = output !== undefined && output.subtype !== "" && output.subtype !== "json";
  if (!isPath) return item;
  for (const name of output.subtype.split(".")) {
    item = typeof item === "object" && item !== null
      ? (item as Record<string, unknown>)[name]
      : undefined;
  }
  return item ?? null;
}

/** The name an answer gives its file (RFC 6266), else one after its type. */
function fileName(disposition: string, contentType: string): string {
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(disposition)?.[1];
  if (encoded !== undefined) return decodeURIComponent(encoded);
  const plain = /filename="?([^";]+)"?/i.exec(disposition)?.[1];
  const [, subtype] = /\/(\w+)/.exec(contentType) ?? [];
  return plain ?? (subtype === undefined ? "output" : `output.${subtype}`);
}
