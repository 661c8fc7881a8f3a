import { expect, test } from "bun:test";
import { countStreams } from "../../bench/usage_streams.ts";

test("whole streams cost what the mock has counted, left and cut ones what was said", async () => {
  const { whole, left, cut, mock, heard } = await countStreams({ streams: 120, clients: 12 });
  expect([whole.streams, left.streams, cut.streams]).toEqual([84, 24, 12]);
  expect(whole).toEqual(mock.whole);
  expect(whole.estimated).toBe(0);
  expect(left.tokensIn).toBe(mock.left.tokensIn);
  // What was on its way when a client left may count at one end and not at the other.
  expect(left.tokensOut).toBeGreaterThanOrEqual(heard.left * 0.95);
  expect(left.tokensOut).toBeLessThanOrEqual(mock.left.tokensOut * 1.05);
  expect(cut.estimated).toBe(cut.streams);
  expect(cut.tokensOut).toBe(heard.cut);
}, 120_000);
