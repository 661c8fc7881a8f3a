import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { answer } from "./chat_agent.ts";
import { launch, makeFolder, TEST_MS_MAX, type Weir } from "./launch.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Codex is no dependency: it takes 400 MB. `CODEX` names it where it is not on the path. */
const CODEX = process.env["CODEX"] ?? Bun.which("codex");
if (CODEX === null) process.stderr.write("(skip) Codex: there is no codex on this machine\n");

const SSE = { headers: { "content-type": "text/event-stream" } };

/** The chat API of a model that runs one command, and says what came of it. */
function chatUpstream(): ToldUpstream {
  return tellUpstream(({ path, body }) => {
    if (path !== "/v1/chat/completions") return new Response(null, { status: 404 });
    const { messages } = JSON.parse(body);
    const last = messages.at(-1);
    if (last.role === "tool") {
      const said = /weir-\w+/.exec(last.content)?.[0] ?? "nothing";
      return new Response(
        answer([{ content: "it said " }, { content: `${said} 水` }], "stop"),
        SSE,
      );
    }
    const call = { name: "exec_command", arguments: '{"cmd":"echo weir-$((40+2))ran"}' };
    const deltas = [{ tool_calls: [{ index: 0, id: "call_1", type: "function", function: call }] }];
    return new Response(answer(deltas, "tool_calls"), SSE);
  });
}

describe.skipIf(CODEX === null)("Codex", () => {
  let upstream: ToldUpstream;
  let mock: Weir;
  let weir: Weir;
  beforeAll(async () => {
    upstream = chatUpstream();
    mock = await launch({ set: { "mock.reply": "powered by 水" } });
    weir = await launch({ set: { "llm.base_url": `${upstream.url}/v1` } });
  });
  afterAll(async () => {
    await Promise.all([mock.stop(), weir.stop()]);
    upstream.stop();
  });

  /** What it says to `prompt`, in a home that nobody else has. */
  async function run({ url }: Weir, prompt: string): Promise<string> {
    const home = makeFolder({
      "config.toml": 'model = "gpt-5.2"\nmodel_provider = "weir"\n[model_providers.weir]\n' +
        `name = "weir"\nbase_url = "${url}/v1"\nenv_key = "WEIR_KEY"\nwire_api = "responses"\n`,
    });
    const work = join(home, "work");
    mkdirSync(work);
    const child = Bun.spawn([CODEX!, "exec", "--skip-git-repo-check", prompt], {
      cwd: work,
      env: { PATH: process.env["PATH"]!, HOME: home, CODEX_HOME: home, WEIR_KEY: "sk-test" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [said, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect(await child.exited, errors).toBe(0);
    rmSync(home, { recursive: true });
    return said;
  }

  test("hears the mock", async () => {
    expect(await run(mock, "say hello")).toContain("powered by 水");
  });

  test("runs a command over an upstream that knows the chat API alone", async () => {
    expect(await run(weir, "run it")).toContain("it said weir-42ran 水");
  });
});
