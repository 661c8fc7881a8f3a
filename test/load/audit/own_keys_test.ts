import { describe, expect, test } from "bun:test";
import { OwnKeys } from "../../../src/load/audit/own_keys.ts";
import { ClientExchange } from "../../../src/load/audit/probe_client.ts";
import type { Watched } from "../../../src/load/audit/watched.ts";

const KEY = 'sk/gate+"key-1?';
const GATEWAYS = "sk-of-the-gateway";

/** A request that has been sent, and whose answer comes. */
function watched(mark: string, sentHead = "POST / HTTP/1.1"): Watched {
  return {
    check: "limits",
    mark,
    exchange: new ClientExchange(0, sentHead, true),
    isKept: true,
    sentBody: "{}",
    attempts: [],
    lines: () => [],
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

describe("OwnKeys finds a guarded key", () => {
  const places = [
    ["as it is", `x-trace: ${KEY}\r\n\r\n`],
    ["in a URL", `x-trace: ${encodeURIComponent(KEY)}\r\n\r\n`],
    ["in a URL, in small letters", `x-trace: ${encodeURIComponent(KEY).toLowerCase()}\r\n\r\n`],
    ["in JSON", `a: b\r\n\r\n${JSON.stringify({ user: KEY })}`],
    ["in JSON with escaped slashes", `a: b\r\n\r\n${JSON.stringify(KEY).replaceAll("/", "\\/")}`],
    ["in Base64", `authorization: Basic ${base64(`client:${KEY}`)}\r\n\r\n`],
    ["in Base64, a byte further", `authorization: Basic ${base64(`a client:${KEY}`)}\r\n\r\n`],
    ["in Base64, two bytes further", `authorization: Basic ${base64(`my client:${KEY}`)}\r\n\r\n`],
    ["in Base64 for URLs", `x: ${Buffer.from(`c:${KEY}`).toString("base64url")}\r\n\r\n`],
    ["in hexadecimal digits", `x: ${Buffer.from(KEY).toString("hex")}\r\n\r\n`],
  ] as const;
  for (const [how, text] of places) {
    test(how, () => {
      const keys = new OwnKeys();
      keys.guard(KEY);
      const one = watched("wa-1");
      keys.arrived(one, `POST / HTTP/1.1\r\n${text}`);
      keys.arrived(one, "POST / HTTP/1.1\r\nx-trace: other\r\n\r\n{}");
      const { all, count, found } = keys.inRequests();
      expect({ all, count }).toEqual({ all: 2, count: 1 });
      expect(found[0]).toMatchObject({ check: "limits", mark: "wa-1" });
      expect(found[0]!.shown).toContain("<KEY>");
    });
  }
});

describe("OwnKeys takes for a key of the gateway's own", () => {
  /** Three requests that arrive, and whether an answer with `text` holds a key then. */
  function isFound(headOf: (number: number) => string, text: string, sentHead?: string): boolean {
    const keys = new OwnKeys();
    for (let number = 1; number <= 3; number++) {
      keys.arrived(
        watched(`wa-${number}`, sentHead),
        `POST / HTTP/1.1\r\n${headOf(number)}\r\n\r\n`,
      );
    }
    const reader = keys.asked(watched("wa-4", sentHead));
    reader.read(text);
    reader.over();
    return keys.inAnswers().count > 0;
  }

  const cases = [
    ["what comes with each request", true, () => `x-api-key: ${GATEWAYS}`],
    ["nothing that is new each time", false, (number: number) => `x-key: ${GATEWAYS}${number}`],
    ["nothing of a header that holds none", false, () => `x-trace: ${GATEWAYS}`],
    ["no canary", false, () => "cookie: a=weircanary0123456789ab"],
  ] as const;
  for (const [what, isKey, headOf] of cases) {
    test(what, () => {
      const text = `x-debug: ${headOf(3).replace(/^.*?: /, "")}`;
      expect(isFound(headOf, text)).toBe(isKey);
    });
  }

  test("nothing that the client has sent", () => {
    const head = `x-api-key: ${GATEWAYS}`;
    expect(isFound(() => head, head, `POST / HTTP/1.1\r\n${head}`)).toBe(false);
  });
});
