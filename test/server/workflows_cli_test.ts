import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free_port.ts";
import { cleanEnv, makeFolder, run, waitFor, weirCommand } from "./launch.ts";
import { PROMPT, systemFile } from "./workflows_rig.ts";

/** Streams of the upstream that are open, and what each request said. */
let openStreams = 0;
let bodies: Record<string, unknown>[] = [];
let texts: string[] = [];
let keys: (string | null)[] = [];
/** Sends the next event of `/slow`; null = the end. */
let say: (text: string | null) => void = () => {};

function delta(content: string): string {
  return `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
}

const encoder = new TextEncoder();
const upstream = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    keys.push(request.headers.get("authorization"));
    const text = await request.text();
    texts.push(text);
    bodies.push(JSON.parse(text || "null") as Record<string, unknown>);
    if (pathname === "/echo") {
      return new Response(text, { headers: { "content-type": "application/json" } });
    }
    if (pathname === "/json") return Response.json({ text: "值", list: [1] });
    if (pathname === "/fail/chat/completions") return new Response("broken", { status: 500 });
    const headers = { "content-type": "text/event-stream" };
    if (pathname === "/flood/chat/completions") {
      const event = encoder.encode(delta("x".repeat(10_000)));
      openStreams++;
      return new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(event),
          cancel: () => void openStreams--,
        }),
        { headers },
      );
    }
    if (pathname === "/slow/chat/completions") {
      openStreams++;
      return new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(encoder.encode(delta("")));
            say = (text) =>
              text === null ? controller.close() : controller.enqueue(encoder.encode(delta(text)));
          },
          cancel: () => void openStreams--,
        }),
        { headers },
      );
    }
    return new Response(
      delta("") + delta("你好") + delta(" a\nb") + "data: [DONE]\n\n",
      { headers },
    );
  },
});
const BASE = `http://127.0.0.1:${upstream.port}`;

afterAll(async () => void await upstream.stop(true));

const HELLO = '{"prompt":"hello"}';
const KEY = { OPENAI_API_KEY: "sk-env" };

/** A running `weir`, whose output a test follows. */
function start(args: readonly string[], files: Record<string, string>, env = {}) {
  const folder = makeFolder(files);
  const child = Bun.spawn([...weirCommand(), ...args], {
    cwd: folder,
    env: cleanEnv(env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = { output: "", errors: "" };
  for (const [key, stream] of [["output", child.stdout], ["errors", child.stderr]] as const) {
    void (async () => {
      const decoder = new TextDecoder();
      for await (const bytes of stream) said[key] += decoder.decode(bytes, { stream: true });
    })();
  }
  return { folder, child, said };
}

describe("weir run", () => {
  const files = { "model-compose.yml": systemFile(BASE) };
  const input = JSON.stringify({ prompt: PROMPT, temperature: 0.7 });

  test("prints what the README's command gives", async () => {
    bodies = [];
    keys = [];
    expect(await run(["run", "--input", input], { files, env: KEY })).toEqual({
      code: 0,
      output: "你好 a\nb\n",
      errors: "",
    });
    expect(keys).toEqual(["Bearer sk-env"]);
    expect(bodies[0]).toEqual({
      model: "gpt-4o",
      messages: [{ role: "user", content: PROMPT }],
      temperature: 0.7,
      stream: true,
    });
  });

  test("prints each delta as it comes", async () => {
    openStreams = 0;
    const slow = { "model-compose.yml": systemFile(`${BASE}/slow`) };
    const { child, said } = start(["run", "-i", input], slow, KEY);
    await waitFor(() => openStreams === 1);
    say("one ");
    await waitFor(() => said.output === "one ");
    say("two");
    await waitFor(() => said.output === "one two");
    say(null);
    expect(await child.exited).toBe(0);
    await waitFor(() => said.output === "one two\n");
  });

  test("aborts the upstream on Ctrl-C, and leaves with 130", async () => {
    openStreams = 0;
    const slow = { "model-compose.yml": systemFile(`${BASE}/slow`) };
    const { child, said } = start(["run", "-i", input], slow, KEY);
    await waitFor(() => openStreams === 1);
    say("one");
    await waitFor(() => said.output === "one");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await waitFor(() => openStreams === 0);
    await waitFor(() => said.errors.includes("❌ Interrupted"));
    expect(said.output).toBe("one\n");
  });

  test("ends when nobody reads its output any more", async () => {
    openStreams = 0;
    const folder = makeFolder({ "model-compose.yml": systemFile(`${BASE}/flood`) });
    const command = [...weirCommand(), "run", "-i", HELLO].map((word) => `'${word}'`).join(" ");
    const child = Bun.spawn(["sh", "-c", `${command} | head -c 100000 | wc -c`], {
      cwd: folder,
      env: cleanEnv(KEY),
      stdout: "pipe",
      stderr: "ignore",
    });
    expect((await new Response(child.stdout).text()).trim()).toBe("100000");
    await waitFor(() => openStreams === 0);
  });

  test("takes the environment in model-compose's order", async () => {
    const env = { OPENAI_API_KEY: "sk-process" };
    const extra = {
      ...files,
      ".env": "OPENAI_API_KEY=sk-dotenv\n",
      "a.env": "OPENAI_API_KEY=sk-a\n",
      "b.env": "OPENAI_API_KEY=sk-b\n",
    };
    keys = [];
    await run(["run", "-i", HELLO], { files: extra });
    await run(["run", "-i", HELLO, "--env-file", "a.env", "--env-file", "b.env"], { files: extra });
    await run(["run", "-i", HELLO], { files: extra, env });
    await run(["run", "-i", HELLO, "-e", "OPENAI_API_KEY=sk-flag"], { files: extra, env });
    expect(keys).toEqual(
      ["sk-dotenv", "sk-b", "sk-process", "sk-flag"].map((key) => `Bearer ${key}`),
    );
  });

  const JSON_FILE = `workflows:
- {id: object, default: true, job: {}}
- {id: text, job: {output: "\${output.text}"}}
- {id: number, job: {output: "\${output.list[0]}"}}
- {id: nothing, job: {output: "\${output.no}"}}
- {id: chunks, job: {output: "\${output as sse-json}"}}
component: {type: http-client, endpoint: "${BASE}/json", body: "\${input}"}
`;

  for (
    const [workflow, output] of [
      ["object", '{\n  "text": "值",\n  "list": [\n    1\n  ]\n}\n'],
      ["text", "值\n"],
      ["number", "1\n"],
      ["nothing", ""],
      ["chunks", '{"text":"值","list":[1]}\n'],
    ] as const
  ) {
    test(`prints the output of ${workflow}`, async () => {
      const result = await run(["run", workflow], { files: { "model-compose.yml": JSON_FILE } });
      expect(result).toEqual({ code: 0, output, errors: "" });
    });
  }

  test("writes a file instead, and reads its input from standard input", async () => {
    const { folder, child } = (() => {
      const folder = makeFolder({ "model-compose.yml": JSON_FILE, "input.json": '{"q": "值"}' });
      const child = Bun.spawn([...weirCommand(), "run", "-i", "-", "-o", "out.json"], {
        cwd: folder,
        env: cleanEnv(),
        stdin: Bun.file(join(folder, "input.json")),
        stdout: "pipe",
        stderr: "pipe",
      });
      return { folder, child };
    })();
    bodies = [];
    expect(await child.exited).toBe(0);
    expect(await new Response(child.stdout).text()).toBe("");
    expect(JSON.parse(readFileSync(join(folder, "out.json"), "utf8"))).toEqual({
      text: "值",
      list: [1],
    });
    expect(bodies).toEqual([{ q: "值" }]);
  });

  test("tells with -v when jobs begin and end", async () => {
    const { code, errors } = await run(["run", "-v"], {
      files: { "model-compose.yml": JSON_FILE },
    });
    expect(code).toBe(0);
    const lines = errors.trim().split("\n").map((line) =>
      line.replace(/^\[task-[0-9A-Z]{26}\]/, "[T]").replace(/\d+\.\d\d seconds/, "N seconds")
    );
    expect(lines).toEqual([
      "[T] Workflow 'object' started.",
      "[T] Job '__job__' started.",
      "[T] Job '__job__' completed in N seconds.",
      "[T] Workflow 'object' completed in N seconds.",
    ]);
  });

  test("merges the files that -f names before the command", async () => {
    const result = await run(["-f", "a.yml", "-f", "b.yml", "run"], {
      files: {
        "a.yml":
          `workflow: {job: {output: first}}\ncomponent: {type: http-client, endpoint: x, body: {}}`,
        "b.yml": `workflow: {job: {output: second}}\ncomponent: {endpoint: "${BASE}/json"}`,
      },
    });
    expect(result).toEqual({ code: 0, output: "second\n", errors: "" });
  });

  for (
    const [name, args, code, message] of [
      ["input that is no JSON", ["run", "-i", "{bad"], 1, "❌ Invalid JSON provided for --input\n"],
      ["no input", ["run"], 1, "❌ Invalid input: prompt is missing\n"],
      [
        "an unknown input",
        ["run", "-i", '{"prompt":"x","temprature":1}'],
        1,
        "❌ Invalid input: temprature is not a known key: did you mean temperature?\n",
      ],
      [
        "a missing file",
        ["run", "-f", "file.yml", "-i", '{"doc":"none.txt"}'],
        1,
        "❌ Cannot read the file none.txt of the input: ENOENT\n",
      ],
      ["an unknown workflow", ["run", "nope"], 1, "❌ Workflow 'nope' not found.\n"],
      [
        "a workflow that fails",
        ["run", "-f", "fail.yml", "-i", HELLO],
        1,
        "❌ Request failed with status 500",
      ],
      [
        "a file with problems",
        ["run", "-f", "bad.yml"],
        1,
        "The workflow file has 2 problems:\n  bad.yml:1:23 workflow.input: ",
      ],
      ["a missing -f", ["run", "-f", "none.yml"], 2, "none.yml: there is no such file"],
      [
        "a missing --env-file",
        ["run", "--env-file", "none.env"],
        2,
        "none.env: there is no such file",
      ],
      ["a bad -e", ["run", "-e", "NOVALUE"], 2, "Invalid env entry: NOVALUE"],
      ["an unknown option", ["run", "--nope"], 2, "Unknown option '--nope'"],
      [
        "two workflows",
        ["run", "a", "b"],
        2,
        'Unexpected argument "b". It is: weir run [WORKFLOW]',
      ],
    ] as const
  ) {
    test(`leaves with ${code} for ${name}`, async () => {
      const result = await run(args, {
        files: {
          ...files,
          "file.yml": FILE_FILE,
          "fail.yml": systemFile(`${BASE}/fail`),
          "bad.yml": "workflow: {input: '${x', component: 5}",
        },
        env: KEY,
      });
      expect(result.errors).toContain(message);
      expect(result.code).toBe(code);
      expect(result.output).toBe("");
    });
  }

  const FILE_FILE = `workflow: {job: {}}
component: {type: http-client, endpoint: "${BASE}/json", body: {doc: "\${input.doc as file}"}}
`;

  for (const path of ["a.txt", "@./a.txt"]) {
    test(`reads the file ${path} where the workflow takes a file`, async () => {
      bodies = [];
      const files = { "model-compose.yml": FILE_FILE, "a.txt": "值" };
      const { code, errors } = await run(["run", "-i", JSON.stringify({ doc: path })], { files });
      expect([code, errors]).toEqual([0, ""]);
      expect(bodies).toEqual([{ doc: Buffer.from("值").toString("base64") }]);
    });
  }

  test("keeps the digits of long numbers, from the input to the output", async () => {
    const BIG = "12345678901234567890";
    texts = [];
    const files = {
      "model-compose.yml": `workflow: {job: {}}
component: {type: http-client, endpoint: "${BASE}/echo", body: {n: "\${input.n}"}}
`,
    };
    const { output } = await run(["run", "-i", `{"n":${BIG}}`], { files });
    expect(texts).toEqual([`{"n":${BIG}}`]);
    expect(output).toBe(`{\n  "n": ${BIG}\n}\n`);
  });

  test("runs the built-in workflow where there is no file", async () => {
    const result = await run(["run", "--input", input]);
    expect(result).toEqual({ code: 0, output: "powered by openai\n", errors: "" });
  });
});

/** Waits until weir has loaded everything: until then it may be too busy to hear of `weir down`. */
async function untilOk(url: string): Promise<void> {
  await waitFor(async () => {
    const { status } = await (await fetch(`${url}/health`)).json() as { status: string };
    return status === "ok";
  }, "health to be ok");
}

describe("weir up and down", () => {
  test("listens where the file says, and stops when down asks", async () => {
    const [port, pagePort] = [freePort(), freePort()];
    const text = systemFile(BASE).replace("8080", String(port)).replace("8081", String(pagePort));
    const { child, said, folder } = start(["up"], { "model-compose.yml": text }, KEY);
    await waitFor(() => said.output.includes(`listens on http://127.0.0.1:${port}`));
    for (const at of [port, pagePort]) {
      const response = await fetch(`http://127.0.0.1:${at}/api/workflows`);
      expect(await response.json()).toEqual([
        { workflow_id: "__workflow__", title: "Chat with OpenAI GPT-4o" },
      ]);
    }
    expect(said.output).toContain(`POST http://127.0.0.1:${port}/api/workflows/runs`);
    expect(said.output).toContain(`page: http://127.0.0.1:${pagePort}/\n`);
    expect(readFileSync(join(folder, "weir.pid"), "utf8")).toStartWith(`${child.pid} http://`);
    await untilOk(`http://127.0.0.1:${port}`);
    const down = Bun.spawn([...weirCommand(), "down"], { cwd: folder, env: cleanEnv() });
    expect(await down.exited).toBe(0);
    expect(await child.exited).toBe(0);
    expect(existsSync(join(folder, ".stop"))).toBe(false);
    expect(existsSync(join(folder, "weir.pid"))).toBe(false);
    rmSync(folder, { recursive: true });
  });

  test("lets --port win over the file, and warns when the page's port is taken", async () => {
    const taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const text = systemFile(BASE).replace("8080", "1").replace("8081", String(taken.port));
    const { child, said } = start(["up", "--port", "0"], { "model-compose.yml": text }, KEY);
    await waitFor(() => said.output.includes("workflows: __workflow__"));
    expect(said.output).not.toContain("127.0.0.1:1\n");
    await waitFor(() => said.errors.includes("warning: controller.webui"));
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    await taken.stop(true);
  });

  test("goes on in the background with -d", async () => {
    const text = systemFile(BASE).replace("8081", String(freePort()));
    const { child, said, folder } = start(["up", "-d", "--port", "0"], {
      "model-compose.yml": text,
    }, KEY);
    expect(await child.exited).toBe(0);
    await waitFor(() => said.output.includes("goes on"));
    const [, url] = /listens on (http:\/\/\S+)/.exec(said.output)!;
    const [, pid] = /process (\d+) goes on/.exec(said.output)!;
    try {
      const response = await fetch(`${url}/api/workflows/runs`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"input":{"prompt":"x"}}',
      });
      expect(await response.text()).toBe("data: \n\ndata: 你好\n\ndata:  a\ndata: b\n\n");
      await untilOk(url!);
      const log = readFileSync(join(folder, "weir.log"), "utf8");
      for (const again of [["up", "-d"], ["up"], ["up", "--port", "0"]]) {
        const second = Bun.spawn([...weirCommand(), ...again], {
          cwd: folder,
          env: cleanEnv(KEY),
          stderr: "pipe",
        });
        expect(await new Response(second.stderr).text()).toBe(
          `weir: weir up is already running (pid ${pid}) at ${url}: weir down ends it\n`,
        );
        expect(await second.exited).toBe(1);
      }
      expect(readFileSync(join(folder, "weir.log"), "utf8")).toBe(log);
    } finally {
      const down = Bun.spawn([...weirCommand(), "down"], { cwd: folder, env: cleanEnv() });
      expect(await down.exited).toBe(0);
      await waitFor(() => !isAlive(Number(pid)));
    }
    expect(readFileSync(join(folder, "weir.log"), "utf8")).toContain("listens on");
    rmSync(folder, { recursive: true });
  });

  test("starts with -d beside what a weir left that is gone", async () => {
    const text = systemFile(BASE).replace("8081", String(freePort()));
    const gone = Bun.spawn(["true"]);
    await gone.exited;
    for (const [pid, at] of [[gone.pid, "http://127.0.0.1:1"], [process.pid, "http://[::1]:1"]]) {
      const files = { "model-compose.yml": text, "weir.pid": `${pid} ${at}\n` };
      const { child, said, folder } = start(["up", "-d", "--port", "0"], files, KEY);
      expect(await child.exited).toBe(0);
      const [, url] = /listens on (http:\/\/\S+)/.exec(said.output)!;
      await untilOk(url!);
      const down = Bun.spawn([...weirCommand(), "down"], { cwd: folder, env: cleanEnv() });
      expect(await down.exited).toBe(0);
      await waitFor(() => !existsSync(join(folder, "weir.pid")));
      rmSync(folder, { recursive: true });
    }
  });

  for (const args of [["up"], ["up", "-d"]]) {
    test(`refuses ${args.join(" ")} where there is no workflow file`, async () => {
      const result = await run(args);
      expect(result.code).toBe(1);
      expect(result.errors).toContain(
        "There is no workflow file in this folder: weir up looks for " +
          "model-compose.yml and model-compose.yaml, or takes -f FILE",
      );
    });
  }

  test("says with -d why it could not start", async () => {
    const result = await run(["up", "-d"], { files: { "model-compose.yml": "workflow: 5" } });
    expect(result.code).toBe(1);
    expect(result.errors).toContain("model-compose.yml:1:11 workflow: must be a mapping");
  });

  test("says when there is nothing to stop", async () => {
    const result = await run(["down"]);
    expect(result.code).toBe(1);
    expect(result.errors).toContain("There is no weir up in this folder");
  });

  test("check reads the workflows too", async () => {
    const good = await run(["check"], {
      files: { "model-compose.yml": systemFile(BASE) },
      env: KEY,
    });
    expect(good.output).toContain("# model-compose.yml: ok. Workflows: __workflow__");
    const bad = await run(["check"], { files: { "model-compose.yml": systemFile(BASE) } });
    expect(bad.code).toBe(1);
    expect(bad.errors).toContain("model-compose.yml:21:27: Environment variable 'OPENAI_API_KEY'");
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
