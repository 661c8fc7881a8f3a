/**
 * The rules that every recorded chat stream of the real API keeps (docs/facts/openai_api.md
 * "Stream rules"), as a check of bytes.
 *
 * @module
 */

interface Chunk {
  readonly [key: string]: unknown;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Readonly<Record<string, unknown>>;
    readonly finish_reason: string | null;
  }[];
}

/** Every rule that `stream` breaks, one sentence each. */
export function brokenRules(stream: string): string[] {
  const broken: string[] = [];
  const need = (isKept: boolean, rule: string) => {
    if (!isKept) broken.push(rule);
  };
  need(stream.endsWith("data: [DONE]\n\n"), "the stream ends with [DONE] and a blank line");
  const events = stream.split("\n\n").slice(0, -1);
  need(events.every((event) => /^data: [^\r\n]+$/.test(event)), "each event is one data line");
  const texts = events.slice(0, -1).map((event) => event.slice("data: ".length));
  const chunks = texts.map((text) => JSON.parse(text) as Chunk);
  for (const key of ["id", "object", "created", "model", "service_tier", "system_fingerprint"]) {
    need(
      new Set(chunks.map((chunk) => JSON.stringify(chunk[key]))).size === 1,
      `${key} is constant`,
    );
  }
  need(chunks.every(({ choices }) => choices.length <= 1), "a chunk has one choice at most");
  const byIndex = Map.groupBy(chunks.flatMap(({ choices }) => choices), ({ index }) => index);
  for (const [index, choices] of byIndex) {
    const last = choices.at(-1)!;
    need(choices[0]!.delta["role"] === "assistant", `choice ${index} begins with its role`);
    need(choices.slice(1).every(({ delta }) => !("role" in delta)), `choice ${index}: role once`);
    need(
      choices.slice(0, -1).every((choice) => choice.finish_reason === null),
      `choice ${index} has no finish_reason before its last chunk`,
    );
    need(
      last.finish_reason !== null && Object.keys(last.delta).length === 0,
      `choice ${index} ends with an empty delta and a finish_reason`,
    );
  }
  const deltas = chunks.flatMap(({ choices }) => choices[0]?.delta["content"] ?? []) as string[];
  need(!deltas.some((text) => /\S\s* $/.test(text)), "no delta ends with a blank");
  if (chunks.some((chunk) => chunk["usage"] === null)) {
    const counted = chunks.filter((chunk) => chunk["usage"]);
    need(chunks.every((chunk) => "usage" in chunk), "every chunk has a usage key");
    need(counted.length === 1 && counted[0]!.choices.length === 0, "one usage chunk, no choices");
  }
  if ("obfuscation" in chunks[0]!) {
    need(texts.every((text) => text.length % 16 === 1), "each chunk is padded to 16 characters");
  }
  return broken;
}
