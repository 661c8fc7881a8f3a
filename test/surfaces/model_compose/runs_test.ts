import { afterEach, describe, expect, test } from "bun:test";
import { Driver } from "../../../src/core/driver.ts";
import type { Event } from "../../../src/core/events.ts";
import type { Engine } from "../../../src/core/exchange.ts";
import { workflowRuns } from "../../../src/surfaces/model_compose/runs.ts";
import { builtinFile } from "../../../src/workflows/builtin.ts";
import { listen, urlOf } from "../../lib/http1/listen.ts";
import { realWheel, rig } from "../../workflows/rig.ts";

/** The surface on the built-in workflow, with what it tells and asks for. */
function surface(yaml = JSON.stringify(builtinFile("gpt-4o"))) {
  const outcomes: string[] = [];
  const engine: Engine = {
    wheel: realWheel(),
    streams: new Set(),
    watch: (event: Event) => {
      if (event.kind === "limit_reached") return; // the 413 that follows tells it too
      if (event.kind !== "exchange_ended") return void outcomes.push(event.kind);
      const { status, outcome, error } = event.exchange;
      outcomes.push(`${status} ${outcome} ${error?.message ?? ""}`.trim());
    },
    keepaliveMs: 0,
    writeTimeoutMs: 60_000,
  };
  const driver = new Driver(engine, {
    body_max_bytes: 1000,
    body_timeout_ms: 30_000,
    bodies_max_bytes: 1000,
  });
  const runs = workflowRuns({
    workflows: rig(yaml).engine,
    authorize: () => "ok",
    planFaults: () => {},
  });
  const server = listen((exchange) =>
    driver.answer(runs, { head: exchange.head, params: {}, body: exchange }, exchange)
  );
  clean.push(() => void server.stop(true));
  const post = (body: string, type = "application/json") =>
    fetch(urlOf(server), { method: "POST", headers: { "content-type": type }, body });
  return { post, outcomes, engine };
}

const clean: (() => void)[] = [];
afterEach(() => {
  for (const close of clean.splice(0)) close();
});

describe("workflowRuns", () => {
  test("streams a run", async () => {
    const { post, outcomes } = surface();
    const answer = await post('{"input":{"prompt":"hi"}}');
    expect(answer.headers.get("content-type")).toStartWith("text/event-stream");
    expect(await answer.text()).toStartWith("data: powered\n\n");
    expect(outcomes).toEqual(["200 completed"]);
  });

  for (
    const [body, outcome] of [
      ["{", /^400 refused Invalid request body: /],
      ['{"workflow_id":"x"}', /^404 refused Workflow 'x' not found\.$/],
      ["{}", /^400 refused Invalid input: prompt is missing$/],
      [
        '{"input":{"prompt":"x","promt":"y"}}',
        /^400 refused Invalid input: promt is not a known key: did you mean prompt\?$/,
      ],
      [
        '{"input":{"prompt":"x"},"output_only":false}',
        /^400 refused Streaming output is only allowed/,
      ],
      ['{"input":{"prompt":"x"},"wait_for_completion":false}', /^200 completed$/],
      [
        '{"input":{"prompt":"x","temperature":"hot"}}',
        /^200 upstream_failed Cannot convert "hot" to a number$/,
      ],
      [
        '{"input":{"prompt":"x","temperature":"hot"},"output_only":true}',
        /^500 upstream_failed Cannot convert/,
      ],
      [" ".repeat(2000), /^413 refused /],
    ] as const
  ) {
    test(`tells the watchers ${outcome} for ${body.slice(0, 60)}`, async () => {
      const { post, outcomes, engine } = surface();
      await (await post(body)).text();
      expect(outcomes).toHaveLength(1);
      expect(outcomes[0]).toMatch(outcome);
      expect(engine.streams.size).toBe(0);
    });
  }
});
