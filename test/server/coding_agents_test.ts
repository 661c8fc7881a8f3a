/**
 * Codex and Claude Code themselves, each in a home that is thrown away. They are no dependencies (they
 * have 424 and 235 MB): whoever has them on the path, or named in `CODEX` and `CLAUDE_CODE`, runs these.
 * An empty name says that there is none to be had here, and that it is to be done without.
 *
 * @module
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { answer } from "./chat_upstream.ts";
import { launch, makeFolder, TEST_MS_MAX, type Weir } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { passOn, tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY = "你好 🌊 from the mock";
const COMMAND = "echo weir-$((40+2))ran";

/** One program. */
interface CodingAgent {
  readonly name: string;
  readonly npmPackage: string;
  /** Where it is; "" = nowhere, and that is known. */
  readonly path: string | null;
  /** The words behind its path. */
  readonly words: (prompt: string) => readonly string[];
  /** What stands in its home. */
  readonly files: (url: string) => Readonly<Record<string, string>>;
  readonly env: (url: string, home: string) => Readonly<Record<string, string>>;
  /** How a model calls its shell. */
  readonly shell: { readonly name: string; readonly arguments: string };
  /** How its next request tells what came of a call. */
  readonly result: RegExp;
}

const AGENTS: readonly CodingAgent[] = [
  {
    name: "Codex",
    npmPackage: "@openai/codex",
    path: process.env["CODEX"] ?? Bun.which("codex"),
    words: (prompt) => ["exec", "--skip-git-repo-check", prompt],
    files: (url) => ({
      "config.toml": 'model = "gpt-5.2"\nmodel_provider = "weir"\n[model_providers.weir]\n' +
        `name = "weir"\nbase_url = "${url}/v1"\nenv_key = "WEIR_KEY"\nwire_api = "responses"\n`,
    }),
    env: (_url, home) => ({ CODEX_HOME: home, WEIR_KEY: "sk-test" }),
    shell: { name: "exec_command", arguments: JSON.stringify({ cmd: COMMAND }) },
    result: /"type":"function_call_output"/,
  },
  {
    name: "Claude Code",
    npmPackage: "@anthropic-ai/claude-code",
    path: process.env["CLAUDE_CODE"] ?? Bun.which("claude"),
    words: (prompt) => ["-p", prompt, "--allowedTools", "Bash"],
    files: () => ({}),
    env: (url) => ({
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_API_KEY: "sk-test",
      ANTHROPIC_MODEL: "claude-sonnet-4-5",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    }),
    shell: { name: "Bash", arguments: JSON.stringify({ command: COMMAND, description: "a test" }) },
    result: /"type":"tool_result"/,
  },
];

/** What `agent` says to `prompt` in an empty folder, with a home that nobody else has. */
async function run(agent: CodingAgent, url: string, prompt: string): Promise<string> {
  const home = makeFolder(agent.files(url));
  const work = join(home, "work");
  mkdirSync(work);
  try {
    const child = Bun.spawn([agent.path!, ...agent.words(prompt)], {
      cwd: work,
      env: { PATH: process.env["PATH"]!, HOME: home, ...agent.env(url, home) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [said, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect(await child.exited, said + errors).toBe(0);
    return said;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The chat API of a model that runs one command in `shell`, and says what came of it. */
function chatUpstream({ shell }: CodingAgent): ToldUpstream {
  return tellUpstream(({ path, body }) => {
    if (path !== "/v1/chat/completions") return new Response(null, { status: 404 });
    const { messages, tools = [] } = JSON.parse(body) as {
      readonly messages: readonly { readonly role: string; readonly content: unknown }[];
      readonly tools?: readonly { readonly function: { readonly name: string } }[];
    };
    const headers = { "content-type": "text/event-stream" };
    const { role, content } = messages.at(-1)!;
    const said = role === "tool" && (/weir-\w+/.exec(JSON.stringify(content))?.[0] ?? "nothing");
    // Without its shell it is asked for something else: a title.
    if (said !== false || !tools.some((tool) => tool.function.name === shell.name)) {
      return new Response(answer([{ content: "it said " }, { content: `${said} 水` }], "stop"), {
        headers,
      });
    }
    const { name, arguments: json } = shell;
    const start = { index: 0, id: "call_1", type: "function", function: { name, arguments: "" } };
    const deltas = [
      { content: "I try. " },
      { tool_calls: [start] },
      { tool_calls: [{ index: 0, function: { arguments: json } }] },
    ];
    return new Response(answer(deltas, "tool_calls"), { headers });
  });
}

for (const agent of AGENTS) {
  const tests = () => {
    test("hears the mock", async () => {
      const mock = await launch({ set: { "mock.reply": REPLY } });
      try {
        expect(await run(agent, mock.url, "say hello")).toContain(REPLY);
      } finally {
        await mock.stop();
      }
    });

    test("runs what the mock calls, and comes to an end (mock.tools: auto)", async () => {
      const mock = await launch({ set: { "mock.reply": REPLY, "mock.tools": "auto" } });
      const seen = tellUpstream((request) => passOn(mock.url, request));
      try {
        expect(await run(agent, seen.url, `Use ${agent.shell.name}.`)).toContain(REPLY);
        expect(seen.requests.filter(({ body }) => agent.result.test(body))).toHaveLength(1);
      } finally {
        seen.stop();
        await mock.stop();
      }
    });

    describe("over an upstream that knows the chat API alone", () => {
      let upstream: ToldUpstream;
      let weir: Weir;
      beforeAll(async () => {
        upstream = chatUpstream(agent);
        weir = await launch({ set: { "llm.base_url": `${upstream.url}/v1` } });
      });
      afterAll(async () => {
        await weir.stop();
        upstream.stop();
      });

      test("runs a command, and tells what came of it", async () => {
        expect(await run(agent, weir.url, "run it")).toContain("it said weir-42ran 水");
      });
    });
  };
  if (agent.path !== "") {
    describeWith(agent.path !== null, agent.npmPackage, agent.name, tests);
    continue;
  }
  process.stderr.write(`(skip) ${agent.name}: ${agent.npmPackage} is not to be had here\n`);
  describe.skip(agent.name, tests);
}
