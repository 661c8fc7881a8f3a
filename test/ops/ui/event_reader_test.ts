import { describe, expect, test } from "bun:test";
import { eventBatches } from "../../../src/ops/ui/event_reader.ts";

/** A body that arrives in pieces of `pieceBytes`. */
function body(text: string, pieceBytes: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + pieceBytes));
      at += pieceBytes;
    },
  });
}

async function read(text: string, pieceBytes: number): Promise<string[]> {
  const all: string[] = [];
  for await (const batch of eventBatches(body(text, pieceBytes))) all.push(...batch);
  return all;
}

/** What comes over the wire → the data of its events. */
const CASES = [
  ["data: Hello\n\ndata:  world\n\n", ["Hello", " world"]],
  ["data: \n\ndata:\n\ndata\n\n", ["", "", ""]],
  ["data: a\ndata: b\n\ndata: \ndata: \n\n", ["a\nb", "\n"]],
  ["data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", ["a\nb", "c"]],
  ["\ufeffdata: 流水🌊\n\n", ["流水🌊"]],
  [": keepalive\n\nevent: x\nid: 1\nretry: 5\ndata: y\n\n", ["y"]],
  ["database: no\n\ndata: yes\n\n", ["yes"]],
  ["data: whole\n\ndata: cut off", ["whole"]],
  ["", []],
] as const;

describe("eventBatches()", () => {
  for (const [text, events] of CASES) {
    for (const pieceBytes of [1, 2, 3, 7, 1000]) {
      test(`reads ${JSON.stringify(text)} in pieces of ${pieceBytes} bytes`, async () => {
        expect(await read(text, pieceBytes)).toEqual([...events]);
      });
    }
  }

  test("gives what came together together", async () => {
    const batches = await Array.fromAsync(eventBatches(body("data: a\n\ndata: b\n\n", 1000)));
    expect(batches).toEqual([["a", "b"]]);
  });

  test("cancels the response when its reader leaves", async () => {
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
      cancel() {
        isCancelled = true;
      },
    });
    for await (const _batch of eventBatches(endless)) break;
    expect(isCancelled).toBe(true);
  });

  test("refuses an event without end", async () => {
    const piece = new Uint8Array(1024 * 1024).fill(120);
    const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(piece),
    });
    await expect(Array.fromAsync(eventBatches(endless))).rejects.toThrow("an event has more than");
  });
});
