import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { hasProgram } from "../deploy/program.ts";
import { type Nginx, startNginx } from "../deploy/nginx.ts";
import { canMakeCertificates } from "./certificate.ts";
import { type Answer, type Asked, parseAnswers, parseRequests } from "./http1_messages.ts";
import {
  type Kind,
  passedOn,
  type Recorder,
  type Rig,
  type Settings,
  startRecorder,
  startRig,
  untilClosed,
} from "./http1_rig.ts";
import { BODY_BYTES_MAX, CHAT, PROBE, type Row, ROWS } from "./http1_table.ts";
import { TEST_MS_MAX, waitFor } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { type Proxied, proxied } from "./proxied.ts";
import { connect, type Target } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

const SETTINGS: Settings = {
  "server.body_max_bytes": BODY_BYTES_MAX,
  // So that a server that waits where it should answer is found out soon.
  "server.body_timeout_ms": 10_000,
  "server.idle_timeout_ms": 10_000,
  "ops.log": "off",
};

/** Sends `row` with the probe behind it: every answer until the connection closes. */
async function outcome(target: Target, row: Row): Promise<Answer[]> {
  const client = await connect(target, Buffer.from(row.bytes + PROBE, "latin1"));
  return parseAnswers(await untilClosed(client), row.bytes.startsWith("HEAD ") ? ["HEAD"] : []);
}

function isChat({ status, body }: Answer): boolean {
  return status === 200 && body.toString("latin1").endsWith("data: [DONE]\n\n");
}

/** Throws when `answers` are not what `row` says. */
function expectRow(row: Row, answers: readonly Answer[]): void {
  const statuses = answers.map(({ status }) => status);
  const wanted = row.answers.length;
  const isProbed = statuses.length === wanted + 1;
  for (const [i, right] of row.answers.entries()) {
    const status = statuses[i];
    if (status === undefined || !right.includes(status)) {
      throw new Error(`Answer ${i + 1} has to be one of ${right}: the answers are [${statuses}]`);
    }
  }
  if (statuses.length > wanted + 1 || (isProbed && row.probe === "never")) {
    throw new Error(`No more than ${wanted} answers were asked for: there are [${statuses}]`);
  }
  if (!isProbed && row.probe === "answered") {
    throw new Error(`The request behind has to be answered: the answers are [${statuses}]`);
  }
  if (isProbed && statuses.at(-1) !== 200) {
    throw new Error(`The request behind has to be answered with 200: it is ${statuses.at(-1)}`);
  }
  for (const { status, body, isWhole } of answers) {
    expect([status, isWhole]).toEqual([status, true]);
    expect(body.toString("latin1")).not.toContain("smuggled");
  }
}

/** Rows in which the client does not know HTTP/1.1, where a close goes without saying. */
function isOld(row: Row): boolean {
  return row.bytes.includes("HTTP/1.0");
}

for (const kind of ["plain", "TLS", "unix", "proxy"] as const satisfies Kind[]) {
  const what = kind === "proxy" ? "the proxy" : `the mock, ${kind}`;
  describe.skipIf(kind === "TLS" && !canMakeCertificates())(`an HTTP/1.1 client of ${what}`, () => {
    let rig: Rig;
    beforeAll(async () => {
      rig = await startRig(kind, SETTINGS);
    });
    afterAll(() => rig.stop());

    const seen = new Map<Row, Answer[]>();
    async function answersTo(row: Row): Promise<Answer[]> {
      const answers = seen.get(row) ?? await outcome(rig.target, row);
      seen.set(row, answers);
      return answers;
    }

    for (const row of ROWS) {
      test(`sends ${row.name}`, async () => {
        const before = rig.requests.length;
        const answers = await answersTo(row);
        expectRow(row, answers);
        // Nothing but the chats that were answered ever reached the upstream, each as it was meant.
        const passed = rig.requests.slice(before).map(passedOn);
        expect(passed).toEqual(kind === "proxy" ? answers.filter(isChat).map(() => CHAT) : []);
      });
    }

    test("every answer has its date", async () => {
      for (const row of ROWS) {
        for (const { status, fields } of await answersTo(row)) {
          expect([row.name, status, fields.get("date")?.length]).toEqual([row.name, status, 1]);
        }
      }
    });

    test("the last answer says that the connection closes", async () => {
      for (const row of ROWS.filter((row) => !isOld(row))) {
        const last = (await answersTo(row)).at(-1);
        expect([row.name, last?.fields.get("connection")?.join().toLowerCase()])
          .toEqual([row.name, "close"]);
      }
    });

    test("a chat that cannot be read is refused as OpenAI refuses", async () => {
      const isOfChat = ({ bytes }: Row) => bytes.startsWith("POST /v1/chat/completions HTTP/1.1");
      for (const row of ROWS.filter(isOfChat)) {
        for (const { status, body } of await answersTo(row)) {
          if (status !== 400) continue;
          expect([row.name, JSON.parse(body.toString())]).toEqual([row.name, {
            error: expect.objectContaining({
              message: expect.any(String),
              type: "invalid_request_error",
            }),
          }]);
        }
      }
    });
  });
}

describeWith(hasProgram("nginx"), "nginx", "an HTTP/1.1 client of nginx before the proxy", () => {
  let proxy: Proxied;
  let recorder: Recorder;
  let nginx: Nginx;
  beforeAll(async () => {
    proxy = await proxied({ set: SETTINGS });
    recorder = await startRecorder(proxy.weir.port);
    nginx = await startNginx(recorder.port, { bodyBytesMax: 2 * BODY_BYTES_MAX });
  });
  afterAll(async () => {
    await nginx.stop();
    recorder.stop();
    await proxy.stop();
  });

  /** A request that nginx passed on, and what weir made of it. */
  interface Pair {
    readonly asked: Asked;
    readonly answer: Answer | undefined;
  }

  /** What went between nginx and weir since it was last forgotten, as a reader of its own reads it. */
  function pairs(): Pair[] {
    return recorder.connections.flatMap((connection) => {
      const requests = parseRequests(Buffer.concat(connection.asked), "careless");
      const methods = requests.map(({ method }) => method);
      const answers = parseAnswers(Buffer.concat(connection.answered), methods);
      if (answers.length > requests.length) throw new Error("weir answered what nobody asked");
      return requests.map((asked, i) => ({ asked, answer: answers[i] }));
    });
  }

  for (const row of ROWS.filter(({ isHalf }) => isHalf === undefined)) {
    test(`sends ${row.name}: weir reads the requests that nginx read`, async () => {
      recorder.forget();
      const seenBefore = proxy.upstream.requests.length;
      const client = await connect(nginx.port, Buffer.from(row.bytes + PROBE, "latin1"));
      await untilClosed(client);
      await waitFor(
        () => pairs().every(({ answer }) => answer?.isWhole),
        "an answer to each request that nginx passed on",
      );
      const chats = pairs().filter(({ answer }) => answer !== undefined && isChat(answer));
      const passed = proxy.upstream.requests.slice(seenBefore).map(passedOn);
      expect(passed.sort()).toEqual(chats.map(({ asked }) => asked.body.toString("latin1")).sort());
    });
  }
});
