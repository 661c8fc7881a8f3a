/**
 * The page: makes its parts and joins them to index.html.
 *
 * @module
 */

import { Api } from "./api.ts";
import { ChatTab } from "./chat_tab.ts";
import { byId } from "./element.ts";
import { joinTabs } from "./tabs.ts";
import { restoreTheme, switchTheme } from "./theme.ts";
import { Token } from "./token.ts";
import { showUpstreams } from "./upstreams.ts";
import { Wording } from "./wording.ts";
import { fillWorkflows } from "./workflows_tab.ts";

restoreTheme();
const wording = new Wording(navigator.language);
const token = new Token(wording);
// Relative to the page, so that both may lie below a path of a reverse proxy.
const api = new Api(new URL(".", location.href), token, wording);

const forget = byId("forget-token");
forget.hidden = token.value === null;
forget.addEventListener("click", () => token.forget());
token.onChange = (isHeld) => forget.hidden = !isHeld;
byId("language").addEventListener("click", () => wording.switch());
byId("theme").addEventListener("click", switchTheme);

const chat = new ChatTab(api, wording);
byId("chat").append(chat.root);
joinTabs(byId("tabs"), (panel) => {
  if (panel.id === "chat") chat.show();
});
wording.sayAll();
void fillWorkflows(byId("workflows"), api, wording);
void showSource();

async function readHealth(): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(new URL("health", api.base));
  return await response.json();
}

/** Version, source and upstreams, from health. The page does without them when it does not answer. */
async function showSource(): Promise<void> {
  const health = await readHealth().catch((): Readonly<Record<string, unknown>> => ({}));
  showUpstreams(byId("upstreams"), health, readHealth, wording);
  if (typeof health["version"] !== "string") return;
  byId("version").textContent = `weir ${health["version"]}`;
  wording.say(byId("source"), "answered_by", String(health["source"]));
}
