import { afterAll, beforeAll, expect, test } from "bun:test";
import { startWeir, type Weir } from "@weir-llm/weir/testing";
import { answer } from "../agent/agent.cjs";

let weir: Weir;
beforeAll(async () => {
  weir = await startWeir({ fixtures: `${import.meta.dir}/../agent/fixtures.yaml`, strict: true });
});
afterAll(() => weir.stop());

const weatherIn = () => ({ temperature: 21 });

// Each test has a session: fixtures, counters and requests of its own, so that it runs beside others.
test.concurrent("the agent calls its tool", async () => {
  const session = weir.session();
  const { baseURL, headers } = session;
  expect(await answer("How is the weather?", { baseURL, headers, weatherIn }))
    .toBe("It is 21 degrees.");
  await session.verify({ match: { toolResultFor: "get_weather" } }, 1);
});

test.concurrent("the agent waits when it is told to", async () => {
  const session = weir.session();
  const { baseURL, headers } = session;
  await session.next({ error: { message: "Slow down" }, status: 429, retryAfter: 0 });
  expect(await answer("Tell me a joke", { baseURL, headers, weatherIn })).toBe("Knock, knock.");
  const requests = await session.waitFor({}, { count: 2 });
  expect(requests.map(({ status }) => status)).toEqual([429, 200]);
});

test.concurrent("the agent says what is wrong", async () => {
  const session = weir.session();
  const { baseURL, headers } = session;
  await session.fixtures.add({
    match: { userMessage: { regex: "^Hello" } },
    response: { error: { message: "The model is away" }, status: 500 },
  });
  const answering = answer("Hello?", { baseURL, headers, weatherIn });
  await expect(answering).rejects.toThrow("The model is away");
});
