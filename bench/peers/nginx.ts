/**
 * Configurations for nginx as a peer: the OpenResty mock made anew in Lua, and a plain proxy.
 *
 * @module
 */

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "../machine.ts";
import type { ServerCommand } from "../server_process.ts";

/** Where distributions keep nginx's loadable modules. */
const MODULE_FOLDERS = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"];
/** The Lua module of nginx needs the kit that it is built on, loaded first. */
const LUA_MODULES = ["ndk_http_module.so", "ngx_http_lua_module.so"];

/** Why nginx with Lua cannot be started here; undefined when it can. */
export function nginxLuaAbsent(): string | undefined {
  if (programPath("nginx") === undefined) return "nginx is not installed";
  return modulePaths() === undefined
    ? "nginx has no Lua module (libnginx-mod-http-lua)"
    : undefined;
}

function modulePaths(): readonly string[] | undefined {
  const folder = MODULE_FOLDERS.find((path) => existsSync(join(path, LUA_MODULES[1]!)));
  return folder === undefined ? undefined : LUA_MODULES.map((name) => join(folder, name));
}

/** How nginx is started with a configuration, in the foreground. */
export function nginxCommand(
  folder: string,
  config: string,
): Pick<ServerCommand, "command" | "readyPath"> {
  mkdirSync(join(folder, "tmp"), { recursive: true });
  return {
    command: [programPath("nginx")!, "-p", folder, "-c", config, "-e", "stderr"],
    readyPath: "/health",
  };
}

/** One worker, as weir has one process; as many connections as the system allows it. */
function frame(folder: string, modules: readonly string[], http: string): string {
  return `
${modules.map((path) => `load_module ${path};`).join("\n")}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${folder}/tmp;
  proxy_temp_path ${folder}/tmp;
  fastcgi_temp_path ${folder}/tmp;
  uwsgi_temp_path ${folder}/tmp;
  scgi_temp_path ${folder}/tmp;
  keepalive_requests 100000000;
  tcp_nodelay on;
${http}
}
`;
}

/**
 * The OpenResty mock (docs/facts/systems.md "Events"): a role chunk, one chunk per word, a finish chunk, [DONE]; each encoded by cjson
 * when it is its turn. `way` says whether each is flushed, and `sleepS` how long it sleeps per word.
 */
export function nginxLuaConfig(
  folder: string,
  port: number,
  words: readonly string[],
  way: "flushed" | "whole" | "paced",
  sleepS: number,
): string {
  const say = way === "whole" ? "out[#out + 1] = text" : "ngx.print(text) ngx.flush(true)";
  return frame(
    folder,
    modulePaths() ?? [],
    `
  lua_code_cache on;
  init_by_lua_block {
    words = { ${words.map((word) => `[==[${word}]==]`).join(", ")} }
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /health { default_type text/plain; return 200 "OK\\n"; }
    location /v1/chat/completions {
      content_by_lua_block {
        local cjson = require "cjson"
        if ngx.var.request_method ~= "POST" then return ngx.exit(405) end
        ngx.header["Content-Type"] = "text/event-stream"
        ngx.header["Cache-Control"] = "no-cache"
        ngx.header["Access-Control-Allow-Origin"] = "*"
        ngx.header["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        ngx.header["Access-Control-Allow-Headers"] = "Content-Type, Authorization"
        local id = "chatcmpl-" .. ngx.time() .. math.random(100000, 999999)
        local created = ngx.time()
        local out = {}
        local function put(text) ${say} end
        local function chunk(delta, reason)
          put("data: " .. cjson.encode({
            id = id, object = "chat.completion.chunk", created = created, model = "gpt-3.5-turbo",
            choices = { { index = 0, delta = delta, finish_reason = reason } },
          }) .. "\\n\\n")
        end
        chunk({ role = "assistant" }, cjson.null)
        for _, word in ipairs(words) do
          chunk({ content = word }, cjson.null)
          ${sleepS > 0 ? `ngx.sleep(${sleepS})` : ""}
        end
        chunk({}, "stop")
        put("data: [DONE]\\n\\n")
        ${way === "whole" ? "ngx.print(out)" : ""}
      }
    }
  }
`,
  );
}

/** A proxy without buffering and with a pool of connections upstream. */
export function nginxProxyConfig(folder: string, port: number, upstreamOrigin: string): string {
  return frame(
    folder,
    [],
    `
  upstream answers { server ${
      upstreamOrigin.replace("http://", "")
    }; keepalive 4096; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /health { default_type text/plain; return 200 "OK\\n"; }
    location / {
      proxy_pass http://answers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 300s;
    }
  }
`,
  );
}
