/** Two weirs and one Redis: limits of keys, breakers, and what happens when it is killed or silent. */

import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { postgresPrograms, startPostgres } from "../memory/postgres_server.ts";
import {
  REDIS_ABSENT,
  redisProgram,
  type RedisServer,
  startRedis,
} from "../shared/redis_server.ts";
import { launch, type LaunchOptions, run, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { CHAT } from "./proxied.ts";
import { act, response, type Script, scriptedUpstream } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const KEY = "sk-shared-key";
const HEADERS = { "content-type": "application/json", authorization: `Bearer ${KEY}` };

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** On a connection of its own, so that any worker may get it. */
async function chat({ url }: Weir, model = "gpt-4o"): Promise<Answer> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { ...HEADERS, connection: "close" },
    body: CHAT.replace('"stream":true,', "").replace("gpt-4o", model),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** How many of `tries` requests at each of `weirs` are let in, all at once. */
async function letIn(weirs: readonly Weir[], tries: number): Promise<number> {
  const answers = await Promise.all(
    weirs.flatMap((weir) => Array.from({ length: tries }, () => chat(weir))),
  );
  for (const { status, text } of answers) expect([200, 429], text).toContain(status);
  return answers.filter(({ status }) => status === 200).length;
}

describeWith(redisProgram() !== null, REDIS_ABSENT, "two weirs and one Redis", () => {
  let redis: RedisServer;

  async function redisOfOwn(password = ""): Promise<RedisServer> {
    redis = await startRedis(password);
    running.push(redis.stop);
    return redis;
  }

  async function weir(
    limits: object,
    { set, ...options }: LaunchOptions = {},
    workers = 1,
  ): Promise<Weir> {
    const made = await launch({
      ...options,
      set: {
        "server.workers": workers,
        "auth.token": "root-secret",
        keys: JSON.stringify([{ name: "ci", token: KEY, ...limits }]),
        "shared.url": redis.url,
        "shared.timeout_ms": 30_000, // a machine that is busy is no Redis that is away
        ...set,
      },
    });
    running.push(async () => {
      const children = childrenOf(made.pid);
      await made.stop();
      for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    });
    await waitFor(() => workers === 1 || made.output().includes(`workers: ${workers}`), "workers");
    return made;
  }

  /** Until all of `weirs` say that Redis is so. */
  async function shared(weirs: readonly Weir[], state: "ok" | "away"): Promise<void> {
    for (const { health } of weirs) {
      await waitFor(async () => (await health())["shared"] === state, `shared: ${state}`);
    }
  }

  test("a key has its limit once, however many nodes and workers there are", async () => {
    await redisOfOwn();
    const weirs = [
      await weir({ requests_per_day: 60 }, {}, 2),
      await weir({ requests_per_day: 60 }),
    ];
    await shared(weirs, "ok");
    const count = await letIn(weirs, 50);
    expect(count).toBeLessThanOrEqual(60);
    expect(count).toBeGreaterThanOrEqual(50); // who has nothing more to do may hold an eighth
    const refused = await waitFor(async () => {
      const answer = await chat(weirs[1]!);
      return answer.status === 429 && answer;
    }, "a refusal");
    expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(JSON.parse(refused.text).error.code).toBe("rate_limit_exceeded");
  });

  test("tokens are counted once for all, by what answers have really cost", async () => {
    await redisOfOwn();
    const weirs = [await weir({ tokens_per_day: 3000 }), await weir({ tokens_per_day: 3000 })];
    await shared(weirs, "ok");
    let tokens = 0;
    let isOver = false;
    for (let i = 0; i < 600 && !isOver; i++) {
      const { status, text } = await chat(weirs[i % 2]!);
      if (status === 200) tokens += JSON.parse(text).usage.total_tokens;
      isOver = status === 429;
    }
    expect(isOver).toBe(true);
    // An answer is taken for its question until it has ended.
    expect(tokens).toBeGreaterThan(2700);
    expect(tokens).toBeLessThan(3100);
  });

  test("Redis killed: each holds the limit, says so, and joins again without a new start", async () => {
    await redisOfOwn();
    const weirs = [
      await weir({ requests_per_day: 30 }, {}, 2),
      await weir({ requests_per_day: 30 }),
    ];
    await shared(weirs, "ok");
    expect(await letIn([weirs[0]!], 10)).toBe(10);
    await redis.crash();
    await shared(weirs, "away");
    for (const { url } of weirs) {
      const health = await fetch(`${url}/health`);
      expect(health.status).toBe(200);
      expect(await health.json()).toMatchObject({ status: "degraded", shared: "away" });
    }
    // Both workers have one limit, less what they had let in before; one may have held what the other lacks.
    const alone = await letIn([weirs[0]!], 40);
    expect(alone).toBeGreaterThan(10);
    expect(alone).toBeLessThanOrEqual(20);
    expect(await letIn([weirs[1]!], 40)).toBe(30);
    await redis.start();
    await shared(weirs, "ok");
    await waitFor(async () => (await weirs[0]!.health())["status"] === "ok");
    expect(await letIn(weirs, 10)).toBe(0);
    const metrics = await fetch(`${weirs[1]!.url}/metrics`, {
      headers: { authorization: "Bearer root-secret" },
    });
    const text = await metrics.text();
    expect(text).toContain("\nweir_shared_failures_total 1\n");
    expect(text).toContain("\nweir_shared_away 0\n");
    const kinds = weirs[1]!.errors().match(/"shared_\w+"/g);
    expect(kinds).toEqual(['"shared_failed"', '"shared_recovered"']);
  });

  test("Redis silent: requests are answered by the node's own limits", async () => {
    await redisOfOwn();
    const set = { "shared.timeout_ms": 500 };
    const one = await weir({ requests_per_day: 1000, concurrent_max: 30 }, { set });
    await shared([one], "ok");
    redis.freeze();
    running.push(redis.thaw);
    // Whoever leaves while Redis is asked leaves nothing behind.
    await Promise.allSettled(Array.from({ length: 20 }, async () => {
      const signal = AbortSignal.timeout(50);
      await fetch(`${one.url}/v1/chat/completions`, {
        method: "POST",
        headers: HEADERS,
        body: CHAT,
        signal,
      });
    }));
    await shared([one], "away");
    expect((await chat(one)).status).toBe(200);
    expect(await letIn([one], 20)).toBe(20);
    redis.thaw();
    await shared([one], "ok");
    expect(await letIn([one], 20)).toBe(20);
  });

  test("streams of a node that was killed count no more after a while", async () => {
    await redisOfOwn();
    const slow = { set: { "mock.first_token_ms": 600_000 } };
    const [one, two] = [await weir({ concurrent_max: 1 }, slow), await weir({ concurrent_max: 1 })];
    await shared([one, two], "ok");
    const held = chat(one).catch(() => {});
    await waitFor(async () => (await one.health())["streams_open"] === 1);
    expect((await chat(two)).status).toBe(429);
    one.kill("SIGKILL");
    await held;
    await waitFor(async () => (await chat(two)).status === 200, "its seat");
  });

  test("what a node holds goes back when it ends", async () => {
    await redisOfOwn();
    const [one, two] = [
      await weir({ requests_per_day: 1000 }),
      await weir({ requests_per_day: 1000 }),
    ];
    await shared([one, two], "ok");
    expect(await letIn([one], 50)).toBe(50);
    one.kill("SIGTERM");
    expect(await one.exited).toBe(0);
    for (let i = 0; i < 19; i++) expect(await letIn([two], 50)).toBe(50);
    expect(await letIn([two], 10)).toBe(0);
  });

  test("a breaker that one opens is open on the other, and one tries for both", async () => {
    await redisOfOwn();
    let script: Script = () => [act.send(response("{}", {}, "500 No"))];
    const upstream = scriptedUpstream((request) => script(request));
    running.push(() => upstream.close());
    const files = {
      "config.yaml": `upstreams:
  - {name: up, base_url: "${upstream.url}/v1", retries: 0, breaker_min: 3, breaker_open_ms: 6000}
routes: [{to: [up]}]
`,
    };
    const [one, two] = [await weir({}, { files }), await weir({}, { files })];
    await shared([one, two], "ok");
    const state = async ({ health }: Weir) =>
      ((await health())["upstreams"] as { readonly breaker: string }[])[0]!.breaker;
    for (let i = 0; i < 3; i++) await chat(one);
    await waitFor(async () => await state(two) === "open", "the other one to open");
    expect((await chat(two)).status).toBe(503);
    expect(upstream.requests.length).toBe(3);
    await waitFor(async () => await state(one) === "half_open", "it to be half open");
    expect(await state(two)).toBe("open"); // it leaves the first try to the other
    script = () => [act.send(response('{"choices":[]}'))];
    expect((await chat(one)).status).toBe(200);
    expect(await state(one)).toBe("closed");
    await waitFor(async () => await state(two) === "closed", "the other one to close");
    expect((await chat(two)).status).toBe(200);
  });

  test("what one keeps of answers the other gives, until Redis is away", async () => {
    await redisOfOwn();
    const answer = '{"choices":[{"index":0,"message":{"role":"assistant","content":"水"},' +
      '"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}';
    const json = { "content-type": "application/json" };
    const upstream = scriptedUpstream(() => [act.send(response(answer, json))]);
    running.push(() => upstream.close());
    const files = {
      "config.yaml": `upstreams: [{name: up, base_url: "${upstream.url}/v1"}]
routes: [{to: [up], cache: {}}]
`,
    };
    const [one, two] = [await weir({}, { files }), await weir({}, { files })];
    await shared([one, two], "ok");
    let model = "";
    // Each connects for bytes with its first question, so the first ones may come too early.
    await waitFor(async () => {
      model = `model-${upstream.requests.length}`;
      await chat(one, model);
      const { headers, text } = await chat(two, model);
      expect(text).toBe(answer);
      return headers.get("x-weir-cache") === "hit";
    });
    const asked = upstream.requests.filter(({ body }) => body.includes(`"${model}"`));
    expect(asked.length).toBe(1);
    await redis.crash();
    await shared([one, two], "away");
    expect((await chat(two, "another")).text).toBe(answer);
  });

  test("a wrong password is said in the log, and no password is shown anywhere", async () => {
    await redisOfOwn("right-secret-word");
    const url = redis.url.replace("right-", "wrong-");
    const one = await weir({ requests_per_day: 5 }, { set: { "shared.url": url } });
    await shared([one], "away");
    expect(await letIn([one], 10)).toBe(5);
    expect(one.errors()).toContain("it refuses the user and the password");
    const checked = await run(["check", "--set", `shared.url=${url}`]);
    expect(checked.output).toContain(`url: redis://:***@127.0.0.1:${redis.port}`);
    const shown = one.errors() + one.output() + JSON.stringify(await one.health()) +
      checked.output + checked.errors;
    expect(shown).not.toContain("secret-word");
  });

  const programs = postgresPrograms();
  test.skipIf(programs === undefined && process.env["CI"] !== "true")(
    "Redis and Postgres killed and there again: every answer is counted, no limit is lost",
    async () => {
      await redisOfOwn();
      const postgres = await startPostgres(programs!);
      running.push(postgres.stop);
      const set = { "store.url": await postgres.makeDatabase(), "store.usage": "on" };
      const weirs = [
        await weir({ requests_per_day: 40 }, { set }),
        await weir({ requests_per_day: 40 }, { set }),
      ];
      await shared(weirs, "ok");
      let answered = await letIn(weirs, 5);
      expect(answered).toBe(10);
      await Promise.all([redis.crash(), postgres.crash()]);
      await shared(weirs, "away");
      const alone = await letIn(weirs, 10);
      expect(alone).toBe(20);
      answered += alone;
      await Promise.all([redis.start(), postgres.start()]);
      await shared(weirs, "ok");
      const rest = await letIn(weirs, 40);
      // Redis has forgotten everything, and was told of what a node knows of: 15 to 20 of 40, or what was lent.
      expect(rest).toBeGreaterThanOrEqual(12);
      expect(rest).toBeLessThanOrEqual(25);
      answered += rest;
      await waitFor(async () => await counted(weirs[0]!) === answered, "all to be counted");
      await waitFor(async () => (await weirs[0]!.health())["status"] === "ok");
    },
  );
});

/** Requests among the usage that is kept. */
async function counted({ url }: Weir): Promise<number> {
  const answer = await fetch(`${url}/__weir/usage?by=key`, {
    headers: { authorization: "Bearer root-secret" },
  });
  if (!answer.ok) return -1;
  const { usage } = await answer.json() as {
    readonly usage: readonly { readonly requests: number }[];
  };
  return usage.reduce((sum, { requests }) => sum + requests, 0);
}
