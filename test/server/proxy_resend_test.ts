import { expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { proxied } from "./proxied.ts";
import { connect, parseRaw } from "./raw_client.ts";
import { act, response } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

test("what is sent again on a new connection counts as one more that went up", async () => {
  const files = { "config.yaml": "routes: [{to: [llm]}]\n" };
  const own = await proxied({ files, set: { "ops.log": "requests" } });
  // One that only asks is sent again whenever its kept connection ends.
  const ask = async () => {
    const request = "GET /v1/files HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n";
    return parseRaw(await (await connect(own.weir.port, request)).closed);
  };
  own.play(({ index }) => index === 1 ? [act.end] : [act.send(response("{}"))]);
  const answers = [await ask(), await ask()];
  expect(answers.map(({ status, head }) => [status, /x-weir-attempts: (.*)\r/.exec(head)?.[1]]))
    .toEqual([[200, "1"], [200, "2"]]);
  expect(own.upstream.requests.length).toBe(3);
  await waitFor(() => own.weir.errors().includes('"upstream_attempts":2'), "its line in the log");
  await own.stop();
});
