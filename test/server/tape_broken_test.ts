/** Tapes that cannot be played, each in its own way: none is, and a client is told why. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Tape, tapeFile, tapeText } from "../../src/sources/tape/format.ts";
import { question, stream } from "../sources/recordings/cassettes.ts";
import { readsOf, toldId, toldTape } from "../sources/tape/told_tape.ts";
import { launch, makeFolder, run, TEST_MS_MAX, waitFor } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

/** A tape whose pieces are texts. */
const told = (number: number) =>
  toldTape(number, { reads: readsOf([[312.4, stream("你好 ")], [330.1, stream("🌊")]]) });

/** Breaks the file of a tape. */
type Break = (text: string, lines: readonly string[]) => string | Uint8Array;

const joined = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");

/** The way, and the line that is told. */
const BREAKS: readonly (readonly [what: string, line: number, broken: Break])[] = [
  ["cut off in its request", 3, (_, lines) => joined(lines.slice(0, 2)) + lines[2]!.slice(0, 40)],
  ["cut off in its answer", 6, (_, lines) => joined(lines.slice(0, 5)) + lines[5]!.slice(0, 40)],
  ["without its end", 8, (_, lines) => joined(lines.slice(0, -1))],
  ["without its last line end", 8, (text) => text.slice(0, -1)],
  ["without a piece", 5, (_, lines) => joined(lines.toSpliced(4, 1))],
  ["with a piece twice", 6, (_, lines) => joined(lines.toSpliced(4, 0, lines[4]!))],
  ["with two pieces swapped", 5, (_, lines) => joined(lines.with(4, lines[5]!).with(5, lines[4]!))],
  ["with another word", 5, (text) => text.replace("你好", "再见")],
  ["with another time", 5, (text) => text.replace('"us":312400', '"us":312401')],
  ["with a byte that is no UTF-8", 5, (text) => {
    const bytes = Buffer.from(text);
    bytes[bytes.indexOf("好")] = 0xff;
    return bytes;
  }],
  ["empty", 1, () => ""],
  ["something else", 1, () => "fixtures: []\n"],
];

test("broken tapes are never played, not even in part", async () => {
  const folder = join(makeFolder(), "tapes");
  mkdirSync(folder);
  const write = (number: number, text: string | Uint8Array) =>
    writeFileSync(join(folder, tapeFile(toldId(number))), text);
  write(0, tapeText(told(0)));
  for (const [at, [, , broken]] of BREAKS.entries()) {
    const text = tapeText(told(at + 1));
    write(at + 1, broken(text, text.split("\n").slice(0, -1)));
  }
  const weir = await launch({
    set: { "tape.folder": folder, "tape.mode": "strict", "tape.speed": 0 },
  });
  try {
    const ask = async (tape: Tape) => {
      const response = await fetch(`${weir.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: Buffer.from(tape.request.body),
      });
      return { status: response.status, text: await response.text() };
    };
    expect(await ask(told(0))).toMatchObject({
      status: 200,
      text: expect.stringContaining("[DONE]"),
    });
    for (const [at, [what]] of BREAKS.entries()) {
      const { status, text } = await ask(told(at + 1));
      expect(status, what).toBeGreaterThanOrEqual(400);
      expect(text, what).toContain("No tape answers this request");
      expect(text, what).not.toContain("🌊");
    }
    const { output, errors } = weir;
    for (const [at, [what, line]] of BREAKS.entries()) {
      const name = tapeFile(toldId(at + 1));
      const lineOfIt = () => (output() + errors()).split("\n").find((text) => text.includes(name));
      await waitFor(lineOfIt, `${name} in the log`);
      expect(lineOfIt(), what).toContain(`line ${line}: `);
    }
    // Mended while weir runs, it plays.
    write(1, tapeText(told(1)));
    await waitFor(async () => (await ask(told(1))).status === 200);
  } finally {
    await weir.stop();
  }
  const { code, errors } = await run(["tape", "check", folder]);
  expect(code).toBe(1);
  for (const [at, [what, line]] of BREAKS.entries()) {
    if (at > 0) {
      expect(errors, what).toContain(`${join(folder, tapeFile(toldId(at + 1)))}:${line}: `);
    }
  }
});

test("in order, what comes behind the last tape is told so", async () => {
  const folder = makeFolder();
  for (const number of [1, 2]) {
    writeFileSync(join(folder, tapeFile(toldId(number))), tapeText(told(number)));
  }
  const weir = await launch({
    set: {
      "tape.folder": folder,
      "tape.mode": "strict",
      "tape.match": "order",
      "tape.speed": 0,
    },
  });
  try {
    const answers: string[] = [];
    for (let count = 0; count < 3; count++) {
      const response = await fetch(`${weir.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(question("something else", { stream: true })),
      });
      answers.push(`${response.status} ${await response.text()}`);
    }
    expect(answers[0]).toStartWith("200 data: ");
    expect(answers[1]).toStartWith("200 data: ");
    expect(answers[2]).toContain(
      "No tape answers this request: all 2 have been played, one after the other (tape.match: order)",
    );
  } finally {
    await weir.stop();
  }
});

test("auto asks again for what a client has left, and then plays that", async () => {
  const folder = makeFolder();
  const torn = told(1).reads.slice(0, 1);
  const ending = { how: "client_left", atUs: 313_000, error: "" } as const;
  const left = toldTape(1, { reads: torn, ending });
  writeFileSync(join(folder, tapeFile(toldId(1))), tapeText(left));
  const upstream = await launch({ set: { "mock.reply": "whole at last" } });
  const weir = await launch({
    set: {
      "tape.folder": folder,
      "tape.mode": "auto",
      "tape.speed": 0,
      "llm.base_url": `${upstream.url}/v1`,
    },
  });
  try {
    const ask = async () => {
      const response = await fetch(`${weir.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: Buffer.from(left.request.body),
      });
      return await response.text();
    };
    const first = await ask();
    expect(first).toContain('"whole"');
    await waitFor(() => readdirSync(folder).filter((name) => name.endsWith(".jsonl")).length === 2);
    await upstream.stop();
    await waitFor(async () => await ask() === first);
  } finally {
    await weir.stop();
    await upstream.stop();
  }
});

test("what a miss says is without the keys in the request", async () => {
  const folder = makeFolder();
  writeFileSync(join(folder, tapeFile(toldId(1))), tapeText(told(1)));
  const weir = await launch({
    set: {
      "tape.folder": folder,
      "tape.mode": "strict",
      "llm.api_key": "sk-geheim-0123456789",
      "tape.redact": '["ticket-[0-9]+"]',
    },
  });
  try {
    const response = await fetch(`${weir.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(question("key sk-geheim-0123456789, ticket-42", { stream: true })),
    });
    const { error } = await response.json() as { readonly error: { readonly message: string } };
    expect(error.message).toContain('"key ********************, *********" instead of "Hi 1"');
    const said = error.message + weir.output() + weir.errors();
    expect(said).not.toMatch(/geheim|ticket-42/);
  } finally {
    await weir.stop();
  }
});
