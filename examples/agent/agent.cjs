// The program under test: a small agent. It asks a model, calls the tool that the model wants, and
// asks again when it is told to wait.

const TOOLS = [{
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
}];

const ROUNDS_MAX = 5;

/** What the model makes of `question`. `baseURL` is that of an OpenAI-compatible API. */
exports.answer = async function answer(question, { baseURL, headers = {}, weatherIn }) {
  const messages = [{ role: "user", content: question }];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const message = await ask(messages, baseURL, headers);
    if (!message.tool_calls) return message.content;
    messages.push(message);
    for (const { id, function: called } of message.tool_calls) {
      const { city } = JSON.parse(called.arguments);
      const content = JSON.stringify(await weatherIn(city));
      messages.push({ role: "tool", tool_call_id: id, content });
    }
  }
  throw new Error(`No answer after ${ROUNDS_MAX} rounds`);
};

async function ask(messages, baseURL, headers) {
  for (;;) {
    const response = await fetch(`${baseURL}/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ model: "gpt-4o", messages, tools: TOOLS }),
    });
    const body = await response.json();
    if (response.ok) return body.choices[0].message;
    if (response.status !== 429) throw new Error(body.error.message);
    const seconds = Number(response.headers.get("retry-after") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}
