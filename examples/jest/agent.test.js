const { startWeir } = require("@weir-llm/weir/testing");
const { answer } = require("../agent/agent.cjs");

let weir;
beforeAll(async () => {
  weir = await startWeir({ fixtures: "../agent/fixtures.yaml", strict: true });
});
afterAll(() => weir.stop());
beforeEach(() => weir.reset());

const weatherIn = () => ({ temperature: 21 });

test("the agent calls its tool", async () => {
  const { baseURL } = weir;
  expect(await answer("How is the weather?", { baseURL, weatherIn })).toBe("It is 21 degrees.");
  await weir.verify({ match: { toolResultFor: "get_weather" } }, 1);
});

test("the agent waits when it is told to", async () => {
  const { baseURL } = weir;
  await weir.next({ error: { message: "Slow down" }, status: 429, retryAfter: 0 });
  expect(await answer("Tell me a joke", { baseURL, weatherIn })).toBe("Knock, knock.");
  await weir.verify({ match: { userMessage: "joke" } }, 2);
});
