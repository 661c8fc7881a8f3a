import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { ToldBreaker } from "../../src/core/breakers.ts";
import type { BreakerState, Event } from "../../src/core/events.ts";
import { Bucket, Gate, Limiter, limiterBytes } from "../../src/lib/limiter.ts";
import { timerAlarm, Wheel } from "../../src/lib/wheel.ts";
import { openShared, type Shared } from "../../src/shared/open.ts";
import { RedisLender } from "../../src/shared/lender.ts";
import { RedisLink } from "../../src/shared/redis_link.ts";
import { SEAT } from "../../src/shared/scripts.ts";
import { canMakeCertificates, makeCertificate } from "../server/certificate.ts";
import { freePort } from "../server/free_port.ts";
import { makeFolder, TEST_MS_MAX, waitFor } from "../server/launch.ts";
import { describeWith } from "../server/needs.ts";
import { REDIS_ABSENT, redisProgram, type RedisServer, startRedis } from "./redis_server.ts";

setDefaultTimeout(TEST_MS_MAX);

const DAY_MS = 86_400_000;

describeWith(redisProgram() !== null, REDIS_ABSENT, "what weirs share in Redis", () => {
  let redis: RedisServer;
  const open: Shared[] = [];
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await Promise.all(open.map((shared) => shared.close()));
    await redis.stop();
  });

  let count = 0;
  /** A name that no other test uses. */
  const own = (what: string) => `${what}${++count}`;

  /** A node of a weir, and what it has told. */
  function node(options: { readonly url?: string; readonly prefix?: string } = {}) {
    const events: Event[] = [];
    const wheel = new Wheel(() => performance.now(), timerAlarm());
    const limiter = new Limiter(new Uint8Array(limiterBytes(64)), Date.now);
    const shared = openShared(
      { shared: { url: redis.url, prefix: "test:", ca_file: "", timeout_ms: 30_000, ...options } },
      {
        wheel,
        limiter,
        watch: (event) => void events.push(event),
        random: Math.random,
        uuid: () => Bun.randomUUIDv7(),
        caOf: () => "",
      },
    )!;
    open.push(shared);
    return { shared, events, limiter };
  }

  async function joined(options?: Parameters<typeof node>[0]) {
    const made = node(options);
    await waitFor(() => made.shared.state === "ok");
    return made;
  }

  const dayBucket = (limit: number) => new Bucket(own("bucket"), "rest", limit, DAY_MS);

  /** How many of `tries` requests in turn are let in. */
  async function passed({ shared }: { readonly shared: Shared }, bucket: Bucket, tries: number) {
    let count = 0;
    for (let i = 0; i < tries; i++) {
      if (await shared.limits.take([{ bucket, units: 1 }]) === undefined) count++;
    }
    return count;
  }

  function breaker(): ToldBreaker & { state: BreakerState; leftMs: number } {
    return {
      state: "closed",
      leftMs: 0,
      follow(leftMs) {
        this.state = "open";
        this.leftMs = leftMs;
      },
      recover() {
        this.state = "closed";
      },
    };
  }

  test("there is none without a URL", () => {
    const { shared } = {
      shared: { url: "", prefix: "weir:", ca_file: "", timeout_ms: 500 },
    };
    expect(openShared({ shared }, {} as Parameters<typeof openShared>[1])).toBeUndefined();
  });

  describe("a limit", () => {
    test("is one for all nodes, to the unit", async () => {
      const nodes = await Promise.all([joined(), joined(), joined()]);
      const bucket = dayBucket(100);
      const counts = await Promise.all(nodes.map((node) => passed(node, bucket, 200)));
      expect(counts.reduce((sum, count) => sum + count)).toBe(100);
      const refused = await nodes[0]!.shared.limits.take([{ bucket, units: 1 }]);
      expect(refused).toMatchObject({ kind: "bucket" });
    });

    test("has another bucket for weirs with another prefix", async () => {
      const [one, two] = [await joined(), await joined({ prefix: "other:" })];
      const bucket = dayBucket(3);
      expect(await passed(one, bucket, 5)).toBe(3);
      expect(await passed(two, bucket, 5)).toBe(3);
    });

    test("lets its key go when the bucket is full again", async () => {
      const one = await joined();
      const bucket = new Bucket(own("bucket"), "rest", 1000, 1000);
      expect(await passed(one, bucket, 3)).toBe(3);
      const key = `test:limit:${bucket.name}`;
      const ttl = Number(await redis.ask("PTTL", key));
      expect(ttl).toBeLessThan(3000);
      await waitFor(async () => await redis.ask("EXISTS", key) === 0);
    });

    test("what a node holds at its end goes back", async () => {
      const [one, two] = [await joined(), await joined()];
      const bucket = dayBucket(1000);
      expect(await passed(one, bucket, 50)).toBe(50);
      await one.shared.close();
      expect(await passed(two, bucket, 1000)).toBe(950);
    });
  });

  describe("a gate", () => {
    test("lets so many in on all nodes together", async () => {
      const [one, two] = [await joined(), await joined()];
      const gate = new Gate(own("gate"), "rest", 2);
      const enter = ({ shared }: typeof one) => shared.limits.take([], gate);
      expect(await enter(one)).toBeUndefined();
      expect(await enter(two)).toBeUndefined();
      expect(await enter(one)).toMatchObject({ kind: "gate", inside: 2 });
      two.shared.limits.leave(gate);
      await waitFor(async () => await enter(one) === undefined);
      expect(await enter(two)).toMatchObject({ kind: "gate" });
    });

    test("seats of a node that was killed are free after a while", async () => {
      const wheel = new Wheel(() => performance.now(), timerAlarm());
      const link: RedisLink = new RedisLink({
        url: redis.url,
        ca: "",
        timeoutMs: 30_000,
        wheel,
        random: Math.random,
        beat: () => link.ask((client) => client.send("PING", [])),
        onState() {},
      });
      link.start();
      await waitFor(() => link.state === "ok");
      const gate = new Gate(own("gate"), "rest", 2);
      // As the lender asks, for a node that lives a tenth of a second longer, and is never heard of again.
      const dead = ["dead", 0, 2, 2, gate.max, 100_000];
      expect(await link.run(SEAT, [`test:gate:${gate.name}`], dead)).toEqual([2, 0]);
      const lender = new RedisLender(link, "alive", "test:");
      const ask = { gate, inside: 0, need: 2, want: 2 };
      await waitFor(async () => (await lender.seat(ask)).granted === 2);
      link.close();
    });
  });

  describe("a breaker", () => {
    test("that one node opens is open on the others, and closes with it", async () => {
      const name = own("upstream");
      const [one, two] = [await joined(), await joined()];
      const [first, second] = [breaker(), breaker()];
      one.shared.breakers.join(name, first);
      two.shared.breakers.join(name, second);
      one.shared.breakers.opened(name, 60_000);
      await waitFor(() => second.state === "open");
      expect(second.leftMs).toBeGreaterThan(0);
      expect(second.leftMs).toBeLessThanOrEqual(60_000);
      expect(first.state).toBe("closed"); // what it has told itself comes to nobody but the others
      one.shared.breakers.closed(name);
      await waitFor(() => second.state === "closed");
    });

    test("is open for a node that comes later, and not when its time is over", async () => {
      const [name, past] = [own("upstream"), own("upstream")];
      const one = await joined();
      one.shared.breakers.join(name, breaker());
      one.shared.breakers.join(past, breaker());
      one.shared.breakers.opened(name, 60_000);
      one.shared.breakers.opened(past, 1);
      await waitFor(async () => await redis.ask("EXISTS", `test:breaker:${past}`) === 1);
      const two = await joined();
      const [later, closed] = [breaker(), breaker()];
      two.shared.breakers.join(name, later);
      two.shared.breakers.join(past, closed);
      await waitFor(() => later.state === "open");
      expect(closed.state).toBe("closed");
    });

    test("the first one that opens is the one that tries: a second one follows it", async () => {
      const name = own("upstream");
      const [one, two] = [await joined(), await joined()];
      const [first, second] = [breaker(), breaker()];
      one.shared.breakers.join(name, first);
      two.shared.breakers.join(name, second);
      one.shared.breakers.opened(name, 60_000);
      const key = `test:breaker:${name}`;
      await waitFor(async () => await redis.ask("EXISTS", key) === 1);
      const note = await redis.ask("GET", key);
      two.shared.breakers.opened(name, 60_000);
      await waitFor(() => second.state === "open");
      expect(await redis.ask("GET", key)).toBe(note);
    });
  });

  describe("bytes", () => {
    test("are what another node has put there, until their time is over", async () => {
      const [one, two] = [await joined(), await joined()];
      const key = own("bytes");
      const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256);
      // The connection for bytes begins with the first question.
      await waitFor(async () => {
        one.shared.bytes.put(key, bytes, 60_000);
        const there = await two.shared.bytes.get(key);
        return there !== undefined && Buffer.compare(there, bytes) === 0;
      });
      expect(await two.shared.bytes.get(own("bytes"))).toBeUndefined();
      one.shared.bytes.put(key, bytes, 1);
      await waitFor(async () => await two.shared.bytes.get(key) === undefined);
    });

    test("of more than 16 MiB, or for no time, are not kept", async () => {
      const { shared } = await joined();
      const [large, dead, small] = [own("bytes"), own("bytes"), own("bytes")];
      await waitFor(async () => {
        shared.bytes.put(large, new Uint8Array(16_777_217), 60_000);
        shared.bytes.put(dead, new Uint8Array(1), 0);
        shared.bytes.put(small, new Uint8Array(0), 60_000);
        return (await shared.bytes.get(small))?.length === 0;
      });
      expect(await shared.bytes.get(large)).toBeUndefined();
      expect(await shared.bytes.get(dead)).toBeUndefined();
    });
  });
});

describeWith(redisProgram() !== null, REDIS_ABSENT, "a Redis that is away", () => {
  const DAY_LIMIT = 20;

  function begin(url: string, ca = "") {
    const events: Event[] = [];
    const wheel = new Wheel(() => performance.now(), timerAlarm());
    const shared = openShared({
      shared: { url, prefix: "weir:", ca_file: "ca.pem", timeout_ms: 500 },
    }, {
      wheel,
      limiter: new Limiter(new Uint8Array(limiterBytes(64)), Date.now),
      watch: (event) => void events.push(event),
      random: Math.random,
      uuid: () => Bun.randomUUIDv7(),
      caOf: () => ca,
    })!;
    const causes = () =>
      events.flatMap((event) => event.kind === "shared_failed" ? [event.cause] : []);
    return { shared, events, causes };
  }

  test("killed, and there again: limits hold on each node meanwhile, and nobody begins anew", async () => {
    const redis = await startRedis();
    const nodes = [begin(redis.url), begin(redis.url)];
    try {
      await waitFor(() => nodes.every(({ shared }) => shared.state === "ok"));
      const bucket = new Bucket("b", "rest", DAY_LIMIT, DAY_MS);
      const take = async ({ shared }: (typeof nodes)[number], tries: number) => {
        let count = 0;
        for (let i = 0; i < tries; i++) {
          if (await shared.limits.take([{ bucket, units: 1 }]) === undefined) count++;
        }
        return count;
      };
      expect(await take(nodes[0]!, 5)).toBe(5);
      await redis.crash();
      await waitFor(() => nodes.every(({ shared }) => shared.state === "away"));
      // Each has what it did not use itself.
      expect(await take(nodes[0]!, 30)).toBe(15);
      expect(await take(nodes[1]!, 30)).toBe(20);
      await redis.start();
      await waitFor(() => nodes.every(({ shared }) => shared.state === "ok"));
      expect(await take(nodes[0]!, 5)).toBe(0);
      expect(await take(nodes[1]!, 5)).toBe(0);
      for (const { events } of nodes) {
        expect(events.map(({ kind }) => kind)).toEqual(["shared_failed", "shared_recovered"]);
      }
    } finally {
      await Promise.all(nodes.map(({ shared }) => shared.close()));
      await redis.stop();
    }
  });

  test("silent: nobody waits for long, and it is joined when it speaks again", async () => {
    const redis = await startRedis();
    const { shared, causes } = begin(redis.url);
    try {
      await waitFor(() => shared.state === "ok");
      redis.freeze();
      const bucket = new Bucket("b", "rest", DAY_LIMIT, DAY_MS);
      // It waits for the answer as long as one is waited for, and then the machine's own limit lets it in.
      expect(await shared.limits.take([{ bucket, units: 1 }])).toBeUndefined();
      expect(shared.state).toBe("away");
      expect(shared.limits.take([{ bucket, units: 1 }])).toBeUndefined(); // at once, no promise
      expect(await shared.bytes.get("x")).toBeUndefined();
      expect(causes()).toEqual(["no answer within 500 ms"]);
      redis.thaw();
      await waitFor(() => shared.state === "ok");
    } finally {
      redis.thaw();
      await shared.close();
      await redis.stop();
    }
  });

  test("a password that is wrong or lacking is said, and never shown", async () => {
    const redis = await startRedis("right-secret-word");
    const at = `127.0.0.1:${redis.port}`;
    try {
      for (
        const [user, why] of [
          [":wrong-secret-word@", "it refuses the user and the password"],
          ["someone:wrong-secret-word@", "it refuses the user and the password"],
          ["", "it wants a password"],
        ]
      ) {
        const { shared, causes } = begin(`redis://${user}${at}`);
        await waitFor(() => shared.state === "away");
        expect(causes()).toEqual([why!]);
        await shared.close();
      }
      const { shared } = begin(`redis://:right-secret-word@${at}/3`);
      await waitFor(() => shared.state === "ok");
      await shared.close();
      const numbered = begin(`redis://:right-secret-word@${at}/99`);
      await waitFor(() => numbered.shared.state === "away");
      expect(numbered.causes()).toEqual(["ERR DB index is out of range"]);
      await numbered.shared.close();
      await redis.ask("ACL", "SETUSER", "reader", "on", ">reader-word", "~*", "+@all", "-@write");
      const reading = begin(`redis://reader:reader-word@${at}`);
      await waitFor(() => reading.shared.state === "away");
      const refused = "ERR The user executing the script can't run this command or subcommand";
      expect(reading.causes()).toEqual([refused]);
      await reading.shared.close();
    } finally {
      await redis.stop();
    }
  });

  test.skipIf(!canMakeCertificates())(
    "with TLS its certificate must be one that is trusted, and of its name",
    async () => {
      const { cert, key } = makeCertificate(["DNS:localhost"]);
      const folder = makeFolder({ "cert.pem": cert, "key.pem": key });
      const port = freePort();
      const redis = await startRedis("", [
        ...["--tls-port", String(port), "--tls-auth-clients", "no"],
        ...["--tls-cert-file", join(folder, "cert.pem"), "--tls-key-file", join(folder, "key.pem")],
        ...["--tls-ca-cert-file", join(folder, "cert.pem")],
      ]);
      try {
        const trusted = begin(`rediss://localhost:${port}`, cert);
        await waitFor(() => trusted.shared.state === "ok");
        await trusted.shared.close();
        for (const [host, ca] of [["localhost", ""], ["127.0.0.1", cert]] as const) {
          const { shared, causes } = begin(`rediss://${host}:${port}`, ca);
          await waitFor(() => shared.state === "away");
          expect(causes()[0]).toStartWith("its certificate is not trusted: ");
          await shared.close();
        }
      } finally {
        await redis.stop();
        rmSync(folder, { recursive: true });
      }
    },
  );

  test("where nobody listens it is away, and closing does not wait for it", async () => {
    const { shared, causes } = begin("redis://:a-secret-word@127.0.0.1:1");
    await waitFor(() => shared.state === "away");
    expect(causes()).toEqual(["nobody listens at its address"]);
    await shared.close();
    expect(shared.state).toBe("away");
  });
});
