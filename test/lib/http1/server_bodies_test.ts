import { describe, expect, test } from "bun:test";
import type { ServerExchange } from "../../../src/lib/http1/server_exchange.ts";
import { waitFor } from "../../server/launch.ts";
import type { RawSocket } from "./raw_socket.ts";
import {
  answersIn,
  bodiesIn,
  echo,
  get,
  hold,
  Listener,
  message,
  OVER_MS,
  post,
  postChunks,
  type ServerRig,
  servingRigs,
  Taker,
} from "./server_rig.ts";

const serving = servingRigs();

/** Answers with the body, once it is whole. */
function read(exchange: ServerExchange): void {
  const whole = exchange.wholeBody();
  if (whole !== undefined) return void exchange.whole(200, {}, whole.bytes());
  const pieces: Buffer[] = [];
  exchange.flowBody({
    onBytes: (bytes) => void pieces.push(bytes),
    onBodyEnd: () => exchange.whole(200, {}, Buffer.concat(pieces)),
    onBodyBroken: (error) => exchange.whole(400, {}, error?.code ?? "gone"),
  });
}

/** A rig that answers with each body, and a client of it. */
async function reading(bytes: string): Promise<{ rig: ServerRig; client: RawSocket }> {
  const rig = serving(read);
  return { rig, client: await rig.client(bytes) };
}

/** Waits until the kernel takes no more bytes: two looks without a change. */
async function untilStill(client: RawSocket): Promise<void> {
  let before = -1;
  await waitFor(() => {
    const isStill = client.unsent.length === before;
    before = client.unsent.length;
    return isStill;
  }, "the client to be held back");
}

const CHUNKED = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n";

/** Requests that say the same body, each in its own way. */
const BODIES: readonly (readonly [name: string, request: string, body: string])[] = [
  ["none", get("/"), ""],
  ["a length of 0", post("/", ""), ""],
  ["a length", post("/", "hello"), "hello"],
  ["what looks like a request", post("/", get("/no")), get("/no")],
  ["one chunk", postChunks("/", "hello"), "hello"],
  ["several chunks", postChunks("/", "hel", "l", "o"), "hello"],
  ["no chunk", postChunks("/"), ""],
  ["chunks with extensions", `${CHUNKED}\r\n5;a=1 ;b="x"\r\nhello\r\n000\r\n\r\n`, "hello"],
  ["chunks with a trailer", `${CHUNKED}\r\n5\r\nhello\r\n0\r\nA: 1\r\nB: 2\r\n\r\n`, "hello"],
];

describe("ServerExchange, a body that comes along with its head", () => {
  for (const [name, request, body] of BODIES) {
    test(`is whole when it is asked for: ${name}`, async () => {
      const seen: unknown[] = [];
      const rig = serving((exchange) => {
        const { isBodyWhole, bodyLengthBytes, head: { framing, target } } = exchange;
        const length = target === "/next" ? 0 : body.length;
        seen.push(
          isBodyWhole,
          bodyLengthBytes === (framing === "chunked" ? undefined : length),
        );
        seen.push(exchange.wholeBody()!.text(), exchange.backlogBytes);
        echo(exchange);
      });
      const client = await rig.client(request + get("/next"));
      await client.until("/next");
      expect(seen).toEqual([true, true, body, 0, true, true, "", 0]);
    });

    test(`flows in one call: ${name}`, async () => {
      const taker = new Taker();
      const rig = serving((exchange) => {
        exchange.flowBody(taker);
        expect(taker.isWhole).toBe(true);
        echo(exchange);
      });
      const client = await rig.client(request);
      await client.until("\r\n\r\n/");
      expect([taker.text, taker.pieces]).toEqual([body, body === "" ? 0 : 1]);
    });
  }
});

describe("ServerExchange, a body that comes later", () => {
  for (const [name, request, body] of BODIES) {
    test(`is whole, byte by byte: ${name}`, async () => {
      const { client, rig } = await reading("");
      for (const byte of request + get("/next", ["Connection: close"])) {
        client.send(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(bodiesIn(await client.untilFin())).toEqual([body, ""]);
      expect(rig.targets).toEqual(["/", "/next"]);
    });
  }

  test("tells its length, and undefined for chunks", async () => {
    const rig = serving(hold);
    await rig.client("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    for (const [index, length] of [[0, 9], [1, undefined]] as const) {
      const exchange = await rig.request(index);
      expect(exchange.bodyLengthBytes).toBe(length!);
      expect([exchange.isBodyWhole, exchange.wholeBody()]).toEqual([false, undefined]);
      expect(exchange.backlogBytes).toBe(3);
    }
  });

  test("becomes whole while nobody takes it", async () => {
    const rig = serving(hold);
    const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    const exchange = await rig.request(0);
    client.send("2\r\nde\r\n0\r\n\r\n");
    await rig.barrier();
    expect([exchange.isBodyWhole, exchange.backlogBytes]).toEqual([true, 5]);
    expect(exchange.wholeBody()!.text()).toBe("abcde");
    expect([exchange.backlogBytes, exchange.wholeBody()!.byteLength]).toEqual([0, 0]);
  });

  test("flows from where it is, and stands still while it is paused", async () => {
    const rig = serving(hold);
    const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    const exchange = await rig.request(0);
    const taker = new Taker();
    exchange.pauseBody();
    exchange.flowBody(taker);
    client.send("2\r\nde\r\n");
    await rig.barrier();
    expect([taker.text, exchange.backlogBytes]).toEqual(["", 5]);
    exchange.resumeBody();
    expect([taker.text, exchange.backlogBytes]).toEqual(["abcde", 0]);
    exchange.pauseBody();
    client.send("1\r\nf\r\n0\r\n\r\n");
    await rig.barrier();
    expect([taker.text, taker.isWhole]).toEqual(["abcde", false]);
    exchange.resumeBody();
    exchange.resumeBody();
    expect([taker.text, taker.isWhole]).toEqual(["abcdef", true]);
  });

  test("stops where its taker pauses it", async () => {
    const rig = serving(hold);
    const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    const exchange = await rig.request(0);
    client.send("2\r\nde\r\n0\r\n\r\n");
    await rig.barrier();
    const pieces: string[] = [];
    exchange.flowBody({
      onBytes(bytes) {
        pieces.push(bytes.toString());
        exchange.pauseBody();
      },
      onBodyEnd: () => void pieces.push("end"),
      onBodyBroken: () => void pieces.push("broken"),
    });
    expect([pieces, exchange.backlogBytes]).toEqual([["abc"], 2]);
    exchange.resumeBody();
    expect(pieces.slice(0, 2)).toEqual(["abc", "de"]);
    exchange.resumeBody();
    expect(pieces).toEqual(["abc", "de", "end"]);
  });

  test("keeps its order where its taker pauses and resumes at once", async () => {
    const rig = serving(hold);
    const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    const exchange = await rig.request(0);
    client.send("2\r\nde\r\n0\r\n\r\n");
    await rig.barrier();
    const pieces: string[] = [];
    exchange.flowBody({
      onBytes(bytes) {
        exchange.pauseBody();
        exchange.resumeBody();
        pieces.push(bytes.toString());
      },
      onBodyEnd: () => void pieces.push("end"),
      onBodyBroken: () => void pieces.push("broken"),
    });
    expect(pieces).toEqual(["abc", "de", "end"]);
  });

  test("flows while its client takes nothing of the answer, and what is behind it waits", async () => {
    const rig = serving((exchange) => {
      if (exchange.head.target !== "/") echo(exchange);
    });
    const client = await rig.client(message("POST", "/", ["Content-Length: 5"], "abc"), 0);
    const exchange = await rig.request(0);
    const taker = new Taker();
    exchange.flowBody(taker);
    const piece = Buffer.alloc(1_000_000, "x");
    let length = piece.length;
    exchange.begin(200, {}, piece, new Listener());
    for (; exchange.write(piece); length += piece.length);
    length += piece.length;
    client.send(`de${get("/next", ["Connection: close"])}`);
    await waitFor(() => taker.isWhole, "the body");
    expect(taker.text).toBe("abcde");
    exchange.end("end");
    client.read();
    await client.untilFin();
    const [first, second] = answersIn(client.text);
    expect([first!.body.length, second!.body]).toEqual([length, "/next"]);
  });

  test("is held to 64 KiB while nobody takes it, and then comes whole", async () => {
    const rig = serving(hold);
    const body = Array.from({ length: 4_000_000 }, (_, i) => String(i % 10)).join("").repeat(8);
    const client = await rig.client();
    client.send(post("/", body));
    const exchange = await rig.request(0);
    await untilStill(client);
    expect(client.unsent.length).toBeGreaterThan(body.length / 4);
    // One read of the socket may be above.
    expect(exchange.backlogBytes).toBeLessThan(65_536 + 524_288);
    let length = 0;
    let hash = new Bun.CryptoHasher("sha1");
    const whole = Promise.withResolvers<void>();
    exchange.flowBody({
      onBytes(bytes) {
        length += bytes.length;
        hash = hash.update(bytes);
      },
      onBodyEnd: () => whole.resolve(),
      onBodyBroken: () => whole.reject(new Error("broken")),
    });
    await whole.promise;
    expect(length).toBe(body.length);
    expect(hash.digest("hex")).toBe(new Bun.CryptoHasher("sha1").update(body).digest("hex"));
    expect(exchange.backlogBytes).toBe(0);
  });

  test("is held to 64 KiB while it is paused", async () => {
    const rig = serving(hold);
    const body = "x".repeat(32_000_000);
    const client = await rig.client();
    client.send(post("/", body));
    const exchange = await rig.request(0);
    const taker = new Taker();
    exchange.flowBody(taker);
    exchange.pauseBody();
    await untilStill(client);
    expect(client.unsent.length).toBeGreaterThan(body.length / 4);
    exchange.resumeBody();
    await waitFor(() => taker.isWhole);
    expect(taker.text.length).toBe(body.length);
  });

  test("that nobody wants is thrown away while the answer goes on", async () => {
    const rig = serving((exchange) => {
      exchange.dropBody();
      exchange.begin(200, {}, "a", new Listener());
    });
    const client = await rig.client(post("/", "x".repeat(200_000)) + get("/no"));
    const exchange = await rig.request(0);
    await waitFor(() => exchange.isBodyWhole);
    expect(exchange.backlogBytes).toBe(0);
    const listener = new Listener();
    exchange.listen(listener);
    client.finish();
    await rig.untilFree();
    expect(listener.leaves).toBe(1);
  });
});

describe("ServerExchange, a client that waits to be told to go on", () => {
  const HEAD = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n";
  const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
  const EXPECTING = `${HEAD}Content-Length: 5\r\n\r\n`;

  for (
    const [name, head, body] of [
      ["a length", EXPECTING, "hello"],
      ["chunks", `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, "5\r\nhello\r\n0\r\n\r\n"],
    ] as const
  ) {
    test(`is told once its body is wanted: ${name}`, async () => {
      const rig = serving(hold);
      const client = await rig.client(head);
      const exchange = await rig.request(0);
      await rig.barrier();
      expect(client.text).toBe("");
      read(exchange);
      await client.until(CONTINUE);
      client.send(body);
      await client.until("hello");
      expect(client.text.split(CONTINUE)).toHaveLength(2);
      expect(answersIn(client.text).map(({ status }) => status)).toEqual([100, 200]);
    });
  }

  const NEVER: readonly (readonly [name: string, request: string])[] = [
    ["has sent its body already", `${EXPECTING}hello`],
    ["has begun to send it", `${EXPECTING}hel`],
    ["has none", `${HEAD}Content-Length: 0\r\n\r\n`],
    [
      "speaks HTTP/1.0",
      `POST / HTTP/1.0\r\nExpect: 100-continue\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n`,
    ],
  ];
  for (const [name, request] of NEVER) {
    test(`is not told when it ${name}`, async () => {
      const { rig, client } = await reading(request);
      await rig.request(0);
      await rig.barrier();
      client.send("hello".slice(request.split("\r\n\r\n")[1]!.length));
      await client.until("HTTP/1.1 200");
      expect(client.text).not.toContain("100 Continue");
    });
  }

  test("is not told when it is answered without its body", async () => {
    const rig = serving((exchange) => exchange.whole(413, {}, "no"));
    const client = await rig.client(EXPECTING);
    await client.until("\r\n\r\nno");
    // Whether it sends its body all the same cannot be told from what follows.
    expect(answersIn(client.text)).toMatchObject([{
      status: 413,
      fields: { connection: "close" },
    }]);
    client.send(get("/no"));
    await client.untilFin();
    expect(rig.targets).toEqual(["/"]);
  });

  test("is not told behind an answer that has begun", async () => {
    const rig = serving((exchange) => {
      exchange.begin(200, {}, "a", new Listener());
      exchange.flowBody(new Taker());
      exchange.end("end", "b");
    });
    const client = await rig.client(EXPECTING);
    await client.until("0\r\n\r\n");
    expect(bodiesIn(client.text)).toEqual(["ab"]);
  });

  test("is answered with what it asks instead, when that is something else", async () => {
    const { rig, client } = await reading("POST / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n");
    await client.untilFin();
    expect(rig.faults).toEqual(["expectation_failed"]);
  });
});

describe("ServerConnection, an answer before the body is whole", () => {
  const early = (exchange: ServerExchange) => exchange.whole(200, {}, exchange.head.target);

  test("throws a small rest away, and goes on behind it", async () => {
    const rig = serving(early);
    const body = `${get("/no")}${"x".repeat(2_000_000)}`;
    const request = post("/1", body);
    const client = await rig.client(request.slice(0, request.length - body.length + 10));
    await client.until("/1");
    client.send(request.slice(request.length - body.length + 10) + get("/2"));
    await client.until("\r\n\r\n/2");
    expect(rig.targets).toEqual(["/1", "/2"]);
    expect(answersIn(client.text).map(({ fields }) => fields["connection"])).toEqual([
      undefined!,
      undefined!,
    ]);
  });

  const LARGE: readonly (readonly [name: string, head: string, rest: string])[] = [
    [
      "that is large",
      message("POST", "/1", ["Content-Length: 40000000"], ""),
      "x".repeat(40_000_000),
    ],
    ["of chunks", `${CHUNKED.replace("/", "/1")}\r\n`, "5\r\nhello\r\n0\r\n\r\n"],
    ["of chunks that are none", `${CHUNKED.replace("/", "/1")}\r\n`, "zz\r\n\r\n"],
  ];
  for (const [name, head, rest] of LARGE) {
    test(`ends the connection with a rest ${name}, which is never a request`, async () => {
      const rig = serving(early);
      const client = await rig.client(head);
      await client.until("/1");
      client.send(get("/no") + rest + get("/no"));
      const [answer] = answersIn(await client.untilFin());
      expect(answer!.fields["connection"]).toBe("close");
      await waitFor(() => client.unsent.length === 0);
      await rig.barrier();
      expect([rig.targets, rig.faults]).toEqual([["/1"], []]);
      client.finish();
      await rig.untilFree();
      expect(client.isReset).toBe(false);
    });
  }

  for (
    const [name, request] of [
      ["that has come", post("/1", "hello")],
      ["that is coming", message("POST", "/1", ["Content-Length: 10"], "hello")],
      ["of chunks that has come", postChunks("/1", "hello")],
    ] as const
  ) {
    test(`ends the connection with a body ${name} and is refused`, async () => {
      const rig = serving((exchange) => {
        exchange.refuseBody();
        exchange.whole(413, {}, "no");
      });
      const client = await rig.client(request);
      const answers = answersIn(await client.untilFin());
      expect(answers).toMatchObject([{ status: 413, fields: { connection: "close" } }]);
      client.send(get("/no"));
      await rig.barrier();
      expect(rig.targets).toEqual(["/1"]);
    });
  }

  test("waits for a small rest for a while only", async () => {
    const rig = serving(early);
    const client = await rig.client(message("POST", "/1", ["Content-Length: 10"], "abc"));
    await client.until("/1");
    rig.pass(9_000);
    await rig.barrier();
    expect(client.hasFin).toBe(false);
    rig.pass(4_000);
    await client.untilOver();
    expect(bodiesIn(client.text)).toEqual(["/1"]);
  });

  test("goes on behind a body that becomes whole while the answer is under way", async () => {
    const rig = serving(hold);
    const client = await rig.client(message("POST", "/1", ["Content-Length: 10"], "abc"));
    const exchange = await rig.request(0);
    exchange.begin(200, {}, "a", new Listener());
    client.send("defghij" + get("/2"));
    await rig.barrier();
    exchange.end("end");
    echo(await rig.request(1));
    await client.until("\r\n\r\n/2");
    expect(bodiesIn(client.text)).toEqual(["a", "/2"]);
  });
});

describe("ServerConnection, a body that breaks off", () => {
  const FAULTS: readonly (readonly [name: string, bytes: string])[] = [
    ["at once", "zz\r\n"],
    ["behind a chunk", "3\r\nabc\r\nzz\r\n"],
    ["in the end of a chunk", "3\r\nabcd\r\n"],
    ["in the trailer", "3\r\nabc\r\n0\r\n:\r\n"],
  ];
  for (const [name, bytes] of FAULTS) {
    for (const how of ["with its head", "later"] as const) {
      test(`is answered, and ends the connection: ${name}, ${how}`, async () => {
        const head = `${CHUNKED}\r\n`;
        const { rig, client } = await reading(how === "later" ? head : head + bytes + get("/no"));
        if (how === "later") {
          await rig.request(0);
          client.send(bytes + get("/no"));
        }
        const [answer] = answersIn(await client.untilFin());
        expect(answer).toMatchObject({ status: 400, body: "malformed" });
        expect(answer!.fields["connection"]).toBe("close");
        expect(rig.targets).toEqual(["/"]);
        client.finish();
        await rig.untilFree();
        expect(rig.open).toEqual([0, 0]);
      });
    }
  }

  test("tells so to whoever takes it late", async () => {
    const rig = serving(hold);
    const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    const exchange = await rig.request(0);
    client.send("zz\r\n");
    await rig.barrier();
    expect([exchange.isBodyWhole, exchange.wholeBody()]).toEqual([false, undefined]);
    const taker = new Taker();
    exchange.flowBody(taker);
    expect([taker.broken?.code, taker.isWhole]).toEqual(["malformed", false]);
    read(exchange);
    await client.untilFin();
  });

  for (const how of ["finish", "reset"] as const) {
    test(`with the client's leaving (${how}) is told once, and so is the leaving`, async () => {
      const rig = serving(hold);
      const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
      const exchange = await rig.request(0);
      const [taker, listener] = [new Taker(), new Listener()];
      exchange.listen(listener);
      exchange.flowBody(taker);
      client[how]();
      await rig.untilFree();
      expect([taker.text, taker.broken, taker.isWhole]).toEqual(["abc", null, false]);
      expect(listener.leaves).toBe(1);
    });
  }

  test("tells so to whoever takes it after the client has left", async () => {
    const rig = serving(hold);
    const client = await rig.client(`${CHUNKED}\r\n3\r\nabc\r\n`);
    const exchange = await rig.request(0);
    client.reset();
    await rig.untilFree();
    const taker = new Taker();
    exchange.flowBody(taker);
    expect([taker.broken, taker.isWhole]).toEqual([null, false]);
  });

  test("is not the server's to time: it stays as long as its taker waits", async () => {
    const { rig, client } = await reading(`${CHUNKED}\r\n3\r\nabc\r\n`);
    await rig.request(0);
    rig.pass(20 * OVER_MS);
    client.send("0\r\n\r\n");
    await client.until("abc");
  });
});
