import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { freePort } from "./free_port.ts";
import { launch, waitFor, type Weir } from "./launch.ts";
import { SETTINGS, STREAMING_SURFACES, type StreamingSurface } from "./streaming_surfaces.ts";
import { isSurrounded, surroundings } from "./surroundings.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

/** Longer than any test: what waits for it never comes. */
const NEVER_MS = 600_000;

/** A page of this machine, which may ask: whether others may, doors_test.ts says. */
const PAGE = "http://localhost:3000";

const COMMENT = ": keep-alive\n\n";

function ask(weir: Weir, surface: StreamingSurface, signal?: AbortSignal): Promise<Response> {
  return fetch(weir.url + surface.path, {
    method: "POST",
    headers: { "content-type": "application/json", "origin": PAGE, ...surface.headers },
    body: JSON.stringify(surface.body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** `text` without the blanks that Anthropic pads its events with. */
function unpadded(text: string): string {
  return text.replaceAll(/ +}$/gm, "}");
}

/** Reads a response piece by piece. */
function reader(response: Response) {
  const stream = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  return {
    /** Reads on until `isEnough` of all that came. Ends with the stream. */
    async until(isEnough: (text: string) => boolean): Promise<string> {
      while (!isEnough(text)) {
        const { done, value } = await stream.read();
        if (done) break;
        text += decoder.decode(value, { stream: true });
      }
      return text;
    },
    cancel: () => stream.cancel(),
  };
}

/** Reads the rest of an answer that fails, and expects that nobody can take it for a whole one. */
async function expectFailure(
  answer: ReturnType<typeof reader>,
  surface: StreamingSurface,
  reason: string,
): Promise<void> {
  if (surface.error === "") {
    await expect(answer.until(() => false)).rejects.toThrow("closed unexpectedly");
    return;
  }
  const text = await answer.until(() => false);
  expect(text).toContain(surface.error);
  expect(text).toContain(reason);
  expect(text.endsWith("data: [DONE]\n\n")).toBe(surface.endsErrors === true);
}

async function streamsOpen(weir: Weir): Promise<unknown> {
  return (await weir.health())["streams_open"];
}

describe("every streaming surface, answered by the mock", () => {
  let quick: Weir;
  let slow: Weir;
  let silent: Weir;
  beforeAll(async () => {
    [quick, slow, silent] = await Promise.all([
      launch({ set: { "mock.reply": "一 two 🌊 four", "mock.delay_ms": 1 } }),
      launch({ set: { "mock.delay_ms": NEVER_MS, "server.keepalive_ms": 20 } }),
      launch({ set: { "mock.first_token_ms": NEVER_MS, "server.keepalive_ms": 20 } }),
    ]);
  });
  afterAll(() => Promise.all([quick.stop(), slow.stop(), silent.stop()]));

  for (const surface of STREAMING_SURFACES) {
    test(`${surface.path} says the reply, every character intact, and its end`, async () => {
      const response = await ask(quick, surface);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("text/event-stream");
      expect(response.headers.get("cache-control")).toBe("no-cache");
      expect(["*", PAGE]).toContain(response.headers.get("access-control-allow-origin")!);
      const text = await response.text();
      expect(surface.said(text)).toBe("一 two 🌊 four");
      expect(unpadded(text)).toEndWith(surface.end);
      expect(text.includes("[DONE]")).toBe(surface.end.includes("[DONE]"));
      const form = surface.hasEventLines
        ? /^event: \S+\ndata: [^\r\n]+$/
        : /^(?:event: \S+\n)?data: [^\r\n]+$/;
      expect(text.split("\n\n").slice(0, -1).every((event) => form.test(event))).toBe(true);
    });

    test(`${surface.path}: a client that leaves frees its stream at once`, async () => {
      const answer = reader(await ask(slow, surface));
      await answer.until((text) => surface.said(text) !== "");
      await waitFor(async () => await streamsOpen(slow) === 1);
      await answer.cancel();
      await waitFor(async () => await streamsOpen(slow) === 0);
    });

    test(`${surface.path}: a client that leaves before the first word leaves nothing`, async () => {
      const leaving = new AbortController();
      const asked = ask(slowStart, surface, leaving.signal).catch(() => undefined);
      await waitFor(async () => await streamsOpen(slowStart) === 1);
      leaving.abort();
      await asked;
      await waitFor(async () => await streamsOpen(slowStart) === 0);
    });

    if (!surface.opensLate) {
      test(`${surface.path}: silence before the first word is filled with comments`, async () => {
        const answer = reader(await ask(silent, surface));
        const text = await answer.until((text) => text.split(COMMENT).length > 2);
        expect(surface.said(text)).toBe("");
        if (!surface.opensAtOnce) expect(text.replaceAll(COMMENT, "")).toBe("");
        await answer.cancel();
        await waitFor(async () => await streamsOpen(silent) === 0);
      });
    }

    test(`${surface.path}: silence between two words is filled with comments`, async () => {
      const answer = reader(await ask(slow, surface));
      const text = await answer.until((text) => text.split(COMMENT).length > 2);
      expect(text).toEndWith(`\n\n${COMMENT}${COMMENT}`);
      expect(surface.said(text)).toBe(surface.cutsAfterBlank ? "powered " : "powered");
      await answer.cancel();
      await waitFor(async () => await streamsOpen(slow) === 0);
    });

    test(`${surface.path}: a shutdown ends its stream with an error`, async () => {
      const weir = await launch({ set: { "mock.delay_ms": NEVER_MS, "server.drain_ms": 50 } });
      try {
        const answer = reader(await ask(weir, surface));
        await answer.until((text) => surface.said(text) !== "");
        weir.kill("SIGTERM");
        await expectFailure(answer, surface, "shutting down");
        expect(await weir.exited).toBe(0);
      } finally {
        await weir.stop();
      }
    });
  }

  let slowStart: Weir;
  beforeAll(async () => {
    slowStart = await launch({
      set: { "mock.first_token_ms": NEVER_MS, "server.keepalive_ms": 0 },
    });
  });
  afterAll(() => slowStart.stop());
});

describe("every streaming surface, answered by an upstream", () => {
  let upstream: ToldUpstream;
  let weir: Weir;
  beforeAll(async () => {
    upstream = tellUpstream();
    weir = await launch({
      env: surroundings(),
      set: {
        ...SETTINGS,
        "llm.base_url": `${upstream.url}/v1`,
        "llm.api_key": "sk-up",
        "llm.speaks": "[openai_chat]",
        // Waited for where the upstream falls silent, and kept elsewhere on a busy machine, too.
        "llm.idle_timeout_ms": 2000,
        "llm.retries": 0,
      },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
  });

  /** Asks, and gives the answer once the upstream has said "一". */
  async function begin(surface: StreamingSurface) {
    const index = upstream.requests.length;
    const asked = ask(weir, surface);
    const told = await upstream.told(index);
    told.say("一");
    const response = await asked;
    expect(response.status).toBe(200);
    return { told, answer: reader(response), seen: upstream.requests[index]! };
  }

  for (const surface of STREAMING_SURFACES) {
    test(`${surface.path} passes each piece on before the next one comes`, async () => {
      const { told, answer, seen } = await begin(surface);
      expect(seen.path).toBe(surface.asksAt ?? "/v1/chat/completions");
      expect(seen.headers.get("authorization")).toBe("Bearer sk-up");
      await answer.until((text) => surface.said(text) === "一");
      told.say(" 🌊");
      await answer.until((text) => surface.said(text) === "一 🌊");
      told.finish();
      expect(unpadded(await answer.until(() => false))).toEndWith(surface.end);
    });

    test(`${surface.path} says a character whole whose halves come one by one`, async () => {
      const { told, answer } = await begin(surface);
      for (const text of ["\ud83c", "\udf0a水\ud83c", "", "\udf0a", "\ud83c"]) told.say(text);
      told.finish();
      const text = await answer.until(() => false);
      if (surface.isRelayed) {
        expect(text).toContain('"\\ud83c"');
        expect(surface.said(text)).toBe("一🌊水🌊\ud83c");
        return;
      }
      // Each event holds what its client can show.
      expect(text).not.toMatch(/\\ud[89a-f]/);
      for (const said of ["🌊水", "🌊", "\ufffd"]) expect(text).toContain(said);
      expect(surface.said(text)).toBe("一🌊水🌊\ufffd");
    });

    test(`${surface.path}: a client that leaves stops the upstream`, async () => {
      const { told, answer } = await begin(surface);
      await answer.until((text) => surface.said(text) !== "");
      await answer.cancel();
      await waitFor(told.isLeft, "the upstream hears that the client left");
      await waitFor(async () => await streamsOpen(weir) === 0);
    });

    test(`${surface.path}: an upstream that breaks off is never made to look whole`, async () => {
      const { told, answer } = await begin(surface);
      await answer.until((text) => surface.said(text) !== "");
      told.break();
      await expectFailure(answer, surface, "upstream");
    });

    test(`${surface.path}: an upstream that falls silent is given up`, async () => {
      const { told, answer } = await begin(surface);
      await expectFailure(answer, surface, "llm.idle_timeout_ms");
      await waitFor(told.isLeft, "the upstream hears that it was given up");
    });
  }
});

describe("every streaming surface, with an upstream that is not there", () => {
  let weir: Weir;
  beforeAll(async () => {
    const gone = `http://127.0.0.1:${freePort()}/v1`;
    weir = await launch({ env: surroundings(), set: { "llm.base_url": gone, "llm.retries": 0 } });
  });
  afterAll(() => weir.stop());

  for (const surface of STREAMING_SURFACES) {
    const [status, start] = surface.unreachable;
    test(`${surface.path} answers ${status}`, async () => {
      const response = await ask(weir, surface);
      expect(response.status).toBe(status);
      expect(["*", PAGE]).toContain(response.headers.get("access-control-allow-origin")!);
      const text = await response.text();
      if (start === "") {
        expect(text).toBe("");
        expect(response.headers.get("weir-error")).toContain("Cannot reach the upstream");
      } else {
        expect(text).toStartWith(start);
        expect(text).toContain("Cannot reach the upstream");
      }
    });
  }
});

describe("every streaming surface, with an upstream that redirects", () => {
  let target: ToldUpstream;
  let upstream: ToldUpstream;
  let weir: Weir;
  beforeAll(async () => {
    target = tellUpstream();
    const location = `${target.url}/v1/chat/completions?key=sk-elsewhere`;
    upstream = tellUpstream(() => new Response(null, { status: 307, headers: { location } }));
    weir = await launch({
      env: surroundings(),
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 2 },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
    target.stop();
  });

  for (const surface of STREAMING_SURFACES) {
    const [status, start] = surface.unreachable;
    test(`${surface.path} answers ${status}, says where to and what to set, and goes nowhere`, async () => {
      const asked = upstream.requests.length;
      const response = await ask(weir, surface);
      expect(response.status).toBe(status);
      const text = await response.text() + (response.headers.get("weir-error") ?? "");
      expect(text).toStartWith(start);
      expect(text).toContain(`a redirect to ${target.url}, which weir does not follow`);
      expect(text).toContain("llm.base_url");
      expect(text).not.toContain("sk-elsewhere");
      expect(upstream.requests.length).toBe(asked + 1);
      expect(target.requests).toEqual([]);
    });
  }
});

describe("every streaming surface, with an upstream that says when to come again", () => {
  const LATER = { "retry-after": "61" };
  const NEVER = { "retry-after": "0", "x-should-retry": "false" };
  let headers: Record<string, string> = LATER;
  let upstream: ToldUpstream;
  let weir: Weir;
  beforeAll(async () => {
    upstream = tellUpstream(() =>
      Response.json({ error: { message: "slow down" } }, { status: 429, headers })
    );
    weir = await launch({
      env: surroundings(),
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 2 },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
  });

  for (const surface of STREAMING_SURFACES) {
    test(`${surface.path} asks once, and passes that down where its status is one of HTTP`, async () => {
      for (headers of [LATER, NEVER]) {
        const asked = upstream.requests.length;
        const response = await ask(weir, surface);
        await response.text();
        expect(upstream.requests.length).toBe(asked + 1);
        if (response.status === 200) continue;
        for (const [name, value] of Object.entries(headers)) {
          expect([name, response.headers.get(name)]).toEqual([name, value]);
        }
      }
    });
  }
});

test("an upstream that refuses stream_options is asked without them, and that is remembered", async () => {
  const upstream = tellUpstream(({ body }) =>
    body.includes("stream_options")
      ? Response.json({ detail: "stream_options: Extra inputs" }, { status: 422 })
      : undefined
  );
  const weir = await launch({
    env: surroundings(),
    set: {
      "llm.base_url": `${upstream.url}/v1`,
      "llm.speaks": "[openai_chat]",
      "llm.retries": 0,
      "ops.log": "requests",
    },
  });
  const isPlain = ({ body }: ToldUpstream["requests"][number]) => !body.includes("stream_options");
  const lastPlain = () => upstream.requests.findLastIndex(isPlain);
  for (const surface of STREAMING_SURFACES) {
    const before = lastPlain();
    const asked = ask(weir, surface);
    await waitFor(() => lastPlain() > before, "a request without stream_options");
    const told = await upstream.told(lastPlain());
    told.say("水 🌊");
    told.finish();
    expect(surface.said(await (await asked).text())).toBe("水 🌊");
  }
  expect(upstream.requests.length - upstream.requests.filter(isPlain).length).toBe(1);
  // Those of /v1/responses, /v1/messages, /api/chat, /conv and /v1/response: a workflow's job is no
  // request.
  const counted = () =>
    weir.errors().match(/"tokens_in":\d+,"tokens_out":[1-9],"tokens_estimated"/g);
  const isEnough = (count = 0) => isSurrounded() ? count >= 5 : count === 5; // routes count all usage
  await waitFor(() => isEnough(counted()?.length), "the lines of the answers that weir counted");
  const metrics = await (await fetch(`${weir.url}/metrics`)).text();
  expect(metrics).toMatch(/weir_tokens_total\{source="proxy",direction="out"\} [1-9]/);
  await weir.stop();
  upstream.stop();
});
