import { describe, expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { fetchTransport, unreachable } from "../../../src/sources/upstream/transport.ts";
import { sent } from "./sent.ts";
import { scriptedUpstream } from "../../server/scripted_upstream.ts";

describe("fetchTransport()", () => {
  test("nobody there is upstream_unreachable, with the key of the config", async () => {
    const gone = scriptedUpstream(() => []);
    gone.close();
    const configKey = "conv.unofficial_proxy";
    const transport = fetchTransport({ base_url: `${gone.url}/v1`, proxy: "", ca: "", configKey });
    const error = await sent(transport, {
      method: "GET",
      path: "/models",
      fields: Fields.NONE,
      body: null,
      signal: new AbortController().signal,
    }).then(() => undefined, (thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AppError);
    const { code, message } = error as AppError;
    expect(code).toBe("upstream_unreachable");
    expect(message).toContain(`127.0.0.1:${gone.port}`);
    expect(message).toContain("Check conv.unofficial_proxy and that the upstream is running.");
  });
});

describe("unreachable()", () => {
  const URL = "http://user:sk-1@127.0.0.1:9/secret/path";
  const CAUSES: readonly (readonly [name: string, cause: unknown, reason: string])[] = [
    ["an error with a code", Object.assign(new Error("x"), { code: "ECONNRESET" }), "ECONNRESET"],
    ["an error without one", new Error("it is closed"), "it is closed"],
    ["what is no error", "x", "no response"],
  ];
  for (const [name, cause, reason] of CAUSES) {
    test(`says ${reason} of ${name}, the host, and the key of the config`, () => {
      expect(unreachable(URL, "chat.api_proxy", cause).message).toBe(
        `Cannot reach the upstream 127.0.0.1:9: ${reason}. ` +
          "Check chat.api_proxy and that the upstream is running.",
      );
    });
  }
});
