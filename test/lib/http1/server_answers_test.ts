import { describe, expect, test } from "bun:test";
import { HeaderBlock, type HeaderFields } from "../../../src/lib/http1/header_block.ts";
import { waitFor } from "../../server/launch.ts";
import type { RawSocket } from "./raw_socket.ts";
import {
  type Answer,
  answersIn,
  bodiesIn,
  echo,
  get,
  hold,
  Listener,
  message,
  type ServerRig,
  servingRigs,
} from "./server_rig.ts";

const serving = servingRigs();

/** Sends `request`, has it answered with `answer`, and then asks for /next on the same connection. */
async function asked(request: string, answer: Answer): Promise<{
  readonly rig: ServerRig;
  readonly client: RawSocket;
  readonly text: string;
}> {
  const rig = serving((exchange) =>
    exchange.head.target === "/next" ? exchange.whole(200, {}, "next") : answer(exchange)
  );
  const client = await rig.client(request);
  await rig.barrier();
  client.send(get("/next", ["Connection: close"]));
  return { rig, client, text: await client.untilFin() };
}

const NEXT = "HTTP/1.1 200 OK\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\nconnection: close\r\n" +
  "content-length: 4\r\n\r\nnext";
const DATE = "date: Tue, 14 Nov 2023 22:13:20 GMT\r\n";

describe("ServerExchange.whole()", () => {
  const BYTES: readonly (readonly [
    name: string,
    given: Parameters<Parameters<Answer>[0]["whole"]>,
    method: string,
    bytes: string,
  ])[] = [
    [
      "text, fields as given, and its length",
      [200, { "Content-Type": "text/plain", "X-A": "1" }, "hello"],
      "GET",
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\n${DATE}content-length: 5\r\n\r\nhello`,
    ],
    [
      "bytes",
      [201, {}, Buffer.from("ab")],
      "POST",
      `HTTP/1.1 201 Created\r\n${DATE}content-length: 2\r\n\r\nab`,
    ],
    [
      "nothing, with the length of nothing",
      [404, {}, null],
      "GET",
      `HTTP/1.1 404 Not Found\r\n${DATE}content-length: 0\r\n\r\n`,
    ],
    [
      "an empty text",
      [200, {}, ""],
      "GET",
      `HTTP/1.1 200 OK\r\n${DATE}content-length: 0\r\n\r\n`,
    ],
    [
      "no body and no length with 204",
      [204, {}, "x"],
      "GET",
      `HTTP/1.1 204 No Content\r\n${DATE}\r\n`,
    ],
    [
      "no body and no length with 304",
      [304, {}, "x"],
      "GET",
      `HTTP/1.1 304 Not Modified\r\n${DATE}\r\n`,
    ],
    [
      "a length and no body for HEAD",
      [200, {}, "hello"],
      "HEAD",
      `HTTP/1.1 200 OK\r\n${DATE}content-length: 5\r\n\r\n`,
    ],
    [
      "a status that has no words",
      [299, {}, null],
      "GET",
      `HTTP/1.1 299 \r\n${DATE}content-length: 0\r\n\r\n`,
    ],
    [
      "no length, framing or date that somebody else says",
      [200, { "Content-Length": "9", "transfer-encoding": "chunked", "date": "x" }, "ab"],
      "GET",
      `HTTP/1.1 200 OK\r\n${DATE}content-length: 2\r\n\r\nab`,
    ],
    [
      "a date that is laid already",
      [200, HeaderBlock.ofLines(Buffer.from("Date: then\r\n"), 12, true), "ab"],
      "GET",
      "HTTP/1.1 200 OK\r\nDate: then\r\ncontent-length: 2\r\n\r\nab",
    ],
    [
      "keep-alive in so many words",
      [200, { connection: "keep-alive" }, "ab"],
      "GET",
      `HTTP/1.1 200 OK\r\n${DATE}connection: keep-alive\r\ncontent-length: 2\r\n\r\nab`,
    ],
  ];
  for (const [name, given, method, bytes] of BYTES) {
    test(`writes ${name}`, async () => {
      const { text } = await asked(
        message(method, "/", [], ""),
        (exchange) => exchange.whole(...given),
      );
      expect(text).toBe(bytes + NEXT);
    });
  }

  test("ends the connection where its fields want that", async () => {
    const rig = serving((exchange) => exchange.whole(408, { connection: "close" }, "late"));
    const client = await rig.client(get("/1") + get("/2"));
    const answers = answersIn(await client.untilFin());
    expect(answers).toMatchObject([{ body: "late", fields: { connection: "close" } }]);
    expect(rig.targets).toEqual(["/1"]);
  });

  const SIZES = [1, 65_535, 65_536, 65_537, 131_072, 3_000_000];
  for (const size of SIZES) {
    for (const kind of ["text", "bytes"] as const) {
      test(`writes ${size} bytes of ${kind}, none lost`, async () => {
        const text = "水".repeat(size / 3) + "x".repeat(size % 3);
        const body = kind === "text" ? text : Buffer.from(text);
        const { text: got } = await asked(get("/"), (exchange) => exchange.whole(200, {}, body));
        const [answer] = answersIn(got);
        expect(answer!.fields["content-length"]).toBe(String(size));
        expect(Buffer.from(answer!.body, "latin1").toString() === text).toBe(true);
      });
    }
  }

  test("has taken fields and bytes when it returns", async () => {
    const rig = serving(hold);
    const block = HeaderBlock.of({}, { name: "x-id", width: 1 });
    for (const size of [10, 1_000_000]) {
      const client = await rig.client(get("/"), 0);
      const exchange = await rig.request(rig.exchanges.length === 0 ? 0 : 1);
      const body = Buffer.alloc(size, "a");
      exchange.whole(200, block.stamp("1"), body);
      block.stamp("2");
      body.fill("b");
      client.read();
      await client.until("aaaa");
      await waitFor(() => client.length > size);
      const [answer] = answersIn(client.text);
      expect([answer!.fields["x-id"], answer!.body === "a".repeat(size)]).toEqual(["1", true]);
    }
  });

  const REFUSED: readonly (readonly [name: string, fields: HeaderFields])[] = [
    ["a name that is none", { "a b": "1" }],
    ["a value with a line end", { a: "1\r\nb: 2" }],
  ];
  for (const [name, fields] of REFUSED) {
    test(`refuses ${name} before a byte is written`, async () => {
      const { text } = await asked(get("/"), (exchange) => {
        expect(() => exchange.whole(200, fields, "x")).toThrow(TypeError);
        expect(() => exchange.begin(200, fields, "x", new Listener())).toThrow(TypeError);
        exchange.whole(500, {}, null);
      });
      expect(answersIn(text).map(({ status }) => status)).toEqual([500, 200]);
    });
  }

  test("writes nothing behind an answer that has begun, or ended", async () => {
    const { text } = await asked(get("/"), (exchange) => {
      exchange.begin(200, {}, "a", new Listener());
      exchange.whole(500, {}, "no");
      exchange.begin(500, {}, "no", new Listener());
      exchange.end("end", "b");
      exchange.whole(500, {}, "no");
      exchange.end("reset");
    });
    expect(bodiesIn(text)).toEqual(["ab", "next"]);
  });
});

describe("ServerExchange.begin(), write() and end()", () => {
  test("write each piece as a chunk, and the end", async () => {
    const { text, rig } = await asked(get("/"), (exchange) => {
      expect(exchange.hasBegun).toBe(false);
      expect(exchange.begin(200, { a: "1" }, "水", new Listener())).toBe(true);
      expect(exchange.hasBegun).toBe(true);
      expect(exchange.write(Buffer.from("b"))).toBe(true);
      expect(exchange.write("")).toBe(true);
      expect(exchange.write("x".repeat(16))).toBe(true);
      exchange.end("end");
    });
    const water = Buffer.from("水").toString("latin1");
    expect(text).toBe(
      `HTTP/1.1 200 OK\r\na: 1\r\n${DATE}transfer-encoding: chunked\r\n\r\n` +
        `3\r\n${water}\r\n1\r\nb\r\n10\r\n${"x".repeat(16)}\r\n0\r\n\r\n${NEXT}`,
    );
    expect(rig.server.requestsOpen).toBe(0);
  });

  const LASTS: readonly (readonly [last: string | Uint8Array | undefined, bytes: string])[] = [
    [undefined, ""],
    ["", ""],
    ["b", "1\r\nb\r\n"],
    [Buffer.from("bc"), "2\r\nbc\r\n"],
  ];
  for (const [last, bytes] of LASTS) {
    test(`end with ${last === undefined ? "nothing" : `"${last}"`} in one packet`, async () => {
      const rig = serving(hold);
      const client = await rig.client(get("/"));
      const exchange = await rig.request(0);
      exchange.begin(200, {}, "a", new Listener());
      await client.until("a\r\n");
      const { length } = client.pieces;
      exchange.end("end", last);
      await client.until("0\r\n\r\n");
      expect(client.pieces.map(String).join("")).toEndWith(`a\r\n${bytes}0\r\n\r\n`);
      expect(client.pieces.length).toBeLessThanOrEqual(length + 1);
    });
  }

  test("begin with head and first bytes in one packet", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/"));
    (await rig.request(0)).begin(200, {}, "first", new Listener());
    await waitFor(() => client.length > 0);
    expect(client.pieces[0]!.toString()).toEndWith("\r\n\r\n5\r\nfirst\r\n");
  });

  for (const size of [65_536, 65_537, 1_000_000]) {
    test(`write pieces of ${size} bytes, none lost`, async () => {
      const first = "a".repeat(size);
      const second = Buffer.alloc(size, "b");
      const { text } = await asked(get("/"), (exchange) => {
        exchange.begin(200, {}, first, new Listener());
        exchange.write(second);
        exchange.end("end", "c".repeat(size));
        second.fill("-");
      });
      const [body] = bodiesIn(text);
      expect(body === first + "b".repeat(size) + "c".repeat(size)).toBe(true);
    });
  }

  test("write without chunks to HTTP/1.0, and end with the connection", async () => {
    for (const fields of [[], ["Connection: keep-alive"]]) {
      const rig = serving((exchange) => {
        exchange.begin(200, {}, "a", new Listener());
        exchange.write("b");
        exchange.end("end", "c");
      });
      const client = await rig.client(message("GET", "/", fields, "", "1.0"));
      expect(await client.untilFin()).toBe(
        `HTTP/1.1 200 OK\r\n${DATE}connection: close\r\n\r\nabc`,
      );
    }
  });

  test("write a head and nothing more for HEAD, and tell that nobody wants the rest", async () => {
    const listener = new Listener();
    const { text } = await asked(message("HEAD", "/", [], ""), (exchange) => {
      expect(exchange.begin(200, {}, "a", listener)).toBe(true);
      expect(listener.leaves).toBe(0); // not inside the call
      exchange.write("b");
      exchange.end("end", "c");
    });
    expect(listener.leaves).toBe(1);
    expect(text).toBe(`HTTP/1.1 200 OK\r\n${DATE}transfer-encoding: chunked\r\n\r\n${NEXT}`);
  });

  test("tell a client that is slow from one that takes bytes, and lose none", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/"), 0);
    const exchange = await rig.request(0);
    const listener = new Listener();
    const piece = "x".repeat(1_000_000);
    let isTaking = exchange.begin(200, {}, piece, listener);
    let written = 1;
    for (; isTaking && written < 100; written++) isTaking = exchange.write(piece);
    expect(isTaking).toBe(false);
    expect(exchange.write("behind")).toBe(false);
    await rig.barrier();
    expect(listener.drains).toBe(0);
    client.read();
    await waitFor(() => listener.drains > 0);
    expect(listener.drains).toBe(1);
    expect(exchange.write("then")).toBe(true);
    exchange.end("end");
    await client.until("0\r\n\r\n");
    const [body] = bodiesIn(client.text);
    expect(body === `${piece.repeat(written)}behindthen`).toBe(true);
  });

  test("let a client that is slow have the rest, and then the next answer", async () => {
    const rig = serving((exchange) => {
      if (exchange.head.target === "/2") return echo(exchange);
      exchange.begin(200, {}, "x".repeat(8_000_000), new Listener());
      exchange.end("end", "last");
    });
    const client = await rig.client(get("/1") + get("/2"), 0);
    await rig.request(0);
    await rig.barrier();
    expect(rig.targets).toEqual(["/1"]);
    client.read();
    await client.until("\r\n\r\n/2");
    const bodies = bodiesIn(client.text);
    expect(bodies[0]!.length).toBe(8_000_004);
    expect(bodies[0]).toEndWith("xlast");
  });
});

describe('ServerExchange.end("fin")', () => {
  for (const last of [undefined, "b"]) {
    test(`closes without HTTP's end, and loses nothing (${last ?? "no"} last bytes)`, async () => {
      const rig = serving((exchange) => {
        exchange.begin(200, {}, "a", new Listener());
        exchange.end("fin", last);
      });
      const client = await rig.client(get("/1") + get("/2"));
      const text = await client.untilFin();
      expect(text).toEndWith(`\r\n\r\n1\r\na\r\n${last === undefined ? "" : "1\r\nb\r\n"}`);
      expect([rig.targets, rig.server.requestsOpen]).toEqual([["/1"], 0]);
    });
  }

  test("closes without a byte where no answer has begun, and answers nothing behind it", async () => {
    const rig = serving((exchange) => void exchange.end("fin"));
    const client = await rig.client(get("/1") + get("/2"));
    expect(await client.untilFin()).toBe("");
    expect([rig.targets, rig.server.requestsOpen]).toEqual([["/1"], 0]);
  });

  test("closes behind what a slow client has not taken yet", async () => {
    const rig = serving((exchange) => {
      exchange.begin(200, {}, "x".repeat(8_000_000), new Listener());
      exchange.end("fin", "last");
    });
    const client = await rig.client(get("/"), 0);
    await rig.request(0);
    client.read();
    expect((await client.untilFin()).length).toBeGreaterThan(8_000_000);
    expect(client.text).toEndWith("4\r\nlast\r\n");
  });

  test("resets where a close would look whole", async () => {
    const rig = serving((exchange) => {
      exchange.begin(200, {}, "a", new Listener());
      exchange.end("fin", "b");
    });
    const client = await rig.client(message("GET", "/", [], "", "1.0"));
    await client.untilClosed();
    expect(client.isReset).toBe(true);
  });
});

describe('ServerExchange.end("reset")', () => {
  test("resets the connection, and tells nobody that the client has left", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/1") + get("/2"));
    const exchange = await rig.request(0);
    const listener = new Listener();
    exchange.begin(200, {}, "a", listener);
    await client.until("a\r\n");
    exchange.end("reset");
    await client.untilClosed();
    await rig.untilFree();
    expect([client.isReset, client.text.endsWith("0\r\n\r\n")]).toEqual([true, false]);
    expect([listener.leaves, rig.targets, rig.open]).toEqual([0, ["/1"], [0, 0]]);
  });

  test("resets a client that takes nothing", async () => {
    const rig = serving(hold);
    const client = await rig.client(get("/"), 0);
    const exchange = await rig.request(0);
    while (exchange.hasBegun === false || exchange.write("x".repeat(1_000_000))) {
      if (!exchange.hasBegun) exchange.begin(200, {}, "x", new Listener());
    }
    exchange.end("reset");
    await rig.untilFree();
    client.read();
    await client.untilClosed();
    expect(client.isReset).toBe(true);
  });
});
