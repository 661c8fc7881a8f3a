/**
 * The handlers: what each URL does with a request, made from the parts.
 *
 * @module
 */

import { defaultModel } from "./answerers.ts";
import type { Config } from "./config/config.ts";
import { servePage } from "./ops/page.ts";
import { makeToken } from "./ops/token.ts";
import type { Parts, World } from "./parts.ts";
import { apiChat } from "./surfaces/content_events/chat.ts";
import { tasks } from "./surfaces/model_compose/tasks.ts";
import { workflowSchemas } from "./surfaces/model_compose/workflows.ts";
import { workflowRuns } from "./surfaces/model_compose/runs.ts";
import { chat } from "./surfaces/gpt_server/chat.ts";
import { conv } from "./surfaces/gpt_server/conv.ts";
import { ownConv } from "./surfaces/gpt_server/conv_own.ts";
import { passedConv } from "./surfaces/gpt_server/conv_passed.ts";
import { docs } from "./surfaces/admin/docs.ts";
import { event } from "./surfaces/gpt_server/event.ts";
import { memoryServer } from "./surfaces/character_chat/memory.ts";
import { openapiRoutes } from "./surfaces/openapi_routes.ts";
import { token } from "./surfaces/gpt_server/token.ts";
import { chatCompletions, v1Door } from "./surfaces/openai/chat_completions.ts";
import { models } from "./surfaces/openai/models.ts";
import { v1Response } from "./surfaces/character_chat/response.ts";

/** Makes every handler that `app.ts` mounts. `basePath` is where the workflows are. */
export function makeHandlers(config: Config, world: World, parts: Parts, basePath: string) {
  const { engine, stamps, answerers, memory, workflows, authorize, admit, bodyLimits } = parts;
  const { recordLateness } = parts;
  const { source } = answerers.main;
  const { secret_key } = config.auth;
  const secrets = world.tokens.map(({ token }) => token);
  const model = defaultModel(config);
  const shared = { engine, source, stamps, authorize, secrets };
  const streaming = { engine, stamps, bodyLimits, recordLateness };
  const openai = {
    ...streaming,
    persona: config.mock.persona,
    validate: config.mock.validate,
    processingMs: config.mock.first_token_ms,
  };
  const v1Chat = chatCompletions({ ...openai, source, door: v1Door(authorize, secrets) });
  const contentChat = apiChat({
    ...streaming,
    authorize,
    source: answerers.apiChat.source,
    defaultModel: model,
  });
  const response = v1Response({
    ...shared,
    source: answerers.response.source,
    memory,
    recordLateness,
    bodyLimits,
    model: config.llm.model_id || (config.mock.models[0] ?? ""),
    onDisconnect: config.response.on_disconnect,
    wallMs: world.wallMs,
    makeSessionId: world.uuid,
  });
  const remember = memoryServer({
    engine,
    memory,
    authorize,
    bodyLimits,
    wallMs: world.wallMs,
    makeTaskId: world.uuid,
  });
  const tokenChat = chat({ ...openai, admit, source: answerers.chat.source });
  const giveToken = token({
    engine,
    hasSecretKey: secret_key !== "",
    makeToken: ({ id, hours, key }) => makeToken({ id, hours, key, nowMs: world.wallMs() }),
  });
  const timedEvents = event(streaming);
  const converse = conv({
    engine,
    admit,
    room: answerers.conv !== undefined
      ? passedConv({ upstream: answerers.conv, bodyLimits, uuid: world.uuid })
      : ownConv({
        ...streaming,
        source,
        conversations: parts.conversations,
        historyMax: 2 * config.memory.history_turns,
        model,
        uuid: world.uuid,
      }),
  });
  const pages = docs({
    routes: openapiRoutes(basePath),
    version: world.version,
  });
  const workflowDeps = { engine, workflows, authorize, bodyLimits };
  const runWorkflow = workflowRuns(workflowDeps);
  const showWorkflows = workflowSchemas(workflowDeps);
  const showTask = tasks(workflowDeps);
  const page = servePage();
  const listModels = models({ ...shared, models: config.mock.models });
  return {
    v1Chat,
    contentChat,
    response,
    remember,
    tokenChat,
    giveToken,
    timedEvents,
    converse,
    pages,
    runWorkflow,
    showWorkflows,
    showTask,
    page,
    listModels,
  };
}
