/**
 * Every documented field of a request, with a value that can be followed: a text in it that begins
 * with "zz" is to be found again wherever the field is said.
 *
 * @module
 */

export type Body = Readonly<Record<string, unknown>>;

/** One field of a request. */
export interface FieldRow {
  /** As docs/proxy.md names it. */
  readonly name: string;
  /** What it needs beside it. */
  readonly given?: Body;
  readonly body: Body;
}

const row = (name: string, body: Body, given?: Body): FieldRow => ({
  name,
  body,
  ...(given === undefined ? {} : { given }),
});

/** `value` of each field that is named by itself. */
const plain = (fields: Body, given?: Body) =>
  Object.entries(fields).map(([name, value]) => row(name, { [name]: value }, given));

const SCHEMA = {
  type: "object",
  properties: { zzproperty: { type: "string" } },
  required: ["zzproperty"],
  additionalProperties: false,
};
const PNG = "data:image/png;base64,zzAA";
const PDF = "data:application/pdf;base64,zzAA";

const FUNCTION = { name: "zzf", description: "zzdescription", parameters: SCHEMA };
const CHAT_TOOLS = { tools: [{ type: "function", function: FUNCTION }] };
const USER = { role: "user", content: "hi" };
const CALLED = {
  role: "assistant",
  tool_calls: [{ id: "zzcall", type: "function", function: { name: "zzf", arguments: '{"a":1}' } }],
};
const chatTalk = (...messages: readonly object[]): Body => ({ messages: [USER, ...messages] });
const chatPart = (part: object): Body => chatTalk({ role: "user", content: [part] });
const chatResult = (content: unknown): Body =>
  chatTalk(CALLED, { role: "tool", tool_call_id: "zzcall", content });

/** `POST /v1/chat/completions`. */
export const CHAT_FIELDS: readonly FieldRow[] = [
  ...plain({
    temperature: 0.5,
    top_p: 0.5,
    presence_penalty: 0.5,
    frequency_penalty: 0.5,
    logit_bias: { 5: 1 },
    n: 2,
    seed: 7,
    stop: ["zzstop"],
    max_tokens: 77,
    max_completion_tokens: 77,
    user: "zzuser",
    safety_identifier: "zzsafety",
    prompt_cache_key: "zzkey",
    prompt_cache_retention: "24h",
    prompt_cache_options: { mode: "zzmode" },
    service_tier: "flex",
    store: true,
    metadata: { a: "zzmetadata" },
    prediction: { type: "content", content: "zzprediction" },
    verbosity: "low",
    reasoning_effort: "low",
    modalities: ["text", "audio"],
    audio: { voice: "zzvoice", format: "wav" },
    web_search_options: { search_context_size: "low" },
    moderation: { model: "zzmoderation" },
    logprobs: true,
    stream: true,
    tools: CHAT_TOOLS.tools,
    functions: [FUNCTION],
  }),
  row("top_logprobs", { top_logprobs: 3 }, { logprobs: true }),
  row("stream_options", { stream_options: { include_usage: true } }, { stream: true }),
  row("response_format: json_object", { response_format: { type: "json_object" } }),
  row("response_format: json_schema", {
    response_format: { type: "json_schema", json_schema: { name: "n", schema: SCHEMA } },
  }),
  row(
    "tools[].function.strict",
    { tools: [{ type: "function", function: { ...FUNCTION, strict: true } }] },
    CHAT_TOOLS,
  ),
  row("custom tools", { tools: [{ type: "custom", custom: { name: "zzcustom" } }] }),
  row("tool_choice: none", { tool_choice: "none" }, CHAT_TOOLS),
  row("tool_choice: required", { tool_choice: "required" }, CHAT_TOOLS),
  row(
    "tool_choice: a name",
    { tool_choice: { type: "function", function: { name: "zzf" } } },
    CHAT_TOOLS,
  ),
  row(
    "tool_choice: allowed_tools",
    {
      tool_choice: {
        type: "allowed_tools",
        allowed_tools: {
          mode: "required",
          tools: [{ type: "function", function: { name: "zzf" } }],
        },
      },
    },
    CHAT_TOOLS,
  ),
  row("parallel_tool_calls", { parallel_tool_calls: false }, CHAT_TOOLS),
  row("function_call", { function_call: { name: "zzf" } }, { functions: [FUNCTION] }),
  row("system messages", { messages: [{ role: "system", content: "zzsystem" }, USER] }),
  row("developer messages", { messages: [{ role: "developer", content: "zzdeveloper" }, USER] }),
  row("assistant messages", chatTalk({ role: "assistant", content: "zzsaid" })),
  row("refusals", chatTalk({ role: "assistant", content: null, refusal: "zzrefusal" })),
  row("calls", chatTalk(CALLED)),
  row("results", chatResult("zzresult")),
  row("results in parts", chatResult([{ type: "text", text: "zzresult" }])),
  row(
    "messages[].name",
    { messages: [{ ...USER, name: "zzname" }] },
    { messages: [USER] },
  ),
  row("assistant audio", chatTalk({ role: "assistant", content: "a", audio: { id: "zzaudio" } })),
  row("image_url by URL", chatPart({ type: "image_url", image_url: { url: "https://zz.test" } })),
  row("image_url with data", chatPart({ type: "image_url", image_url: { url: PNG } })),
  row(
    "image_url.detail",
    chatPart({ type: "image_url", image_url: { url: PNG, detail: "low" } }),
    chatPart({ type: "image_url", image_url: { url: PNG } }),
  ),
  row(
    "file with data",
    chatPart({ type: "file", file: { filename: "zzname", file_data: PDF } }),
  ),
  row("file by file_id", chatPart({ type: "file", file: { file_id: "zzfile" } })),
  row(
    "input_audio",
    chatPart({ type: "input_audio", input_audio: { data: "zzAA", format: "wav" } }),
  ),
];

const FLAT_TOOLS = { tools: [{ type: "function", ...FUNCTION, strict: false }] };
const said = (...items: readonly object[]): Body => ({ input: [USER, ...items] });
const CALL = { type: "function_call", call_id: "zzcall", name: "zzf", arguments: '{"a":1}' };
const result = (output: unknown): Body =>
  said(CALL, { type: "function_call_output", call_id: "zzcall", output });
const part = (content: object): Body => said({ role: "user", content: [content] });

/** `POST /v1/responses`. */
export const RESPONSES_FIELDS: readonly FieldRow[] = [
  ...plain({
    instructions: "zzinstructions",
    temperature: 0.5,
    top_p: 0.5,
    max_output_tokens: 77,
    max_tool_calls: 3,
    user: "zzuser",
    safety_identifier: "zzsafety",
    prompt_cache_key: "zzkey",
    prompt_cache_retention: "24h",
    prompt_cache_options: { mode: "zzmode" },
    service_tier: "flex",
    store: false,
    background: true,
    stream: true,
    stream_options: { include_obfuscation: false },
    metadata: { a: "zzmetadata" },
    moderation: { model: "zzmoderation" },
    truncation: "auto",
    context_management: [{ type: "compaction" }],
    previous_response_id: "zzprevious",
    conversation: "zzconversation",
    prompt: { id: "zzprompt" },
    tools: FLAT_TOOLS.tools,
  }),
  row("include: message.output_text.logprobs", { include: ["message.output_text.logprobs"] }),
  row("include: reasoning.encrypted_content", { include: ["reasoning.encrypted_content"] }),
  row("include: web_search_call.results", { include: ["web_search_call.results"] }),
  row("top_logprobs", { top_logprobs: 3 }, { include: ["message.output_text.logprobs"] }),
  row("reasoning.effort", { reasoning: { effort: "low" } }),
  row("reasoning.summary", { reasoning: { summary: "auto" } }),
  row("text.verbosity", { text: { verbosity: "low" } }),
  row("text.format: json_object", { text: { format: { type: "json_object" } } }),
  row("text.format: json_schema", {
    text: { format: { type: "json_schema", name: "n", schema: SCHEMA } },
  }),
  row(
    "tools[].strict",
    { tools: [{ type: "function", ...FUNCTION, strict: true }] },
    FLAT_TOOLS,
  ),
  row("custom tools", { tools: [{ type: "custom", name: "zzcustom" }] }),
  row("hosted tools", { tools: [{ type: "web_search" }] }),
  row("tool_choice: none", { tool_choice: "none" }, FLAT_TOOLS),
  row("tool_choice: required", { tool_choice: "required" }, FLAT_TOOLS),
  row("tool_choice: a name", { tool_choice: { type: "function", name: "zzf" } }, FLAT_TOOLS),
  row(
    "tool_choice: allowed_tools",
    {
      tool_choice: {
        type: "allowed_tools",
        mode: "required",
        tools: [{ type: "function", name: "zzf" }],
      },
    },
    FLAT_TOOLS,
  ),
  row("tool_choice: a hosted tool", { tool_choice: { type: "web_search" } }, FLAT_TOOLS),
  row("parallel_tool_calls", { parallel_tool_calls: false }, FLAT_TOOLS),
  row("system messages", said({ role: "system", content: "zzsystem" })),
  row("developer messages", said({ role: "developer", content: "zzdeveloper" })),
  row("assistant messages", said({ role: "assistant", content: "zzsaid" })),
  row(
    "refusals",
    said({ role: "assistant", content: [{ type: "refusal", refusal: "zzrefusal" }] }),
  ),
  row("calls", result("r"), { input: [USER] }),
  row("results", result("zzresult")),
  row("results in parts", result([{ type: "input_text", text: "zzresult" }])),
  row("images in results", result([{ type: "input_image", image_url: PNG }])),
  row(
    "custom calls",
    said(
      { type: "custom_tool_call", call_id: "zzcall", name: "zzcustom", input: "zzinput" },
      { type: "custom_tool_call_output", call_id: "zzcall", output: "zzresult" },
    ),
  ),
  row(
    "reasoning items",
    said({ type: "reasoning", summary: [] }, { role: "assistant", content: "a" }),
    {
      input: [USER, { role: "assistant", content: "a" }],
    },
  ),
  row("hosted calls", said({ type: "web_search_call", id: "ws_1", status: "completed" })),
  row("compaction items", said({ type: "compaction", encrypted_content: "zz" })),
  row("item_reference", said({ type: "item_reference", id: "zzitem" })),
  row("input_image by URL", part({ type: "input_image", image_url: "https://zz.test" })),
  row("input_image with data", part({ type: "input_image", image_url: PNG })),
  row("input_image by file_id", part({ type: "input_image", file_id: "zzfile" })),
  row(
    "input_image.detail",
    part({ type: "input_image", image_url: PNG, detail: "low" }),
    part({ type: "input_image", image_url: PNG }),
  ),
  row(
    "input_file with data",
    part({ type: "input_file", filename: "zzname", file_data: PDF }),
  ),
  row("input_file by file_id", part({ type: "input_file", file_id: "zzfile" })),
  row("input_file by URL", part({ type: "input_file", file_url: "https://zz.test" })),
];

const OWN_TOOLS = {
  tools: [{ name: "zzf", description: "zzdescription", input_schema: SCHEMA }],
};
const USED = {
  role: "assistant",
  content: [{ type: "tool_use", id: "zzcall", name: "zzf", input: { a: 1 } }],
};
const talk = (...messages: readonly object[]): Body => ({ messages: [USER, ...messages] });
const block = (content: object): Body => talk({ role: "user", content: [content] });
const answered = (content: unknown, more: object = {}): Body =>
  talk(USED, {
    role: "user",
    content: [{ type: "tool_result", tool_use_id: "zzcall", content, ...more }],
  });
const image = (source: object) => ({ type: "image", source });
const document = (source: object, more: object = {}) => ({ type: "document", source, ...more });
const PNG_SOURCE = { type: "base64", media_type: "image/png", data: "zzAA" };
const PDF_SOURCE = { type: "base64", media_type: "application/pdf", data: "zzAA" };

/** `POST /v1/messages`. */
export const MESSAGES_FIELDS: readonly FieldRow[] = [
  ...plain({
    max_tokens: 77,
    stream: true,
    system: "zzsystem",
    temperature: 0.5,
    top_p: 0.5,
    top_k: 5,
    stop_sequences: ["zzstop"],
    service_tier: "standard_only",
    container: "zzcontainer",
    context_management: { edits: [] },
    mcp_servers: [{ type: "url", url: "https://zz.test", name: "m" }],
    metadata: { user_id: "zzuser" },
    thread: { type: "create" },
    tools: OWN_TOOLS.tools,
    cache_control: { type: "ephemeral" },
  }),
  row("system blocks", { system: [{ type: "text", text: "zzsystem" }] }),
  row(
    "cache_control of blocks",
    { system: [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }] },
    { system: "s" },
  ),
  row(
    "thinking: enabled",
    { thinking: { type: "enabled", budget_tokens: 2048 }, max_tokens: 9999 },
    {
      max_tokens: 9999,
    },
  ),
  row("thinking: adaptive", { thinking: { type: "adaptive" } }),
  row("output_config.effort", { output_config: { effort: "low" } }),
  row("output_config.format", {
    output_config: { format: { type: "json_schema", schema: SCHEMA } },
  }),
  row("output_config.task_budget", {
    output_config: { task_budget: { type: "tokens", total: 5 } },
  }),
  row("output_format", { output_format: { type: "json_schema", schema: SCHEMA } }),
  row("tools[].strict", { tools: [{ ...OWN_TOOLS.tools[0], strict: true }] }, OWN_TOOLS),
  row(
    "cache_control of tools",
    { tools: [{ ...OWN_TOOLS.tools[0], cache_control: { type: "ephemeral" } }] },
    OWN_TOOLS,
  ),
  row("Anthropic's own tools", { tools: [{ type: "web_search_20250305", name: "web_search" }] }),
  row("tool_choice: none", { tool_choice: { type: "none" } }, OWN_TOOLS),
  row("tool_choice: any", { tool_choice: { type: "any" } }, OWN_TOOLS),
  row("tool_choice: tool", { tool_choice: { type: "tool", name: "zzf" } }, OWN_TOOLS),
  row("disable_parallel_tool_use", {
    tool_choice: { type: "auto", disable_parallel_tool_use: true },
  }, OWN_TOOLS),
  row("system messages", talk({ role: "system", content: "zzsystem" })),
  row("assistant messages", talk({ role: "assistant", content: "zzsaid" })),
  row("tool_use", answered("r"), { messages: [USER] }),
  row("tool_result", answered("zzresult")),
  row("tool_result in blocks", answered([{ type: "text", text: "zzresult" }])),
  row("images in results", answered([image(PNG_SOURCE)])),
  row("is_error", answered("r", { is_error: true }), answered("r")),
  row(
    "thinking blocks",
    talk({
      role: "assistant",
      content: [{ type: "thinking", thinking: "zz", signature: "zz" }, { type: "text", text: "a" }],
    }),
    talk({ role: "assistant", content: "a" }),
  ),
  row(
    "redacted_thinking blocks",
    talk({
      role: "assistant",
      content: [{ type: "redacted_thinking", data: "zz" }, { type: "text", text: "a" }],
    }),
    talk({ role: "assistant", content: "a" }),
  ),
  row(
    "blocks of Anthropic's own tools",
    talk({
      role: "assistant",
      content: [{ type: "server_tool_use", id: "s", name: "web_search", input: {} }, {
        type: "text",
        text: "a",
      }],
    }),
    talk({ role: "assistant", content: "a" }),
  ),
  row("image by URL", block(image({ type: "url", url: "https://zz.test" }))),
  row("image with data", block(image(PNG_SOURCE))),
  row("image by file_id", block(image({ type: "file", file_id: "zzfile" }))),
  row(
    "document with data",
    block(document(PDF_SOURCE, { title: "zztitle", context: "zzcontext" })),
  ),
  row(
    "document with text",
    block(document({ type: "text", media_type: "text/plain", data: "zz" })),
  ),
  row("document by URL", block(document({ type: "url", url: "https://zz.test" }))),
  row(
    "document by file_id",
    block(
      document({ type: "file", file_id: "zzfile" }, { title: "zztitle", context: "zzcontext" }),
    ),
  ),
  row(
    "citations of documents",
    block(document(PDF_SOURCE, { citations: { enabled: true } })),
    block(document(PDF_SOURCE)),
  ),
  row(
    "search_result",
    block({
      type: "search_result",
      source: "zzsource",
      title: "zztitle",
      content: [{ type: "text", text: "zztext" }],
    }),
  ),
];
