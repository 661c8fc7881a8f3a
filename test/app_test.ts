import { expect, test } from "bun:test";
import { makeApp } from "../src/app.ts";
import { readSettings } from "../src/cli/settings.ts";
import { loneDesk } from "../src/cli/desk.ts";
import { world } from "../src/cli/world.ts";
import { askOf } from "../src/core/answer.ts";
import type { Call } from "../src/core/exchange.ts";
import { EMPTY_TURN } from "../src/core/turn.ts";
import { listen, urlOf } from "./lib/http1/listen.ts";
import { waitFor } from "./server/launch.ts";
import { CHAT, DONE, EVENT, whole } from "./server/proxied.ts";
import { scriptedUpstream } from "./server/scripted_upstream.ts";

test("App.close() closes idle connections to upstreams", async () => {
  const upstream = scriptedUpstream(() => whole(EVENT, DONE));
  const options = {
    configFile: undefined,
    settings: [
      { key: "llm.base_url", value: `${upstream.url}/v1` },
      { key: "ops.log", value: "off" },
    ],
    workflowFiles: [],
    envFiles: [],
    env: {},
  };
  const settings = readSettings(options, { print() {}, complain() {} });
  // The time stands still: no connection closes because it has been idle for long.
  const app = makeApp(settings.config, {
    ...world(settings, loneDesk(settings.config)),
    clock: () => 0,
  });
  const server = listen(app.onRequest, { onBadRequest: app.onBadRequest });
  const answer = await fetch(`${urlOf(server)}/v1/chat/completions`, {
    method: "POST",
    body: CHAT,
  });
  expect(await answer.text()).toEndWith(DONE);
  expect(upstream.open).toBe(1);
  await app.close();
  await waitFor(() => upstream.open === 0, "the connection to close");
  await server.stop(true);
  upstream.close();
});

test("without a latency profile nothing stands around the mock, and no answer has times of its own", () => {
  const options = {
    configFile: undefined,
    settings: [{ key: "ops.log", value: "off" }, { key: "memory.url", value: "sqlite://none.db" }],
    workflowFiles: [],
    envFiles: [],
    env: {},
  };
  const settings = readSettings(options, { print() {}, complain() {} });
  const app = makeApp(settings.config, world(settings, loneDesk(settings.config)));
  const ask = () => {
    const call = {};
    const turn = { ...EMPTY_TURN, model: "gpt-4o" };
    const answer = app.sources.main.answer(askOf(turn), call as unknown as Call);
    if (answer instanceof Promise || answer.kind !== "script") throw new TypeError("No script");
    expect(Object.keys(answer)).toEqual(["kind", "script", "model", "cost"]);
    expect(call).toEqual({});
    return answer.script;
  };
  expect(ask()).toBe(ask());
  app.close();
});
