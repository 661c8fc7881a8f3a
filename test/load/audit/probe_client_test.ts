import { describe, expect, test } from "bun:test";
import { ResponseParser } from "../../../src/lib/http1/parser.ts";
import { ClientExchange } from "../../../src/load/audit/probe_client.ts";

/** An exchange that has read these pieces. */
function after(pieces: readonly string[], isKept = true): ClientExchange {
  const exchange = new ClientExchange(0, "POST / HTTP/1.1", isKept);
  let body: Buffer[] = [];
  const parser = new ResponseParser({
    onHead: (head) => void (exchange.head = head),
    onBody: (piece) => void body.push(Buffer.from(piece)),
  });
  parser.reset(false);
  for (const piece of pieces) {
    body = [];
    parser.push(Buffer.from(piece));
    exchange.read({ atMs: 0, bytes: Buffer.from(piece), body: Buffer.concat(body) });
  }
  return exchange;
}

const HINTS = "HTTP/1.1 103 Early Hints\r\nlink: </a>";
const FINAL = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 2";
const END = "\r\n\r\n";

describe("ClientExchange", () => {
  const CASES = [
    ["one head", [FINAL + END + "{}"], FINAL, FINAL],
    ["an interim head", [HINTS + END + FINAL + END + "{}"], FINAL, HINTS + END + FINAL],
    [
      "two of them, in pieces",
      [
        HINTS,
        END + HINTS + END.slice(0, 2),
        END.slice(2) + FINAL.slice(0, 30),
        FINAL.slice(30) + END,
      ],
      FINAL,
      HINTS + END + HINTS + END + FINAL,
    ],
    ["a head that is not whole", [HINTS + END + FINAL], FINAL, HINTS + END + FINAL],
    ["nothing behind an interim head", [HINTS + END], "", HINTS + END],
  ] as const;
  for (const [name, pieces, final, all] of CASES) {
    for (const isKept of [true, false]) {
      test(`tells the final head and all: ${name}, ${isKept ? "kept" : "an error"}`, () => {
        const exchange = after(pieces, isKept);
        expect(exchange.headText).toBe(final);
        expect(exchange.headsText).toBe(all);
      });
    }
  }

  test("keeps nothing of an answer that is to be counted", () => {
    const exchange = after(
      [HINTS + END, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab", "cd"],
      false,
    );
    expect(exchange.reads).toEqual([]);
    expect(exchange.bodyBytes).toBe(4);
  });
});
