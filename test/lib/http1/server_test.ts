import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder, waitFor } from "../../server/launch.ts";
import { WALL_MS } from "./listen.ts";
import { RawSocket } from "./raw_socket.ts";
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
  servingRigs,
} from "./server_rig.ts";

const serving = servingRigs();

describe("Http1Server, the limit of a head", () => {
  const BEGUN = ["G", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n", "\r\n\r\nGET /"] as const;
  for (const begun of BEGUN) {
    test(`answers ${JSON.stringify(begun)} that goes on for too long, and ends`, async () => {
      const rig = serving();
      const client = await rig.client(begun);
      await rig.barrier();
      rig.pass(1000);
      await rig.barrier();
      expect([client.text, client.hasFin]).toEqual(["", false]);
      rig.pass(OVER_MS - 1000);
      const [answer] = answersIn(await client.untilFin());
      expect(answer).toMatchObject({ status: 400, body: "head_slow" });
      expect(answer!.fields["connection"]).toBe("close");
      expect([rig.faults, rig.targets]).toEqual([["head_slow"], []]);
      client.finish();
      await rig.untilFree();
      expect(rig.open).toEqual([0, 0]);
    });
  }

  for (const silence of ["", "\r\n"]) {
    test(`closes a connection that sends ${JSON.stringify(silence)} and nothing more, without a word`, async () => {
      const rig = serving();
      const client = await rig.client(silence);
      await rig.barrier();
      rig.pass(1000);
      await rig.barrier();
      expect(client.isClosed || client.hasFin).toBe(false);
      rig.pass(OVER_MS - 1000);
      await client.untilOver();
      expect([client.text, rig.faults]).toEqual(["", []]);
    });
  }

  test("counts from the first byte of a later head", async () => {
    const rig = serving();
    const client = await rig.client(get("/1"));
    await client.until("/1");
    rig.pass(900);
    client.send("GET /2");
    await rig.barrier();
    rig.pass(900);
    client.send(" HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.until("\r\n\r\n/2");
    client.send("GET /3");
    await rig.barrier();
    rig.pass(OVER_MS);
    await client.untilFin();
    expect(rig.faults).toEqual(["head_slow"]);
    expect(bodiesIn(client.text)).toEqual(["/1", "/2", "head_slow"]);
  });

  test("is not lengthened by a byte now and then", async () => {
    const rig = serving();
    const client = await rig.client("GET / HTTP/1.1\r\n");
    for (let i = 0; i < 4; i++) {
      await rig.barrier();
      expect(client.hasFin).toBe(false);
      rig.pass(300);
      client.send("a");
    }
    await rig.barrier();
    rig.pass(100);
    await client.untilFin();
    expect(rig.faults).toEqual(["head_slow"]);
  });

  test("tells what is known of the request", async () => {
    const heads: string[] = [];
    const rig = serving();
    rig.server.handler = {
      ...rig.server.handler,
      onBadRequest(exchange, error) {
        heads.push(`${exchange.head.method} ${exchange.head.target}`);
        exchange.whole(408, {}, error.message);
      },
    };
    const client = await rig.client("PUT /a?b HTTP/1.1\r\nHo");
    await rig.barrier();
    rig.pass(OVER_MS);
    expect(answersIn(await client.untilFin())[0]!.status).toBe(408);
    expect(heads).toEqual(["PUT /a?b"]);
  });
});

describe("Http1Server, between two requests", () => {
  test("closes a connection that is silent for too long, with a FIN and without a word", async () => {
    const rig = serving();
    const client = await rig.client(get("/1"));
    await client.until("/1");
    rig.pass(1000);
    client.send(get("/2"));
    await client.until("/2");
    rig.pass(1000);
    await rig.barrier();
    expect(client.hasFin).toBe(false);
    rig.pass(OVER_MS - 1000);
    expect(bodiesIn(await client.untilFin())).toEqual(["/1", "/2"]);
    expect(rig.faults).toEqual([]);
  });

  test("takes an empty line behind a request for nothing", async () => {
    const rig = serving(echo, { idleTimeoutMs: 10_000 });
    const client = await rig.client(`${post("/1", "body")}\r\n`);
    await client.until("/1");
    rig.pass(2 * OVER_MS);
    client.send(get("/2"));
    await client.until("/2");
    expect([rig.faults, bodiesIn(client.text)]).toEqual([[], ["/1", "/2"]]);
  });

  test("does not count while a request is answered", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1"));
    const exchange = await rig.request(0);
    rig.pass(100_000);
    exchange.whole(200, {}, "late");
    expect(await client.until("late")).toEndWith("late");
  });

  const LASTS:
    readonly (readonly [name: string, request: string, connection: string | undefined])[] = [
      ["HTTP/1.1", get("/"), undefined],
      ["HTTP/1.1 that wants to end", get("/", ["Connection: close"]), "close"],
      ["HTTP/1.1 that wants to end, among others", get("/", ["Connection: x, CLOSE"]), "close"],
      ["HTTP/1.0", message("GET", "/", [], "", "1.0"), "close"],
      [
        "HTTP/1.0 that wants to go on",
        message("GET", "/", ["Connection: Keep-Alive"], "", "1.0"),
        "keep-alive",
      ],
    ];
  for (const [name, request, connection] of LASTS) {
    test(`${connection === "close" ? "ends" : "keeps"} a connection of ${name}`, async () => {
      const rig = serving();
      const client = await rig.client(request);
      await client.until("\r\n\r\n/");
      const [answer] = answersIn(client.text);
      expect(answer!.fields["connection"]).toBe(connection!);
      if (connection === "close") {
        await client.untilFin();
      } else {
        client.send(get("/2"));
        await client.until("/2");
        expect(client.hasFin).toBe(false);
      }
      expect(rig.server.accepted).toBe(1);
    });
  }
});

describe("Http1Server, pipelined requests", () => {
  test("hands over each when the one before is answered, and answers in their order", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1") + post("/2", "GET /no HTTP/1.1") + get("/3"));
    for (const [index, target] of ["/1", "/2", "/3"].entries()) {
      const exchange = await rig.request(index);
      await rig.barrier();
      expect(rig.targets).toEqual(["/1", "/2", "/3"].slice(0, index + 1));
      expect(rig.server.requestsOpen).toBe(1);
      exchange.whole(200, {}, target);
    }
    await client.until("\r\n\r\n/3");
    expect(bodiesIn(client.text)).toEqual(["/1", "/2", "/3"]);
    expect(rig.server.requestsOpen).toBe(0);
  });

  test("answers those that come while another is answered, byte by byte", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1"));
    const first = await rig.request(0);
    for (const byte of get("/2") + get("/3")) client.send(byte);
    await rig.barrier();
    first.whole(200, {}, "1");
    (await rig.request(1)).whole(200, {}, "2");
    (await rig.request(2)).whole(200, {}, "3");
    await client.until("\r\n\r\n3");
    expect(bodiesIn(client.text)).toEqual(["1", "2", "3"]);
  });

  test("answers 1 000 in one go", async () => {
    const rig = serving();
    const targets = Array.from({ length: 1000 }, (_, i) => `/${i}`);
    const client = await rig.client(targets.map((target) => get(target)).join(""));
    await client.until("\r\n\r\n/999");
    expect(bodiesIn(client.text)).toEqual(targets);
  });

  test("answers 1 000 that are each answered a turn later", async () => {
    const rig = serving((exchange) => void setImmediate(() => echo(exchange)));
    const targets = Array.from({ length: 1000 }, (_, i) => `/${i}`);
    const client = await rig.client(targets.map((target) => get(target)).join(""));
    await client.until("\r\n\r\n/999");
    expect(bodiesIn(client.text)).toEqual(targets);
  });

  test("answers what is good before what is no request, and nothing behind it", async () => {
    const rig = serving();
    const client = await rig.client(`${get("/1")}${get("/2")}GET\r\n\r\n${get("/3")}`);
    const answers = answersIn(await client.untilFin());
    expect(answers.map(({ status, body }) => [status, body])).toEqual([
      [200, "/1"],
      [200, "/2"],
      [400, "malformed"],
    ]);
    expect(answers.map(({ fields }) => fields["connection"])).toEqual([
      undefined!,
      undefined!,
      "close",
    ]);
    expect(rig.targets).toEqual(["/1", "/2"]);
  });

  test("holds no more than it must of what comes behind a running request", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1"));
    const first = await rig.request(0);
    const padding = `X-Padding: ${"x".repeat(8000)}`;
    const behind = Array.from({ length: 4000 }, (_, i) => get(`/${i}`, [padding])).join("");
    client.send(behind);
    await untilStill(client);
    expect(client.unsent.length).toBeGreaterThan(behind.length / 2);
    rig.server.handler = { ...rig.server.handler, onRequest: echo };
    first.whole(200, {}, "first");
    await client.until("\r\n\r\n/3999");
    expect(bodiesIn(client.text)).toHaveLength(4001);
    expect(client.unsent.length).toBe(0);
  });

  /** Until the kernel takes no more bytes: two looks without a change. */
  async function untilStill(client: RawSocket): Promise<void> {
    let before = -1;
    await waitFor(() => {
      const isStill = client.unsent.length === before;
      before = client.unsent.length;
      return isStill;
    }, "the client to be held back");
  }
});

describe("Http1Server, a client that leaves", () => {
  /** A handler that begins a stream, or waits. */
  const WAITS = { "before the answer": hold, "in the answer": begin } as const;

  function begin(exchange: Parameters<typeof hold>[0]): void {
    exchange.begin(200, {}, "a", new Listener());
  }

  for (const [when, answer] of Object.entries(WAITS)) {
    for (const how of ["finish", "reset"] as const) {
      test(`${when} (${how}) is heard of once, and its connection ends`, async () => {
        const rig = serving(answer);
        const client = await rig.client(get("/"));
        const exchange = await rig.request(0);
        const listener = new Listener();
        exchange.listen(listener);
        if (answer === begin) await client.until("a\r\n");
        client[how]();
        await rig.untilFree();
        expect([listener.leaves, listener.drains]).toEqual([1, 0]);
        expect(rig.open).toEqual([0, 0]);
        // Whoever answers all the same writes to nobody.
        expect(exchange.write("b")).toBe(true);
        exchange.end("end");
        exchange.whole(200, {}, "c");
        expect([listener.leaves, rig.server.requestsOpen]).toEqual([1, 0]);
      });
    }
  }

  test("is heard of by whoever listens late", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/"));
    const exchange = await rig.request(0);
    client.reset();
    await rig.untilFree();
    const listener = new Listener();
    exchange.listen(listener);
    await Promise.resolve();
    expect(listener.leaves).toBe(1);
  });

  test("is heard of by whoever begins late", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/"));
    const exchange = await rig.request(0);
    client.reset();
    await rig.untilFree();
    const listener = new Listener();
    expect(exchange.begin(200, {}, "a", listener)).toBe(true);
    await Promise.resolve();
    expect(listener.leaves).toBe(1);
  });

  test("takes those requests with it that waited behind the first", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1") + get("/2"));
    const exchange = await rig.request(0);
    const listener = new Listener();
    exchange.listen(listener);
    client.finish();
    await rig.untilFree();
    expect([listener.leaves, rig.targets]).toEqual([1, ["/1"]]);
  });

  test("has the answers that need no waiting, although it has sent its FIN with the request", async () => {
    const rig = serving();
    const client = await rig.client(get("/1") + get("/2"));
    client.finish();
    expect(bodiesIn(await client.untilFin())).toEqual(["/1", "/2"]);
    await rig.untilFree();
    expect(rig.open).toEqual([0, 0]);
  });

  test("has the answer that comes in the same turn as its FIN", async () => {
    const rig = serving((exchange) => void Promise.resolve().then(() => echo(exchange)));
    const client = await rig.client(get("/1"));
    client.finish();
    expect(bodiesIn(await client.untilFin())).toEqual(["/1"]);
    await rig.untilFree();
  });

  test("has all of a large answer that is whole when its FIN comes", async () => {
    const body = "x".repeat(8_000_000);
    const rig = serving((exchange) => exchange.whole(200, {}, body));
    const client = await rig.client(get("/"), 0);
    await rig.request(0);
    client.finish();
    await rig.barrier();
    client.read();
    expect(answersIn(await client.untilFin())[0]!.body).toHaveLength(body.length);
    await rig.untilFree();
  });

  for (const begun of ["", "GET / HT"]) {
    test(`is no request when it has sent ${JSON.stringify(begun)}`, async () => {
      const rig = serving();
      const client = await rig.client(begun);
      await rig.barrier();
      client.finish();
      await rig.untilFree();
      await client.untilClosed();
      expect([client.text, rig.faults, rig.targets]).toEqual(["", [], []]);
    });
  }
});

describe("Http1Server, behind the last answer", () => {
  test("throws away what a client sends on, for a while", async () => {
    const rig = serving();
    const client = await rig.client(get("/1", ["Connection: close"]));
    await client.untilFin();
    client.send(get("/2") + "x".repeat(1_000_000));
    await waitFor(() => client.unsent.length === 0);
    rig.pass(9_000);
    expect(rig.server.connections).toBe(1);
    rig.pass(4_000);
    await rig.untilFree();
    expect(bodiesIn(client.text)).toEqual(["/1"]);
    expect(rig.targets).toEqual(["/1"]);
  });

  test("throws away no more than 64 MiB", async () => {
    const rig = serving();
    const client = await rig.client(get("/1", ["Connection: close"]));
    await client.untilFin();
    client.send(new Uint8Array(80_000_000));
    await client.untilClosed();
    await rig.untilFree();
    expect(rig.targets).toEqual(["/1"]);
  });

  test("ends as soon as the client has ended", async () => {
    const rig = serving();
    const client = await rig.client(get("/1", ["Connection: close"]));
    await client.untilFin();
    client.finish();
    await client.untilClosed();
    await rig.untilFree();
    expect(client.isReset).toBe(false);
  });
});

describe("Http1Server, a client that takes nothing of a whole answer", () => {
  const body = "x".repeat(16_000_000);
  const large = (exchange: Parameters<typeof hold>[0]) => exchange.whole(200, {}, body);

  test("is cut off when its time is over", async () => {
    const rig = serving(large);
    const client = await rig.client(get("/"), 0);
    await rig.request(0);
    expect(rig.open).toEqual([1, 0]);
    rig.pass(1000);
    expect(rig.server.connections).toBe(1);
    // The kernel may take some more at each look, as long as its buffers grow.
    await waitFor(() => {
      rig.pass(OVER_MS);
      return rig.server.connections === 0;
    });
    client.read();
    await client.untilClosed();
    expect(client.length).toBeLessThan(body.length);
  });

  test("has more time whenever it takes some", async () => {
    const rig = serving(large);
    const client = await rig.client(get("/"), 0);
    await rig.request(0);
    for (let i = 0; i < 3; i++) {
      rig.pass(900);
      const { length } = client;
      client.read(4_000_000);
      await waitFor(() => client.length >= length + 4_000_000);
      await rig.barrier();
    }
    expect(rig.server.connections).toBe(1);
    client.read();
    await waitFor(() => client.length > body.length);
    expect(answersIn(client.text)[0]!.body).toHaveLength(body.length);
    client.send(get("/"));
    await rig.request(1);
  });

  test("has the requests behind it answered once it has taken it", async () => {
    const rig = serving((exchange) => (exchange.head.target === "/large" ? large : echo)(exchange));
    const client = await rig.client(get("/large") + get("/2") + get("/3"), 0);
    await rig.request(0);
    await rig.barrier();
    expect(rig.targets).toEqual(["/large"]);
    client.read();
    await client.until("\r\n\r\n/3");
    expect(bodiesIn(client.text).slice(1)).toEqual(["/2", "/3"]);
  });
});

describe("Http1Server.isClosing", () => {
  test("ends each connection behind its next answer", async () => {
    const rig = serving();
    const client = await rig.client(get("/1"));
    await client.until("/1");
    rig.server.isClosing = true;
    client.send(get("/2"));
    const answers = answersIn(await client.untilFin());
    expect(answers.map(({ fields }) => fields["connection"])).toEqual([undefined!, "close"]);
  });

  for (const [how, answer] of [["at once", echo], ["later", hold]] as const) {
    test(`ends it behind the last request that has come already, answered ${how}`, async () => {
      const rig = serving(answer);
      rig.server.isClosing = true;
      const client = await rig.client(get("/1") + get("/2"));
      if (answer === hold) {
        for (const index of [0, 1]) echo(await rig.request(index));
      }
      const answers = answersIn(await client.untilFin());
      expect(answers.map(({ fields, body }) => [body, fields["connection"]])).toEqual([
        ["/1", undefined],
        ["/2", "close"],
      ]);
    });
  }

  test("answers what has come, and nothing that comes later", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1") + get("/2") + get("/3"));
    const first = await rig.request(0);
    rig.server.isClosing = true;
    echo(first);
    for (const index of [1, 2]) {
      const exchange = await rig.request(index);
      client.send(get("/late"));
      await rig.barrier();
      echo(exchange);
    }
    const answers = answersIn(await client.untilFin());
    expect(answers.map(({ fields, body }) => [body, fields["connection"]])).toEqual([
      ["/1", undefined],
      ["/2", undefined],
      ["/3", "close"],
    ]);
    await rig.barrier();
    expect(rig.targets).toEqual(["/1", "/2", "/3"]);
  });

  test("answers a request of which a part has come, and nothing behind it", async () => {
    const rig = serving();
    rig.server.isClosing = true;
    const client = await rig.client(get("/1") + get("/2").slice(0, 9));
    await client.until("\r\n\r\n/1");
    client.send(get("/2").slice(9) + get("/late"));
    const answers = answersIn(await client.untilFin());
    expect(answers.map(({ fields, body }) => [body, fields["connection"]])).toEqual([
      ["/1", undefined],
      ["/2", "close"],
    ]);
  });

  test("answers the request behind an answer that had begun before", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1"));
    const first = await rig.request(0);
    first.begin(200, {}, "/1", new Listener());
    rig.server.isClosing = true;
    first.end("end");
    await client.until("\r\n0\r\n\r\n");
    rig.pass(200);
    client.send(get("/2"));
    echo(await rig.request(1));
    const answers = answersIn(await client.untilFin());
    expect(answers.map(({ fields, body }) => [body, fields["connection"]])).toEqual([
      ["/1", undefined],
      ["/2", "close"],
    ]);
  });

  const SILENT = [
    ["an answer that had begun before", get("/1"), ""],
    ["an empty line", `${get("/1")}\r\n`, ""],
    ["the rest of a body that nobody wanted", post("/1", "body").slice(0, -2), "dy"],
  ] as const;
  for (const [what, request, rest] of SILENT) {
    test(`ends a connection that is silent behind ${what}`, async () => {
      const rig = serving(hold, { idleTimeoutMs: 100_000 });
      const client = await rig.client(request);
      const exchange = await rig.request(0);
      exchange.dropBody();
      exchange.begin(200, {}, "/1", new Listener());
      rig.server.isClosing = true;
      exchange.end("end");
      await client.until("\r\n0\r\n\r\n");
      client.send(rest);
      await rig.barrier();
      rig.pass(200);
      expect(client.hasFin).toBe(false);
      rig.pass(OVER_MS);
      expect(bodiesIn(await client.untilFin())).toEqual(["/1"]);
    });
  }
});

describe("Http1Server.stop()", () => {
  test("ends idle connections, takes no new ones, and resolves when all are closed", async () => {
    const rig = serving();
    const client = await rig.client(get("/1"));
    await client.until("/1");
    const stopped = rig.server.stop();
    await client.untilFin();
    await expect(RawSocket.open(rig.server.port)).rejects.toThrow();
    client.finish();
    await stopped;
    expect([rig.open, bodiesIn(client.text)]).toEqual([[0, 0], ["/1"]]);
  });

  test("answers a request that was on its way", async () => {
    const rig = serving();
    const client = await rig.client(get("/1"));
    await client.until("/1");
    const stopped = rig.server.stop();
    client.send(get("/2"));
    const answers = answersIn(await client.untilFin());
    expect(answers.map(({ body }) => body)).toEqual(["/1", "/2"]);
    expect(answers[1]!.fields["connection"]).toBe("close");
    client.finish();
    await stopped;
  });

  test("lets what is under way come to its end", async () => {
    const rig = serving(hold);
    const [waiting, streaming] = [await rig.client(get("/1")), await rig.client(get("/2"))];
    const first = await rig.request(0);
    const second = await rig.request(1);
    second.begin(200, {}, "a", new Listener());
    let isStopped = false;
    const stopped = rig.server.stop().then(() => {
      isStopped = true;
    });
    await Bun.sleep(300); // longer than the moment that idle connections have
    expect([rig.server.connections, isStopped]).toEqual([2, false]);
    first.whole(200, {}, "1");
    second.end("end", "b");
    const [one] = answersIn(await waiting.untilFin());
    expect([one!.body, one!.fields["connection"]]).toEqual(["1", "close"]);
    await streaming.until("\r\n0\r\n\r\n");
    rig.pass(OVER_MS);
    expect(bodiesIn(await streaming.untilFin())).toEqual(["ab"]);
    waiting.finish();
    streaming.finish();
    await stopped;
    expect(rig.open).toEqual([0, 0]);
  });

  const UNASKED: readonly (readonly [what: string, bytes: string, sign: string])[] = [
    ["a silent client that does not close", get("/1"), "/1"],
    ["a client that has sent nothing", "", ""],
    ["half a head", "GET /1 HTTP/1.1\r\nHost: w", ""],
    ["half a head behind an answer", `${get("/1")}GET /2 HTTP/1.1\r\n`, "/1"],
  ];
  for (const [what, bytes, sign] of UNASKED) {
    test(`is not held by ${what}`, async () => {
      const rig = serving(); // no time passes on its wheel: no limit ends the connection
      const client = await rig.client(bytes);
      await client.until(sign);
      await rig.server.stop();
      expect([rig.open, await client.untilFin()]).toEqual([[0, 0], client.text]);
    });
  }

  test("lets half a head become a request while somebody is answered", async () => {
    const rig = serving(hold);
    const [waiting, half] = [await rig.client(get("/1")), await rig.client("GET /2 HTTP/1.1\r\n")];
    const first = await rig.request(0);
    const stopped = rig.server.stop();
    await Bun.sleep(1000); // longer than half a head has behind the last answer
    half.send("Host: weir\r\n\r\n");
    (await rig.request(1)).whole(200, {}, "2");
    first.whole(200, {}, "1");
    expect(bodiesIn(await half.untilFin())).toEqual(["2"]);
    expect(bodiesIn(await waiting.untilFin())).toEqual(["1"]);
    await stopped;
  });

  test("resolves at once where nobody is, and again", async () => {
    const rig = serving();
    await rig.server.stop();
    await rig.server.stop();
    await rig.server.stop(true);
  });

  test("that is forced ends everything at once, and tells those who wait", async () => {
    const rig = serving(hold);
    const [waiting, begun, idle] = [
      await rig.client(get("/1")),
      await rig.client("GET /"),
      await rig.client(),
    ];
    const listener = new Listener();
    (await rig.request(0)).listen(listener);
    await rig.server.stop(true);
    expect([rig.open, listener.leaves]).toEqual([[0, 0], 1]);
    for (const client of [waiting, begun, idle]) {
      await client.untilClosed();
      expect(client.text).toBe("");
    }
  });

  test("that is forced ends what a patient stop waits for", async () => {
    const rig = serving(hold);
    await rig.client(get("/1"));
    await rig.request(0);
    const stopped = rig.server.stop();
    await rig.server.stop(true);
    await stopped;
    expect(rig.open).toEqual([0, 0]);
  });
});

describe("Http1Server, with connectionsMax", () => {
  test("closes what comes too much, and takes others when one has left", async () => {
    const rig = serving(echo, { connectionsMax: 2 });
    const [first] = [await rig.client(), await rig.client()];
    const third = await RawSocket.open(rig.server.port);
    await third.untilOver();
    expect([rig.server.accepted, rig.server.refused, third.text]).toEqual([2, 1, ""]);
    first!.reset();
    await waitFor(() => rig.server.connections === 1);
    const fourth = await rig.client(get("/4"));
    await fourth.until("/4");
    expect([rig.server.accepted, rig.server.refused]).toEqual([3, 1]);
  });
});

describe("Http1Server, a handler that throws", () => {
  const bug = new TypeError("a bug");

  test("is told of, and costs its connection and nothing else", async () => {
    const rig = serving((exchange) => {
      if (exchange.head.target === "/bug") throw bug;
      echo(exchange);
    });
    const other = await rig.client(get("/other"));
    await other.until("/other");
    const client = await rig.client(get("/1") + get("/bug") + get("/2"));
    await client.untilClosed();
    expect(rig.bugs).toEqual([bug]);
    expect(rig.targets).toEqual(["/other", "/1", "/bug"]);
    await waitFor(() => rig.server.connections === 1);
    expect(rig.server.requestsOpen).toBe(0);
    other.send(get("/again"));
    await other.until("/again");
  });
});

describe("Http1Server, what a handler knows", () => {
  test("the other end, and how many requests are open", async () => {
    const rig = serving(hold);
    await rig.client(get("/1"));
    const first = await rig.request(0);
    expect([first.peer, first.requestsOpen]).toEqual(["127.0.0.1", 1]);
    const client = await rig.client(get("/2"));
    const second = await rig.request(1);
    expect([first.requestsOpen, second.requestsOpen]).toEqual([2, 2]);
    second.whole(200, {}, "2");
    await client.until("\r\n\r\n2");
    expect([first.requestsOpen, second.requestsOpen, second.peer]).toEqual([1, 0, undefined!]);
  });

  test("no address on a socket file", async () => {
    const folder = makeFolder();
    const unix = join(folder, "weir.sock");
    const rig = serving((exchange) => exchange.whole(200, {}, String(exchange.peer)), {
      place: { unix },
    });
    expect(rig.server.port).toBe(0);
    const client = await RawSocket.open({ unix });
    client.send(get("/", ["Connection: close"]));
    expect(bodiesIn(await client.untilFin())).toEqual(["undefined"]);
    client.finish();
    await rig.untilFree();
    rmSync(folder, { recursive: true });
  });

  test("tells its clients when it is", async () => {
    const rig = serving();
    const client = await rig.client(get("/"));
    await client.until("\r\n\r\n/");
    const { date } = answersIn(client.text)[0]!.fields;
    expect(date).toBe(new Date(WALL_MS).toUTCString());
  });
});
