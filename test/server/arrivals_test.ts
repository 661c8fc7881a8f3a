import { expect, test } from "bun:test";
import { launch, TEST_MS_MAX } from "./launch.ts";

/** Rounds, each with a weir that is ended while clients connect as fast as they can. */
const ROUNDS = 5;
const CLIENTS = 16;
const GET = "GET /v1/models HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";

/** One connection: what became of it. */
function ask(port: number): Promise<"answered" | "refused" | "lost"> {
  return new Promise((resolve) => {
    let text = "";
    let isOpen = false;
    const settle = () => {
      if (!isOpen) resolve("refused");
      else resolve(text.startsWith("HTTP/1.1 200 ") ? "answered" : "lost");
    };
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open(socket) {
          isOpen = true;
          socket.write(GET);
        },
        data: (_socket, bytes) => void (text += bytes.toString("latin1")),
        close: settle,
        error: settle,
        connectError: settle,
      },
    }).catch(settle);
  });
}

test.skipIf(process.platform !== "linux")(
  "nobody whose connection was there before SIGTERM is lost",
  async () => {
    const counts = { answered: 0, refused: 0, lost: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const weir = await launch({ set: { "ops.log": "off" } });
      let isOver = false;
      const asking = Array.from({ length: CLIENTS }, async () => {
        while (!isOver) {
          const outcome = await ask(weir.port);
          counts[outcome]++;
          if (outcome !== "answered") return;
        }
      });
      await Bun.sleep(100);
      weir.kill("SIGTERM");
      expect(await weir.exited).toBe(0);
      isOver = true;
      await Promise.all(asking);
      await weir.stop();
    }
    expect(counts.answered).toBeGreaterThan(ROUNDS * CLIENTS);
    expect(counts.lost).toBe(0);
  },
  TEST_MS_MAX,
);
