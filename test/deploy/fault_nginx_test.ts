import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EditedFault } from "../../src/core/fault_plan.ts";
import { edited } from "../dialects/edited.ts";
import { CHAT_TEXT, SAMPLES } from "../dialects/fault_streams.ts";
import { TEST_MS_MAX } from "../server/launch.ts";
import { CHAT, type Proxied, proxied, whole } from "../server/proxied.ts";
import { connect, parseRaw, rawChat, type RawResponse } from "../server/raw_client.ts";
import { type Nginx, startNginx } from "./nginx.ts";
import { hasProgram } from "./program.ts";

const CAN_RUN = hasProgram("nginx");

const { edits } = SAMPLES.find(({ dialect }) => dialect === "openai_chat")!;

/** Fault → whether HTTP has its end. */
const BROKEN: readonly (readonly [fault: string, isWhole: boolean])[] = [
  ["cut@event=3", false],
  ["reset@event=3", false],
  ["cut-clean@event=3", true],
];

/** Faults that no client behind a proxy sees anything of, but for the time. */
const SEEN_AS_WHOLE = [
  "split;ms=0",
  "trickle;bytes=50;ms=0",
  "glue",
  "stall;ms=20",
  "slow-close;ms=20",
];

describe.skipIf(!CAN_RUN)("faults behind the real nginx", () => {
  let proxy: Proxied;
  let nginx: Nginx;
  beforeAll(async () => {
    proxy = await proxied({ set: { "faults.header": "true" } });
    proxy.play(() => whole(CHAT_TEXT));
    nginx = await startNginx(proxy.weir.port);
  }, TEST_MS_MAX);
  afterAll(async () => {
    await nginx.stop();
    await proxy.stop();
  });

  async function ask(fault: string): Promise<RawResponse> {
    const fields = ["Connection: close", `X-Weir-Fault: ${fault}`];
    const client = await connect(nginx.port, rawChat(CHAT, fields));
    return parseRaw(await client.closed);
  }

  for (const fault of Object.keys(edits) as EditedFault[]) {
    test(`${fault} reaches the client as it is`, async () => {
      const { status, body, isWhole } = await ask(fault);
      expect([status, isWhole]).toEqual([200, true]);
      expect(body.toString()).toBe(edited(edits, CHAT_TEXT, fault).text);
    }, TEST_MS_MAX);
  }

  for (const fault of SEEN_AS_WHOLE) {
    test(`${fault} changes no byte`, async () => {
      const { body, isWhole } = await ask(fault);
      expect([isWhole, body.toString()]).toEqual([true, CHAT_TEXT]);
    }, TEST_MS_MAX);
  }

  for (const [fault, isToBeWhole] of BROKEN) {
    test(`${fault} leaves some events, ${isToBeWhole ? "and an end" : "and no end"}`, async () => {
      const { body, isWhole } = await ask(fault);
      const two = edited(edits, CHAT_TEXT, "error-event@event=3").pieces.slice(0, 2).join("");
      expect(isWhole).toBe(isToBeWhole);
      expect(CHAT_TEXT).toStartWith(body.toString());
      // A reset may overtake what was sent before it.
      if (!fault.startsWith("reset")) expect(body.toString()).toStartWith(two);
      expect(body.toString()).not.toContain("[DONE]");
    }, TEST_MS_MAX);
  }

  test("huge is an event of megabytes, with the same meaning", async () => {
    const { body, isWhole } = await ask("huge;bytes=4194304");
    expect(isWhole).toBe(true);
    expect(body.length).toBe(Buffer.byteLength(CHAT_TEXT) + 4_194_304);
    expect(body.toString().replace(/ {1000,}/, "")).toBe(CHAT_TEXT);
  }, TEST_MS_MAX);
});

if (!CAN_RUN) test.skip("nginx is not installed: apt-get install nginx", () => {});
