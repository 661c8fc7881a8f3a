/** Every example of every command's help, typed into a shell. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../../src/cli.ts";
import {
  cleanEnv,
  launch,
  makeFolder,
  run,
  TEST_MS_MAX,
  waitFor,
  type Weir,
  weirCommand,
} from "../server/launch.ts";
import { tapeFile, tapeText } from "../../src/sources/tape/format.ts";
import { answer, capture, cassette, question, stream } from "../sources/recordings/cassettes.ts";
import { toldId, toldTape } from "../sources/tape/told_tape.ts";

setDefaultTimeout(TEST_MS_MAX);

/** The address of the server that examples speak of. */
const SHOWN_URL = "http://127.0.0.1:8080";

/** What a line is to do, or "serves": it goes on until it is stopped. */
type Expected = "serves" | {
  readonly codes: readonly number[];
  readonly output: RegExp;
  /** A file that it makes. */
  readonly file?: string;
};

const MEASURED = { codes: [0, 1, 3], output: /\d+ of \d+ streams whole|"completed": \d+/ };

/** By the line. Whether a busy machine's measurement is valid is not asserted. */
const EXPECTED: Readonly<Record<string, Expected>> = {
  "weir": "serves",
  "weir serve --port 0 --set mock.delay_ms=0": "serves",
  "OPENAI_API_KEY=sk-1 weir serve --set llm.base_url=https://api.openai.com/v1": "serves",
  "weir serve --fixtures fixtures/": "serves",
  "weir up": "serves",
  "weir -f model-compose.yml up -d": { codes: [0], output: /goes on/, file: "weir.log" },
  "weir down": { codes: [0], output: /^weir stops/ },
  [`weir run --input '{"prompt":"Hello"}'`]: { codes: [0], output: /^powered by openai\n$/ },
  [`echo '{"prompt":"Hello"}' | weir run -f model-compose.yml -i - -o answer.txt`]: {
    codes: [0],
    output: /^$/,
    file: "answer.txt",
  },
  "weir check": { codes: [0], output: /^# config\.yaml: ok/ },
  "weir check config.yaml --set mock.delay_ms=0": { codes: [0], output: /delay_ms: 0 # --set/ },
  "weir faults": { codes: [0], output: /^refuse +the connection is reset[^]*\nclose-idle .*\n$/ },
  "weir fixtures check fixtures/": { codes: [0], output: /^ok: 1 fixture in 1 file\n$/ },
  "weir fixtures test fixtures/ --request body.json": {
    codes: [0],
    output: /^fixtures\/a\.yaml:2:3 fits, and answers:\n {2}\{"content":"Hi!"\}\n$/,
  },
  "weir requests --url http://127.0.0.1:8080": {
    codes: [0],
    output: /^[\d:.]+ POST \/v1\/response .*200 \d+ ms .*\n/,
  },
  "weir verdict --url http://127.0.0.1:8080": {
    codes: [0],
    output: /^No fixture has answered with a fault\.\n$/,
  },
  "weir memory backup copy.db": { codes: [0], output: /is copied to copy\.db/, file: "copy.db" },
  "weir memory backup other.db --set memory.url=sqlite://weir.db": {
    codes: [0],
    output: /is copied to other\.db/,
    file: "other.db",
  },
  "weir key add ci --model 'gpt-4o*' --requests-per-min 60": {
    codes: [0],
    output: /^weir_[0-9A-Za-z]{43}\n$/,
  },
  "weir key list": { codes: [0], output: /^ci {2}sha256:[0-9a-f]{8} {2}made .* models gpt-4o\*/ },
  "weir key rotate ci --grace-hours 1": { codes: [0], output: /^weir_[0-9A-Za-z]{43}\n$/ },
  "weir key revoke ci": { codes: [0], output: /^$/ },
  "weir usage --by key,model": { codes: [0], output: /^$/ },
  "weir usage --by day --since 7d": { codes: [0], output: /^$/ },
  "weir usage --by day,key --since 2026-11-01 --csv": { codes: [0], output: /^$/ },
  "SECRET_KEY=s3 weir token --id 1000 --hours 10": { codes: [0], output: /^\S+\.\S+\.\S+\n$/ },
  "weir install --server-name chat.example.com": {
    codes: [0],
    output: /server_name chat\.example\.com;/,
  },
  "weir install --write --root ./root": {
    codes: [0],
    output: /next: systemctl/,
    file: "root/etc/systemd/system/weir.service",
  },
  "weir tape list tapes/": {
    codes: [0],
    output: /^01J0+1 .* gpt-4o .* 2 pieces .* whole\n01J0+2 .* partial\n$/,
  },
  "weir tape show tapes/*.tape.jsonl": { codes: [0], output: /^01J0+1\n[^]* data: [^]*你好/ },
  "weir tape fixture tapes/ -o taped.yaml": { codes: [0], output: /^$/, file: "taped.yaml" },
  "weir tape check tapes/": { codes: [0], output: /^ok: 1 tape, and no secret in them\n$/ },
  "weir tape prune tapes/ --partial --dry-run": {
    codes: [0],
    output: /^would remove tapes\/01J0+2\.tape\.jsonl\.partial\nwould remove 1 file of 2, /,
  },
  "weir import cassettes/*.yaml -o fixtures.yaml": {
    codes: [0],
    output: /^$/,
    file: "fixtures.yaml",
  },
  "weir import call.llmcap.jsonl": { codes: [0], output: /recordedTimings:\n {6}ttftMs: 20\n/ },
  "weir latency fit times.csv -o mine.yaml": {
    codes: [0],
    output: /^A latency profile, fitted to 30 answers of times\.csv\.\n/,
    file: "mine.yaml",
  },
  "weir latency show realistic": { codes: [0], output: /\nfirst token, ms( +\d+){5}\n/ },
  "weir latency show 8b-h100 --prompt 4000 --output 50 --picture whole": {
    codes: [0],
    output: /\nwhole answer, ms: 10000 values, each row /,
  },
  "weir latency list": { codes: [0], output: /\nrealistic .* factor\n/ },
  [`weir load ${SHOWN_URL}`]: {
    codes: [0, 3],
    output: /^\n\d+ of \d+ requests completed, 0 failed/,
  },
  [`weir load ${SHOWN_URL}/v1 -m gpt-4o -H 'Authorization: Bearer sk-1' --requests 20`]: {
    codes: [0, 3],
    output: /^\n20 of 20 requests completed, 0 failed\.\n/,
  },
  [`weir load ${SHOWN_URL} --concurrency 1,8 --requests 50`]: {
    codes: [0, 3],
    output:
      /\n50 of 50 requests completed, 0 failed\.\n[^]*\n== all of them ==\n.*\n1 at once .*\n8 at/,
  },
  [`weir load ${SHOWN_URL} --prompt-tokens 500 --requests 20 --html load.html`]: {
    codes: [0, 3],
    output: /^\n20 of 20 requests completed, 0 failed\.\n/,
    file: "load.html",
  },
  [`weir load ${SHOWN_URL} --search -r 20,40 --slo ttft=5s --duration 1s`]: {
    codes: [0, 1, 3],
    output: /\n(The highest rate that was held: [\d.]+\/s|No rate was held)/,
  },
  [`weir load ${SHOWN_URL} --rate 50 --duration 2s --slo ttft=300ms,tpot=50ms --json`]: {
    codes: [0, 1, 3],
    output: /"goodput": \{\n/,
  },
  "weir load merge one.json two.json -o both.json": {
    codes: [0, 3],
    output: /\n10 of 10 requests completed, 0 failed\.\n/,
    file: "both.json",
  },
  "weir load compare before.json after.json": {
    codes: [0, 3],
    output: /\nfirst token, ms: p50 .*: no difference that could not be chance\n/,
  },
  [`weir bench ${SHOWN_URL}`]: MEASURED,
  [`weir bench ${SHOWN_URL}/v1/chat/completions -n 200 -s 1 --json`]: MEASURED,
  [`weir bench ${SHOWN_URL} -H 'authorization: Bearer sk-1' --events free`]: MEASURED,
  // The weir here is no gateway: it answers by itself.
  [`weir audit ${SHOWN_URL} --upstream-port 9000 --quick`]: { codes: [3], output: /^$/ },
  [`weir audit ${SHOWN_URL} --upstream-port 9000 --gateway-key sk-1 --json`]: {
    codes: [3],
    output: /"error": "The gateway answers /,
  },
  "weir audit --preset weir --only limits,fidelity --html audit.html": {
    codes: [0],
    output: /\n0 failed, 0 void, 0 notes, \d+ passed in /,
    file: "audit.html",
  },
  'eval "$(weir completion bash)"': { codes: [0], output: /^$/ },
  "weir completion zsh > _weir": { codes: [0], output: /^$/, file: "_weir" },
  "weir completion fish > weir.fish": { codes: [0], output: /^$/, file: "weir.fish" },
  "weir version": { codes: [0], output: /^weir \d/ },
  "weir help": { codes: [0], output: /^weir speaks / },
  "weir help serve": { codes: [0], output: /^Usage: weir serve / },
};

const WORKFLOWS = `workflow:
  output: \${output as text}
component:
  type: http-client
  base_url: "weir:"
  path: /chat/completions
  body: {model: gpt-4o, messages: [{role: user, content: "\${input.prompt as text}"}]}
  output: \${response.choices[0].message.content}
`;

let folder: string;
let measured: Weir;
/** The process of the weir that goes on in the background, until another example stops it. */
let backgroundPid: number | undefined;

beforeAll(async () => {
  folder = makeFolder({
    "config.yaml": "ops:\n  log: 'off'\n",
    "model-compose.yml": WORKFLOWS,
    "times.csv": ["ttft_ms,e2e_ms,output_tokens"].concat(
      Array.from({ length: 30 }, (_, at) => `${300 + 7 * at},${1500 + 20 * at},100`),
    ).join("\n"),
    "call.llmcap.jsonl": capture(question("Hi"), [[20, stream("Hello")]]),
  });
  mkdirSync(join(folder, "cassettes"));
  writeFileSync(
    join(folder, "cassettes", "hi.yaml"),
    cassette({ asked: question("Hi"), answered: answer("Hello") }),
  );
  mkdirSync(join(folder, "tapes"));
  writeFileSync(join(folder, "tapes", tapeFile(toldId(1))), tapeText(toldTape(1)));
  writeFileSync(
    join(folder, "tapes", `${tapeFile(toldId(2))}.partial`),
    tapeText(toldTape(2)).slice(0, 900),
  );
  mkdirSync(join(folder, "fixtures"));
  writeFileSync(
    join(folder, "fixtures", "a.yaml"),
    "fixtures:\n- match: {userMessage: hello}\n  response: {content: Hi!}\n",
  );
  writeFileSync(
    join(folder, "body.json"),
    '{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}',
  );
  const program = join(folder, "weir");
  const words = weirCommand().map((word) => `'${word}'`).join(" ");
  writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(program, 0o755);
  measured = await launch({
    set: { "memory.url": `sqlite://${join(folder, "weir.db")}`, "ops.journal": "bodies" },
  });
  // Not of the weir whose last requests are an example.
  const other = await launch();
  const asked = ["load", other.url, "--requests", "10"];
  await Promise.all([
    run([...asked, "--shard", "1/2", "-o", join(folder, "one.json")]),
    run([...asked, "--shard", "2/2", "-o", join(folder, "two.json")]),
    run([...asked, "-o", join(folder, "before.json")]),
  ]);
  await other.stop();
  copyFileSync(join(folder, "before.json"), join(folder, "after.json"));
  const remembered = await fetch(`${measured.url}/v1/response`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "你好 🌊" }),
  });
  expect(await remembered.text()).toEndWith("data: [DONE]\n\n"); // and now there is a memory to copy
}, TEST_MS_MAX);

afterAll(async () => {
  if (backgroundPid !== undefined) process.kill(backgroundPid, "SIGKILL");
  await measured.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Types `line` into a shell in the folder. Nothing listens where somebody else may. */
function type(line: string) {
  const env = cleanEnv({ WEIR_SERVER_PORT: "0" });
  const child = Bun.spawn(["bash", "-c", line.replace(SHOWN_URL, measured.url)], {
    cwd: folder,
    env: { ...env, PATH: `${folder}:${env["PATH"]}` },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true, // in a process group of its own, which can be stopped as a whole
  });
  const said = { output: "", errors: "" };
  const ended = Promise.all(
    ([["output", child.stdout], ["errors", child.stderr]] as const).map(async ([key, stream]) => {
      const decoder = new TextDecoder();
      for await (const bytes of stream) said[key] += decoder.decode(bytes, { stream: true });
    }),
  );
  return { child, said, ended };
}

describe("the examples of the help", () => {
  const lines = COMMANDS.flatMap(({ examples }) => examples.map(({ line }) => line));

  test("are those that run here", () => {
    expect(Object.keys(EXPECTED).sort()).toEqual([...lines].sort());
  });

  for (const line of lines) {
    const expected = EXPECTED[line];
    if (expected === undefined) continue; // the test above has failed
    test(line, async () => {
      const { child, said, ended } = type(line);
      if (expected === "serves") {
        await waitFor(() => said.output.includes(" listens on ") || child.exitCode !== null);
        expect(said.output).toContain(" listens on ");
        process.kill(-child.pid, "SIGTERM");
        await child.exited;
        return;
      }
      const code = await child.exited;
      if (line === "weir down" && code === 0) backgroundPid = undefined;
      // A weir in the background keeps neither of them open: its output goes to a file.
      await ended;
      const [, pid] = /process (\d+) goes on/.exec(said.output) ?? [];
      if (pid !== undefined) backgroundPid = Number(pid);
      expect(said.output, said.errors).toMatch(expected.output);
      expect(expected.codes).toContain(code);
      if (expected.file !== undefined) {
        expect(existsSync(join(folder, expected.file))).toBe(true);
        expect(readFileSync(join(folder, expected.file)).length).toBeGreaterThan(0);
      }
    });
  }
});
