/**
 * An upstream that is killed under 500 streams, with another one there: real processes, three of them.
 * What no client has had a byte of is answered by the other; what some client has is seen to be broken.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { launch, TEST_MS_MAX, waitFor } from "./launch.ts";
import { connect, parseRaw, rawChat, type RawClient } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

const STREAMS = 500;
const ANSWER = "one two three four five";

/** Longer than any test. */
const NEVER_MS = 3_600_000;

/** Fixtures of one upstream, which says `who` it is. `hangs`: what it has begun to say never ends. */
function fixtures(who: string, hangs: boolean): string {
  const row = (model: string, ttftMs: number, delayMs: number) => ({
    match: { model },
    response: { content: `${who} ${ANSWER}` },
    chunkSize: 6,
    recordedTimings: { ttftMs, interChunkDelaysMs: [delayMs] },
  });
  const rows = hangs
    ? [row("begun", 0, NEVER_MS), row("silent", NEVER_MS, 0)]
    : [row("begun", 0, 5), row("silent", 0, 5)];
  return JSON.stringify({ fixtures: rows });
}

const mock = (who: string, hangs: boolean) =>
  launch({
    files: { "fixtures.json": fixtures(who, hangs) },
    set: { "mock.fixtures": "[fixtures.json]", "server.keepalive_ms": 0 },
  });

/** What a client has had in the end: "whole:" and who said it, or how it is broken. */
function endOf(bytes: Buffer): string {
  const { status, body, isWhole } = parseRaw(bytes);
  const text = body.toString();
  if (status !== 200) return `status ${status}`;
  const said = [...text.matchAll(/"content":"([^"]*)"/g)].map(([, word]) => word).join("");
  if (text.endsWith("data: [DONE]\n\n") && isWhole) return `whole: ${said}`;
  if (text.includes("[DONE]")) return "something behind the end";
  return text.includes('data: {"error"') || !isWhole ? "broken" : "looks whole";
}

for (const workers of [1, 2]) {
  test(`${STREAMS} streams, an upstream that is killed, ${workers} process(es)`, async () => {
    const [first, second] = await Promise.all([mock("first", true), mock("second", false)]);
    const upstream = (name: string, url: string) =>
      `  - {name: ${name}, base_url: "${url}/v1", speaks: [openai_chat], retries: 0}\n`;
    const weir = await launch({
      files: {
        "config.yaml": `server: {workers: ${workers}}
upstreams:
${upstream("first", first.url)}${upstream("second", second.url)}routes: [{to: [first, second]}]
`,
      },
    });
    try {
      const open = (model: string) =>
        connect(
          weir.port,
          rawChat(
            JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "x" }] }),
            ["Connection: close"],
          ),
        );
      const clients = await Promise.all(
        Array.from({ length: STREAMS }, async (_, i): Promise<readonly [boolean, RawClient]> => {
          const hasByte = i % 2 === 0;
          return [hasByte, await open(hasByte ? "begun" : "silent")];
        }),
      );
      await Promise.all(
        clients.map(([hasByte, client]) => hasByte ? client.until('"content":"') : undefined),
      );
      await waitFor(
        async () => (await first.health())["streams_open"] === STREAMS,
        "all streams to be open",
      );
      const killedMs = performance.now();
      first.kill("SIGKILL");
      const ends = { begun: {} as Record<string, number>, silent: {} as Record<string, number> };
      await Promise.all(clients.map(async ([hasByte, client]) => {
        const end = endOf(await client.closed);
        const counts = ends[hasByte ? "begun" : "silent"];
        counts[end] = (counts[end] ?? 0) + 1;
      }));
      const tookMs = Math.round(performance.now() - killedMs);
      process.stderr.write(
        `upstream kill test: ${workers} process(es), all over in ${tookMs} ms\n`,
      );
      expect(ends).toEqual({
        begun: { broken: STREAMS / 2 },
        silent: { [`whole: second ${ANSWER}`]: STREAMS / 2 },
      });
    } finally {
      await Promise.all([weir.stop(), first.stop(), second.stop()]);
    }
  });
}
