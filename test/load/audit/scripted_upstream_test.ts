import { afterAll, describe, expect, test } from "bun:test";
import { type Attempt, ScriptedUpstream } from "../../../src/load/audit/scripted_upstream.ts";
import { rawExchange, waitFor } from "../../server/launch.ts";

const upstream = ScriptedUpstream.listen("127.0.0.1", 0);
afterAll(() => upstream.close());

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const MARK = "wa-00000000000000";

function post(body: string, fields: readonly string[] = []): string {
  return [
    "POST /v1/x HTTP/1.1",
    "host: a",
    ...fields,
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

describe("ScriptedUpstream", () => {
  test("answers each request on a connection by the mark in its body", async () => {
    const one = upstream.expect(`${MARK}01`, (attempt) => attempt.write(OK));
    const two = upstream.expect(`${MARK}02`, async (attempt) => {
      attempt.write(OK);
      await attempt.cut();
    });
    const said = await rawExchange(
      upstream.port,
      post(`a ${MARK}01`, ["X-Team: blue", "x-team: red"]) + post(`b ${MARK}02`),
    );
    expect(said).toBe(OK + OK);
    expect(one.attempts[0]!.fields("x-team")).toEqual(["blue", "red"]);
    expect(two.attempts[0]!).toMatchObject({ ordinal: 2, leaving: "own" });
    expect(two.attempts[0]!.connection).toBe(one.attempts[0]!.connection);
    expect(one.attempts[0]!.writes.map(({ bytes }) => bytes.length)).toEqual([OK.length]);
  });

  test("reads a body in chunks, and asks for one that waits to be asked for", async () => {
    const expectation = upstream.expect(`${MARK}03`, (attempt) => {
      attempt.write(OK);
      return attempt.cut();
    });
    const said = await rawExchange(
      upstream.port,
      "POST /v1/x HTTP/1.1\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n" +
        `9\r\n${MARK.slice(0, 9)}\r\na\r\n${MARK.slice(9)}03\r\n0\r\n\r\n`,
    );
    expect(said).toBe(`HTTP/1.1 100 Continue\r\n\r\n${OK}`);
    expect(expectation.attempts[0]!.body.toString()).toBe(`${MARK}03`);
  });

  test("answers what has no mark, and remembers that it came", async () => {
    const said = await openAnd("GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(said).toStartWith("HTTP/1.1 200 OK");
    expect(upstream.strangers.at(-1)).toStartWith("GET /v1/models");
  });

  test("is gone for a mark that was forgotten", async () => {
    upstream.expect(`${MARK}04`, (attempt) => attempt.write(OK));
    upstream.forget(`${MARK}04`);
    expect(await openAnd(post(`${MARK}04`))).toStartWith("HTTP/1.1 410 Gone");
  });

  const STREAM = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
  const CHUNKS = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  const closing = [
    ["HTTP/1.0 without chunks", "1.0", "", `${STREAM}connection: close\r\n\r\nabcde`],
    [
      "HTTP/1.0 that would be kept, too",
      "1.0",
      "connection: keep-alive\r\nexpect: 100-continue\r\n",
      `${STREAM}connection: close\r\n\r\nabcde`,
    ],
    [
      "Connection: close",
      "1.1",
      "Connection: x-hop, Close\r\n",
      `${STREAM}transfer-encoding: chunked\r\nconnection: close\r\n\r\n${CHUNKS}`,
    ],
  ] as const;
  for (const [name, version, fields, wanted] of closing) {
    test(`answers ${name}, and closes behind it`, async () => {
      const mark = `${MARK}08`;
      const { attempts } = upstream.expect(mark, async (attempt) => {
        attempt.write(`${STREAM}transfer-encoding: chunked\r\n\r\n${CHUNKS.slice(0, 5)}`);
        await attempt.pause(1);
        attempt.write(CHUNKS.slice(5));
      });
      const request =
        `POST /v1/x HTTP/${version}\r\n${fields}content-length: ${mark.length}\r\n\r\n${mark}`;
      expect(await rawExchange(upstream.port, request + post(`a ${MARK}01`))).toBe(wanted);
      const written = attempts[0]!.writes.map(({ bytes }) => Buffer.from(bytes).toString());
      expect(written.join("")).toBe(wanted);
      expect(attempts[0]!.leaving).toBe("own");
    });
  }

  test("ends with the connection what has no other end, for HTTP/1.0 too", async () => {
    for (const version of ["1.0", "1.1"]) {
      const { attempts } = upstream.expect(`${MARK}0c`, async (attempt) => {
        attempt.write(`${STREAM}\r\nabc`);
        await attempt.pause(1);
        attempt.write("de");
        await attempt.cut();
      });
      const said = await rawExchange(upstream.port, post(`${MARK}0c`).replace("1.1", version));
      expect(said).toStartWith(STREAM);
      expect(said).toEndWith("\r\n\r\nabcde");
      expect(attempts[0]!.leaving).toBe("own");
    }
  });

  test("answers HTTP/1.0 without a mark, and HEAD, and closes", async () => {
    expect(await rawExchange(upstream.port, "GET /v1/models HTTP/1.0\r\n\r\n")).toEndWith(
      'connection: close\r\n\r\n{"object":"list","data":[]}',
    );
    expect(
      await rawExchange(upstream.port, "HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
    ).toEndWith("content-length: 27\r\nconnection: close\r\n\r\n");
  });

  test("resets what would look whole in HTTP/1.0, and leaves a broken head as it is", async () => {
    upstream.expect(`${MARK}09`, (attempt) => {
      attempt.write(`${STREAM}transfer-encoding: chunked\r\n\r\n${CHUNKS.slice(0, 8)}`);
      return attempt.cut();
    });
    upstream.expect(`${MARK}0a`, (attempt) => {
      attempt.write("HTTP/1.1 200 OK\r\ncontent-ty");
      return attempt.cut();
    });
    const ask = (mark: string) => post(mark).replace("HTTP/1.1", "HTTP/1.0");
    const wasReset = Promise.withResolvers<boolean>();
    await Bun.connect({
      hostname: "127.0.0.1",
      port: upstream.port,
      socket: {
        open: (one) => void one.write(ask(`${MARK}09`)),
        data() {},
        close: (_, error) => wasReset.resolve(error !== undefined),
      },
    });
    expect(await wasReset.promise).toBe(true);
    expect(await rawExchange(upstream.port, ask(`${MARK}0a`))).toBe(
      "HTTP/1.1 200 OK\r\ncontent-ty",
    );
  });

  for (const how of ["fin", "reset"] as const) {
    test(`sees a client that leaves with a ${how.toUpperCase()}`, async () => {
      const mark = `${MARK}0${how === "fin" ? 5 : 6}`;
      const arrived = Promise.withResolvers<Attempt>();
      upstream.expect(mark, (attempt) => arrived.resolve(attempt));
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: upstream.port,
        socket: { open: (one) => void one.write(post(mark)), data() {} },
      });
      const attempt = await arrived.promise;
      if (how === "fin") socket.end();
      else socket.terminate();
      await attempt.left;
      expect(attempt.leaving).toBe(how);
      expect(attempt.leftMs!).toBeGreaterThanOrEqual(attempt.arrivedMs);
    });
  }

  test("refuses connections while it is told to, and takes them again", async () => {
    const own = ScriptedUpstream.listen("127.0.0.1", 0);
    const connect = () =>
      Bun.connect({ hostname: "127.0.0.1", port: own.port, socket: { data() {} } });
    const told = await own.refusing(() => connect().then(() => "taken", () => "refused"));
    expect(told).toBe("refused");
    (await connect()).terminate();
    own.close();
  });

  test("a script that throws ends the connection", async () => {
    upstream.expect(`${MARK}07`, () => {
      throw new Error("no");
    });
    expect(await openAnd(post(`${MARK}07`))).toBe("");
  });
});

/** What comes within the answer, or until the connection ends. */
async function openAnd(request: string): Promise<string> {
  let said = "";
  let isOver = false;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: upstream.port,
    socket: {
      open: (one) => void one.write(request),
      data: (_, bytes) => void (said += bytes.toString()),
      close: () => void (isOver = true),
      error: () => void (isOver = true),
    },
  });
  await waitFor(() => isOver || said.includes("\r\n\r\n"));
  socket.terminate();
  return said;
}
