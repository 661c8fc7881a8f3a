import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY = "一 two 🌊 three";
const MODEL = "gpt-4o";

function clientOf(weir: Weir): OpenAI {
  return new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-1", maxRetries: 0 });
}

/** The error's status and sentence. */
async function refusal(asked: Promise<unknown>): Promise<readonly [number, string, unknown]> {
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    const { message, code } = error.error as { readonly message: string; readonly code: unknown };
    return [error.status as number, message, code];
  }
  throw new Error("It was answered");
}

/** Asks every worker there is: each client comes on a connection of its own. */
async function askAll<Answer>(weir: Weir, ask: (client: OpenAI) => Promise<Answer>) {
  const answers = [];
  for (let at = 0; at < 12; at++) {
    answers.push(
      await ask(
        new OpenAI({
          baseURL: `${weir.url}/v1`,
          apiKey: "sk-1",
          maxRetries: 0,
          defaultHeaders: { connection: "close" },
        }),
      ),
    );
  }
  return answers;
}

describe.each([
  [1, false],
  [2, false],
  [1, true],
  [2, true],
])("kept objects of %d workers, in the store: %p", (workers, isStored) => {
  let weir: Weir;
  let client: OpenAI;
  beforeAll(async () => {
    weir = await launch({
      set: {
        "mock.reply": REPLY,
        "mock.delay_ms": 0,
        "server.workers": workers,
        "store.objects": isStored,
      },
    });
    await waitFor(() => workers === 1 || weir.output().includes("workers: 2"), "the workers");
    client = clientOf(weir);
  });
  afterAll(() => weir.stop());

  test("a response is there as it was told, streamed or whole, until it is deleted", async () => {
    const whole = await client.responses.create({
      model: MODEL,
      input: "hi",
      metadata: { a: "b" },
    });
    const stream = await client.responses.create({ model: MODEL, input: "hi", stream: true });
    let streamed: OpenAI.Responses.Response | undefined;
    for await (const event of stream) {
      if (event.type === "response.completed") streamed = event.response;
    }
    for (const told of [whole, streamed!]) {
      const { output_text: _, ...expected } = told;
      for (const kept of await askAll(weir, (one) => one.responses.retrieve(told.id))) {
        const { output_text, ...rest } = kept;
        expect(output_text).toBe(REPLY);
        expect({ ...rest, billing: 0, _request_id: 0 } as unknown)
          .toEqual({ ...expected, billing: 0, _request_id: 0 });
      }
      await client.responses.delete(told.id);
      for (const gone of await askAll(weir, (one) => refusal(one.responses.retrieve(told.id)))) {
        expect(gone).toEqual([404, `Response with id '${told.id}' not found.`, null]);
      }
    }
  });

  test("store: false keeps nothing", async () => {
    const { id } = await client.responses.create({ model: MODEL, input: "hi", store: false });
    expect((await refusal(client.responses.retrieve(id)))[0]).toBe(404);
    expect(
      await refusal(
        client.responses.create({ model: MODEL, input: "hi", previous_response_id: id }),
      ),
    ).toEqual([400, `Previous response with id '${id}' not found.`, "previous_response_not_found"]);
  });

  test("a response goes on from earlier ones: input and output count again", async () => {
    const first = await client.responses.create({
      model: MODEL,
      input: "hi",
      instructions: "Be kind. ".repeat(20),
    });
    const counts = await askAll(weir, async (one) => {
      const second = await one.responses.create({
        model: MODEL,
        input: "and?",
        previous_response_id: first.id,
      });
      expect(second.previous_response_id).toBe(first.id);
      const third = await one.responses.create({
        model: MODEL,
        input: [{ role: "user", content: "so?" }],
        previous_response_id: second.id,
      });
      return [second.usage!.input_tokens, third.usage!.input_tokens] as const;
    });
    const alone = await client.responses.create({ model: MODEL, input: "and?" });
    for (const [second, third] of counts) {
      expect(second).toBeGreaterThan(alone.usage!.input_tokens);
      expect(second).toBeLessThan(first.usage!.input_tokens); // without its instructions
      expect(third).toBeGreaterThan(second);
    }
    const counted = await client.responses.inputTokens.count({
      model: MODEL,
      input: "and?",
      previous_response_id: first.id,
    });
    expect(counted.input_tokens).toBe(counts[0]![0]);
  });

  test("input items come in pages, those of earlier responses with them", async () => {
    const first = await client.responses.create({ model: MODEL, input: "one" });
    const second = await client.responses.create({
      model: MODEL,
      previous_response_id: first.id,
      input: [{ role: "user", content: "two" }, { role: "user", content: "three" }],
    });
    for (
      const items of await askAll(weir, async (one) => {
        const all = [];
        for await (
          const item of one.responses.inputItems.list(second.id, { order: "asc", limit: 3 })
        ) all.push(item);
        return all;
      })
    ) {
      expect(items.map((item) => ("content" in item ? item.content : undefined)) as unknown)
        .toMatchObject([[{ type: "input_text", text: "one" }], [{ text: REPLY }], [{
          text: "two",
        }], [{ text: "three" }]]);
      expect(new Set(items.map(({ id }) => id)).size).toBe(4);
    }
    const page = await client.responses.inputItems.list(second.id, { limit: 1 });
    expect([page.has_more, page.data.length]).toEqual([true, 1]);
    expect(
      await refusal(client.responses.inputItems.list(second.id, { limit: 101 }).withResponse()),
    )
      .toEqual([
        400,
        "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
        "integer_above_max_value",
      ]);
  });

  test("what lacks a predecessor says so of itself, and shows itself all the same", async () => {
    const ask = (input: string, previous?: string) =>
      client.responses.create({
        model: MODEL,
        input,
        ...(previous === undefined ? {} : { previous_response_id: previous }),
      });
    const first = await ask("one");
    const second = await ask("two", first.id);
    const third = await ask("three", second.id);
    await client.responses.delete(first.id);
    for (const { id } of [second, third]) {
      const lost: readonly [number, string, unknown] = [
        400,
        `What was said before response '${id}' is no longer all there: a response that it goes on ` +
        `from was deleted, or went with the oldest (${
          isStored
            ? "store.objects_days, store.objects_max_bytes"
            : "mock.kept_max, mock.kept_max_bytes"
        }).`,
        "previous_response_not_found",
      ];
      expect(await refusal(ask("and?", id))).toEqual(lost);
      expect(await refusal(client.responses.inputItems.list(id).withResponse())).toEqual(lost);
      expect((await client.responses.retrieve(id)).output_text).toBe(REPLY);
    }
    expect(await refusal(ask("and?", first.id))).toEqual([
      400,
      `Previous response with id '${first.id}' not found.`,
      "previous_response_not_found",
    ]);
  });

  test("a stream is told again with its pad, or without one", async () => {
    const { id } = await client.responses.create({ model: MODEL, input: "one" });
    const stream = (query: string) =>
      client.get(`/responses/${id}?stream=true${query}`).asResponse()
        .then((response) => response.text());
    const padded = await stream("");
    expect(padded).toContain('"obfuscation":"');
    expect(await stream("&include_obfuscation=true")).toBe(padded);
    expect(await stream("&include_obfuscation=false"))
      .toBe(padded.replaceAll(/"obfuscation":"\w*",/g, ""));
  });

  test("what may be included is known", async () => {
    const { id } = await client.responses.create({ model: MODEL, input: "one" });
    const conversation = await client.conversations.create({});
    const paths = [`responses/${id}`, `responses/${id}/input_items`];
    for (const path of [...paths, `conversations/${conversation.id}/items`]) {
      const ask = (names: string) => refusal(client.get(`/${path}?${names}`));
      expect(await ask("include[]=bogus")).toMatchObject([
        400,
        expect.stringMatching(/^Invalid value: 'bogus'. Supported values are: /),
        "invalid_value",
      ]);
      expect((await ask("include=reasoning.encrypted_content&include=bogus"))[0]).toBe(400);
      await client.get(`/${path}?include[]=reasoning.encrypted_content`);
    }
  });

  test("a call's output finds its call in what was said before, and nowhere else", async () => {
    const input = [{ type: "function_call_output", call_id: "call_1", output: "1" }] as const;
    const first = await client.responses.create({
      model: MODEL,
      input: [{ type: "function_call", call_id: "call_1", name: "f", arguments: "{}" }, ...input],
    });
    await client.responses.create({
      model: MODEL,
      input: "well?",
      previous_response_id: first.id,
    });
    expect(
      await refusal(
        client.responses.create({
          model: MODEL,
          input: [{ ...input[0], call_id: "call_2" }],
          previous_response_id: first.id,
        }),
      ),
    ).toEqual([400, "No tool call found for function call output with call_id call_2.", null]);
  });

  test("an item that is only named is looked up, wherever it is kept", async () => {
    const first = await client.responses.create({ model: MODEL, input: "one ".repeat(50) });
    const { data: [asked] } = await client.responses.inputItems.list(first.id);
    const { id: talk } = await client.conversations.create({
      items: [{ type: "message", role: "user", content: "two ".repeat(50) }],
    });
    const { data: [said] } = await client.conversations.items.list(talk);
    const named = [first.output[0]!.id!, asked!.id!, said!.id!]
      .map((id) => ({ type: "item_reference", id }) as const);
    const alone = await client.responses.create({ model: MODEL, input: "and?" });
    for (
      const response of await askAll(weir, (one) =>
        one.responses.create({
          model: MODEL,
          input: [...named, { role: "user", content: "and?" }],
        }))
    ) {
      expect(response.usage!.input_tokens).toBeGreaterThan(alone.usage!.input_tokens + 100);
      const items = await client.responses.inputItems.list(response.id, { order: "asc" });
      expect(items.data.map(({ type }) => type)).toEqual(Array(4).fill("message"));
      expect(items.data.slice(0, 3).map(({ id }) => id)).toEqual(named.map(({ id }) => id));
    }
    const lost = `${first.output[0]!.id!.slice(0, -1)}g`;
    for (const id of [lost, "msg_1", first.id]) {
      const input = [{ type: "item_reference" as const, id }];
      expect(await refusal(client.responses.create({ model: MODEL, input })))
        .toEqual([404, `Item with id '${id}' not found.`, null]);
    }
    await client.responses.delete(first.id);
    expect((await refusal(client.responses.create({ model: MODEL, input: [named[0]!] })))[0])
      .toBe(404);
  });

  test("items of hosted tools are taken, kept and listed as they came", async () => {
    const input = HOSTED_ITEMS.map((item) => ({ ...item }));
    const told = await fetch(`${weir.url}/v1/responses`, {
      method: "POST",
      body: JSON.stringify({ model: MODEL, input: [...input, { role: "user", content: "so?" }] }),
    });
    expect(told.status).toBe(200);
    const { id } = await told.json() as { id: string };
    const query = "order=asc&limit=100";
    const listed = await fetch(`${weir.url}/v1/responses/${id}/input_items?${query}`);
    const { data } = await listed.json() as { data: { id: string; type: string }[] };
    expect(data.slice(0, input.length)).toMatchObject(input);
    expect(data.at(-1)!.type).toBe("message");
    expect(new Set(data.map((item) => item.id)).size).toBe(data.length);
    expect(data.every((item) => item.id.length > 2)).toBe(true);
    const next = await fetch(`${weir.url}/v1/responses`, {
      method: "POST",
      body: JSON.stringify({ model: MODEL, input: "on", previous_response_id: id }),
    });
    expect(next.status).toBe(200);
  });

  test("a moderation is told in the response, streamed or whole, and kept", async () => {
    const asked = { model: MODEL, input: "hi", moderation: { model: "omni-moderation-latest" } };
    const whole = await client.responses.create(asked);
    const { moderation } = whole as unknown as { moderation: { input: object; output: object } };
    for (const side of [moderation.input, moderation.output]) {
      expect(Object.keys(side)).toEqual([
        "type",
        "model",
        "flagged",
        "categories",
        "category_scores",
        "category_applied_input_types",
      ]);
    }
    const events = client.responses.stream(asked);
    const seen: unknown[] = [];
    for await (const event of events) {
      if ("response" in event) {
        seen.push((event.response as unknown as { moderation: unknown }).moderation);
      }
    }
    expect(seen).toEqual([null, null, moderation]);
    expect(await client.responses.retrieve(whole.id) as unknown).toMatchObject({ moderation });
  });

  test("compact gives the user's messages and one item that stands for the rest", async () => {
    const compacted = await client.responses.compact({ model: MODEL, input: "Hello 世界" });
    expect(compacted.object).toBe("response.compaction");
    expect(compacted.output.map(({ type }) => type)).toEqual(["message", "compaction"]);
    await client.responses.create({
      model: MODEL,
      input: [
        ...compacted.output as OpenAI.Responses.ResponseInput,
        { role: "user", content: "on" },
      ],
    });
  });

  test("conversations keep items, take those of their responses, and are told of", async () => {
    const { id, metadata } = await client.conversations.create({
      metadata: { topic: "weir" },
      items: [{ type: "message", role: "user", content: "一" }],
    });
    expect([id.length, metadata as unknown]).toEqual([53, { topic: "weir" }]);
    const before = await client.responses.create({ model: MODEL, input: "two" });
    const response = await client.responses.create({
      model: MODEL,
      input: "two",
      conversation: id,
    });
    expect(response.conversation).toEqual({ id });
    expect(response.usage!.input_tokens).toBeGreaterThan(before.usage!.input_tokens);
    const texts = async (one: OpenAI) => {
      const found = [];
      for await (const item of one.conversations.items.list(id, { order: "asc", limit: 2 })) {
        found.push((item as { content: { text: string }[] }).content[0]!.text);
      }
      return found;
    };
    await waitFor(async () => (await texts(client)).length === 3, "the response's items");
    for (const found of await askAll(weir, texts)) expect(found).toEqual(["一", "two", REPLY]);
    const added = await client.conversations.items.create(id, {
      items: [{ type: "message", role: "user", content: "three" }],
    });
    const item = added.data[0]!;
    for (
      const told of await askAll(
        weir,
        (one) => one.conversations.items.retrieve(item.id!, { conversation_id: id }),
      )
    ) expect(told.id).toBe(item.id!);
    expect((await client.conversations.items.delete(item.id!, { conversation_id: id })).id)
      .toBe(id);
    expect((await client.conversations.update(id, { metadata: { a: "b" } })).metadata as unknown)
      .toEqual({ a: "b" });
    expect((await client.conversations.retrieve(id)).metadata as unknown).toEqual({ a: "b" });
    expect(await client.conversations.delete(id)).toMatchObject({
      id,
      object: "conversation.deleted",
      deleted: true,
    });
    for (const gone of await askAll(weir, (one) => refusal(one.conversations.retrieve(id)))) {
      expect(gone).toEqual([404, `Conversation with id '${id}' not found.`, null]);
    }
    expect(
      await refusal(client.responses.create({ model: MODEL, input: "x", conversation: id })),
    ).toEqual([404, `Conversation with id '${id}' not found.`, null]);
  });

  test("stored completions are listed, filtered, told of, changed and deleted", async () => {
    expect((await refusal(client.chat.completions.list().withResponse())).slice(0, 2))
      .toEqual([405, "Only POST requests are accepted."]);
    const messages = [{ role: "user", content: "hi" }] as const;
    const made: string[] = [];
    for (let at = 0; at < 5; at++) {
      const [stored] = await askOnce(weir, (one) =>
        one.chat.completions.create({
          model: at === 4 ? "gpt-4.1" : MODEL,
          messages: [...messages],
          store: true,
          metadata: { at: String(at % 2) },
        }));
      made.push(stored!.id);
    }
    await client.chat.completions.create({ model: MODEL, messages: [...messages] });
    for (
      const ids of await askAll(weir, async (one) => {
        const all = [];
        for await (const { id } of one.chat.completions.list({ limit: 2 })) all.push(id);
        return all;
      })
    ) expect(ids).toEqual(made);
    const listed = async (query: OpenAI.ChatCompletionListParams) =>
      (await client.chat.completions.list(query)).data.map(({ id }) => id);
    expect(await listed({ model: "gpt-4.1" })).toEqual([made[4]!]);
    expect(await listed({ metadata: { at: "1" } })).toEqual([made[1]!, made[3]!]);
    expect(await listed({ order: "desc", limit: 2 })).toEqual([made[4]!, made[3]!]);
    const [id] = made as [string];
    for (const told of await askAll(weir, (one) => one.chat.completions.retrieve(id))) {
      expect(told).toMatchObject({
        id,
        object: "chat.completion",
        metadata: { at: "0" },
        choices: [{ message: { content: REPLY } }],
      });
    }
    const said = await client.chat.completions.messages.list(id);
    expect(said.data).toMatchObject([{ role: "user", content: "hi", id: `${id}-0` }]);
    expect(await client.chat.completions.update(id, { metadata: { at: "x" } }))
      .toMatchObject({ id, metadata: { at: "x" } });
    expect(await client.chat.completions.delete(id))
      .toMatchObject({ id, object: "chat.completion.deleted", deleted: true });
    for (const gone of await askAll(weir, (one) => refusal(one.chat.completions.retrieve(id)))) {
      expect(gone.slice(0, 2)).toEqual([404, `Chat completion with id '${id}' not found.`]);
    }
  });
});

test("on `spec` an item that is nowhere is passed over", async () => {
  const weir = await launch({ set: { "mock.reply": REPLY, "mock.validate": "spec" } });
  try {
    const input = [{ type: "item_reference" as const, id: "msg_1" }];
    expect((await clientOf(weir).responses.create({ model: MODEL, input })).output_text).toBe(
      REPLY,
    );
  } finally {
    await weir.stop();
  }
});

/** One item of each hosted kind, as a client hands it back. */
const HOSTED_ITEMS = [
  { type: "web_search_call", id: "ws_1", status: "completed", action: { type: "search" } },
  { type: "file_search_call", id: "fs_1", status: "completed", queries: ["q"], results: null },
  {
    type: "code_interpreter_call",
    id: "ci_1",
    status: "completed",
    code: "1",
    container_id: "cntr_1",
    outputs: null,
  },
  {
    type: "computer_call",
    id: "cu_1",
    call_id: "call_c",
    status: "completed",
    action: { type: "wait" },
    pending_safety_checks: [],
  },
  {
    type: "computer_call_output",
    call_id: "call_c",
    output: { type: "computer_screenshot", image_url: "data:image/png;base64,AA==" },
  },
  { type: "image_generation_call", id: "ig_1", status: "completed", result: "AA==" },
  { type: "mcp_list_tools", id: "mcpl_1", server_label: "s", tools: [] },
  { type: "mcp_approval_request", id: "mcpr_1", server_label: "s", name: "f", arguments: "{}" },
  { type: "mcp_approval_response", approval_request_id: "mcpr_1", approve: true },
  { type: "mcp_call", id: "mcp_1", server_label: "s", name: "f", arguments: "{}", output: "1" },
  {
    type: "local_shell_call",
    id: "lsh_1",
    call_id: "call_l",
    status: "completed",
    action: { type: "exec", command: ["ls"], env: {} },
  },
  { type: "local_shell_call_output", id: "lsho_1", output: "a" },
  { type: "shell_call", call_id: "call_s", action: { commands: ["ls"] } },
  { type: "shell_call_output", call_id: "call_s", output: [{ stdout: "a", stderr: "" }] },
  {
    type: "apply_patch_call",
    call_id: "call_p",
    status: "completed",
    operation: { type: "delete_file", path: "a" },
  },
  { type: "apply_patch_call_output", call_id: "call_p", status: "completed", output: "done" },
  { type: "tool_search_call", id: "tsc_1", arguments: {} },
  { type: "tool_search_output", id: "tso_1", tools: [] },
  { type: "additional_tools", role: "developer", tools: [] },
  { type: "compaction", id: "cmp_1", encrypted_content: "gAAAA" },
] as const;

/** Asks on a connection of its own. */
async function askOnce<Answer>(weir: Weir, ask: (client: OpenAI) => Promise<Answer>) {
  const client = new OpenAI({
    baseURL: `${weir.url}/v1`,
    apiKey: "sk-1",
    maxRetries: 0,
    defaultHeaders: { connection: "close" },
  });
  return [await ask(client)];
}
