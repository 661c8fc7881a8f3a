/**
 * Claude Code itself, in a home that is thrown away. It is no dependency (its package has 235 MB): install
 * it with `npm install -g @anthropic-ai/claude-code`, or name its executable in `CLAUDE_CODE`.
 *
 * @module
 */

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { launch, makeFolder, TEST_MS_MAX } from "../server/launch.ts";
import { tellUpstream } from "../server/told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const CLAUDE = process.env["CLAUDE_CODE"] || Bun.which("claude");
if (CLAUDE === null) {
  process.stderr.write("(skip) Claude Code: this machine has no claude\n");
}

/** What it says to `prompt` in an empty folder, and what is in that folder's `file` then. */
async function run(url: string, prompt: string, file = ""): Promise<readonly [string, string]> {
  const folder = makeFolder();
  const [home, work] = [join(folder, "home"), join(folder, "work")];
  mkdirSync(home);
  mkdirSync(work);
  try {
    const child = Bun.spawn(
      [CLAUDE!, "-p", prompt, "--output-format", "json", "--allowedTools", "Bash"],
      {
        cwd: work,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: home,
          ANTHROPIC_BASE_URL: url,
          ANTHROPIC_API_KEY: "sk-x",
          ANTHROPIC_MODEL: "claude-sonnet-4-5",
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      },
    );
    const output = await new Response(child.stdout).text();
    const { result } = JSON.parse(output) as { readonly result: string };
    return [result, file === "" ? "" : readFileSync(join(work, file), "utf8")];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface ChatRequest {
  readonly messages: readonly { readonly role: string }[];
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
}

function chunks(...deltas: readonly object[]): Response {
  const reason = deltas.some((delta) => "tool_calls" in delta) ? "tool_calls" : "stop";
  const choices = [
    ...deltas.map((delta) => ({ index: 0, delta, finish_reason: null })),
    { index: 0, delta: {}, finish_reason: reason },
  ];
  const events = choices.map((choice) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`);
  return new Response(`${events.join("")}data: [DONE]\n\n`, {
    headers: { "content-type": "text/event-stream" },
  });
}

describe.skipIf(CLAUDE === null)("Claude Code", () => {
  test("is answered by the mock", async () => {
    const weir = await launch({ set: { "mock.reply": "你好 🌊 from the mock" } });
    try {
      expect(await run(weir.url, "say hello")).toEqual(["你好 🌊 from the mock", ""]);
    } finally {
      await weir.stop();
    }
  });

  test("calls a tool over an upstream that knows chat completions only", async () => {
    const upstream = tellUpstream(({ body }) => {
      const { messages, tools = [] } = JSON.parse(body) as ChatRequest;
      if (messages.at(-1)!.role === "tool") return chunks({ content: "It is made 🌊." });
      if (!tools.some(({ function: { name } }) => name === "Bash")) {
        return chunks({ content: "ok" });
      }
      const command = '{"command":"echo 水 > made.txt","description":"make a file"}';
      return chunks(
        { content: "I make it. " },
        { tool_calls: [{ index: 0, id: "call_1", function: { name: "Bash", arguments: "" } }] },
        { tool_calls: [{ index: 0, function: { arguments: command } }] },
      );
    });
    const weir = await launch({
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.speaks": "[openai_chat]" },
    });
    try {
      expect(await run(weir.url, "make a file", "made.txt")).toEqual(["It is made 🌊.", "水\n"]);
    } finally {
      await weir.stop();
      upstream.stop();
    }
  });
});
