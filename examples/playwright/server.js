// The program under test: a page with one question, and the server that puts it to a model.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { answer } from "../agent/agent.cjs";

const PAGE = `<!doctype html>
<form><label>Question <input name="question"></label> <button>Ask</button></form>
<output></output>
<script>
  document.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const body = event.target.question.value;
    const answer = await fetch("/ask", { method: "POST", body });
    document.querySelector("output").textContent = await answer.text();
  };
</script>`;

/** Serves the page on any free port; `baseURL` is that of the model. */
export function serve(baseURL) {
  const server = createServer(async (request, response) => {
    if (request.url !== "/ask") {
      return response.setHeader("content-type", "text/html").end(PAGE);
    }
    const weatherIn = () => ({ temperature: 21 });
    try {
      response.end(await answer(await text(request), { baseURL, weatherIn }));
    } catch (error) {
      response.end(`Sorry: ${error.message}`);
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
