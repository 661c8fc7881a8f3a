import { describe, expect, test } from "bun:test";
import { FreshIds } from "../../../src/sources/tape/fresh_ids.ts";

const NOW_S = 1_800_000_000;
/** Chance that counts. */
function random(target: Uint8Array<ArrayBuffer>): void {
  for (let i = 0; i < target.length; i++) target[i] = i + 1;
}

function renewed(text: string, dialect: Parameters<typeof FreshIds.in>[1]): string {
  const body = Buffer.from(text);
  const fresh = FreshIds.in(body, dialect)!;
  fresh.write(body, 0, body.length, fresh.draw(random, NOW_S + 0.5));
  return body.toString();
}

const CHUNK = '{"id":"chatcmpl-abcdefgh","created":1700000000,"choices":[{"delta":{}}]}';

describe("FreshIds", () => {
  test("renews id and time in each chunk of chat, and keeps those of calls", () => {
    const call =
      '{"id":"chatcmpl-abcdefgh","created":1700000000,"tool_calls":[{"id":"call_12345678"}]}';
    const text = renewed(`data: ${CHUNK}\n\ndata: ${call}\n\n`, "openai_chat");
    expect(text).toBe(
      `data: ${CHUNK}\n\ndata: ${call}\n\n`
        .replaceAll("abcdefgh", "BCDEFGHI").replaceAll("1700000000", String(NOW_S)),
    );
  });

  test("renews an answer's ids of the Responses API wherever they stand, times as far apart as they were", () => {
    const text = renewed(
      '{"id":"resp_0123456789abcdef","created_at":1700000000,"completed_at":1700000007,"output":[' +
        '{"id":"msg_0123456789abcdef00"},{"id":"fc_aaaaaaaaaaaa","call_id":"call_1"}]}' +
        '{"item_id":"msg_0123456789abcdef00"}',
      "openai_responses",
    );
    expect(text).toBe(
      '{"id":"resp_123456789abcdef0","created_at":1800000000,"completed_at":1800000007,"output":[' +
        '{"id":"msg_123456789abcdef012"},{"id":"fc_aaaaaaaaaaaa","call_id":"call_1"}]}' +
        '{"item_id":"msg_123456789abcdef012"}',
    );
  });

  test("renews ids of Anthropic, which has no times", () => {
    expect(renewed('{"id":"msg_01abcdEFGH","n":1700000000}', "anthropic_messages"))
      .toBe('{"id":"msg_BCDEFGHIJK","n":1700000000}');
  });

  test("writes what stands in one piece, however it is cut", () => {
    const body = Buffer.from(`data: ${CHUNK}\n\ndata: ${CHUNK}\n\n`);
    const whole = renewed(body.toString(), "openai_chat");
    const fresh = FreshIds.in(body, "openai_chat")!;
    const stamps = fresh.draw(random, NOW_S);
    for (let cut = 0; cut <= body.length; cut++) {
      const shared = Buffer.from(body);
      const sent: Buffer[] = [];
      for (const [from, to] of [[0, cut], [cut, body.length]] as const) {
        fresh.write(shared, from, to, stamps);
        sent.push(Buffer.from(shared.subarray(from, to)));
      }
      expect(Buffer.concat(sent).toString()).toBe(whole);
    }
  });

  test("finds nothing to renew where there is nothing", () => {
    expect(FreshIds.in(Buffer.from('{"a":1}'), "openai_chat")).toBeUndefined();
    expect(FreshIds.in(Buffer.from(CHUNK), "openai")).toBeUndefined();
  });
});
