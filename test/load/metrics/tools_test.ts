import { describe, expect, test } from "bun:test";
import { EventReader } from "../../../src/load/event_reader.ts";
import { EventShapes } from "../../../src/load/event_shapes.ts";
import { Recording } from "../../../src/load/record.ts";
import { type ToolName, TOOLS } from "../../../src/load/report/tools/tools.ts";
import { TOLD_NUMBERS, TOLD_STREAMS, type ToldStream } from "./told_streams.ts";

/** The stream as a client of weir's would have recorded it. */
function recordedStream({ reads, status = 200, isCut = false }: ToldStream): Recording {
  const record = new Recording();
  const reader = new EventReader(new EventShapes());
  record.dueMs = record.sentMs = 0;
  record.status = status;
  record.promptTokens = 5;
  record.tokensMax = 8;
  reader.begin(record, "events");
  for (const [atMs, text] of reads) {
    const bytes = Buffer.from(text);
    record.read(atMs, bytes.length);
    reader.data(bytes, 0, bytes.length);
  }
  reader.end();
  record.endMs = reads.at(-1)?.[0] ?? 1;
  record.isWhole = !isCut;
  return record;
}

const words = (said: string) => said.split(/\s+/).filter((word) => word !== "").length;
const rounded = (value: number | undefined) =>
  value === undefined ? undefined : Math.round(1000 * value) / 1000;

describe("numbers of the tools' own code", () => {
  for (const [tool, streams] of Object.entries(TOLD_NUMBERS)) {
    for (const [name, wanted] of Object.entries(streams)) {
      test(`${tool}: ${name}`, () => {
        const values = TOOLS[tool as ToolName].read(recordedStream(TOLD_STREAMS[name]!), words);
        const { isSuccess, ttftMs, tpotMs, itlMs = [], e2eMs, outputTokens } = values;
        const found = [
          rounded(ttftMs),
          rounded(tpotMs),
          itlMs.map(rounded),
          rounded(e2eMs),
          outputTokens,
        ];
        expect(isSuccess ? found : "failed").toEqual(wanted as typeof found | "failed");
      });
    }
  }

  test("vLLM: an event that is no JSON is a failure, however reads have cut the stream", () => {
    const { isSuccess } = TOOLS.vllm.read(recordedStream(TOLD_STREAMS["broken JSON"]!), words);
    expect(isSuccess).toBe(false);
  });
});
