import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { EditedFault } from "../../src/core/fault_plan.ts";
import { edited } from "../dialects/edited.ts";
import { type Sample, SAMPLES } from "../dialects/fault_streams.ts";
import { seeded } from "../seeded.ts";
import { launch, rawPost, TEST_MS_MAX, type Weir } from "./launch.ts";
import { type Proxied, proxied } from "./proxied.ts";
import { connect, parseRaw, type RawResponse } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, sseHead } from "./scripted_upstream.ts";
import { STREAMING_SURFACES } from "./streaming_surfaces.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Path → the dialect that it answers in. */
const DIALECTS: Readonly<Record<string, string>> = {
  "/v1/chat/completions": "openai_chat",
  "/chat": "openai_chat",
  "/v1/completions": "openai_completions",
  "/v1/responses": "openai_responses",
  "/v1/messages": "anthropic_messages",
  "/v1/response": "envelope",
  "/api/chat": "content_events",
  "/conv": "chatgpt_web",
  "/api/workflows/runs": "workflow_chunks",
};

/** What finds nothing to change: no usage was asked for, and no text is JSON. */
const UNMET: Readonly<Record<string, readonly EditedFault[]>> = {
  "/chat": ["usage-late", "usage-missing", "usage-twice"],
  "/api/workflows/runs": ["malformed"],
};

interface Asked {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Every surface whose answers have events of a dialect. */
const SURFACES = STREAMING_SURFACES.filter(({ path }) => path in DIALECTS);

function sampleOf(dialect: string | undefined): Sample {
  return SAMPLES.find((sample) => sample.dialect === dialect)!;
}

/** The faults that `sample` can have in a stream, and those that it cannot. */
function faultsOf({ edits }: Sample, areThere: boolean): readonly EditedFault[] {
  return (Object.keys(edits) as EditedFault[])
    .filter((name) => (edits[name]?.why === undefined) === areThere);
}

async function ask(
  { port }: Pick<Weir, "port">,
  { path, headers = {}, body }: Asked,
  fault?: string,
): Promise<RawResponse> {
  const fields = Object.entries({
    "Origin": "http://localhost:3000",
    ...headers,
    ...(fault === undefined ? {} : { "X-Weir-Fault": fault }),
  }).map(([name, value]) => `${name}: ${value}`);
  const client = await connect(port, rawPost(path, body, fields));
  return parseRaw(await client.closed);
}

/** What differs between two equal answers: ids, times, and the blanks that Anthropic pads with. */
function masked(body: Buffer): string {
  return body.toString()
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "UUID")
    .replaceAll(/\b(chatcmpl-|cmpl-|call_|[a-z]{2,4}_)[A-Za-z0-9]{20,}/g, "$1ID")
    .replaceAll(/("created(?:_at)?":|"completed_at":|"create_time":)\d+/g, "$10");
}

describe("in front of the mock", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": "一 two 🌊 four, and more" } });
  });
  afterAll(() => weir.stop());

  for (const surface of SURFACES) {
    const sample = sampleOf(DIALECTS[surface.path]);
    // The usage is asked for where a client may ask for it.
    const hasOption = surface.path.endsWith("completions");
    const asked = {
      ...surface,
      body: {
        ...surface.body as object,
        ...(hasOption ? { stream_options: { include_usage: true } } : {}),
      },
    };
    test(`${surface.path}: each fault is in the bytes, and nothing else`, async () => {
      const plain = masked((await ask(weir, asked)).body);
      for (const fault of faultsOf(sample, true)) {
        const { status, body, isWhole } = await ask(weir, asked, fault);
        expect([fault, status, isWhole]).toEqual([fault, 200, true]);
        const wanted = edited(sample.edits, plain, fault);
        const isMet = UNMET[surface.path]?.includes(fault) !== true;
        expect([fault, wanted.hasHappened]).toEqual([fault, isMet]);
        expect(masked(body)).toBe(wanted.text);
      }
    });

    for (const fault of faultsOf(sample, false)) {
      test(`${surface.path}: ${fault} is refused, and why`, async () => {
        const { status, body } = await ask(weir, asked, fault);
        expect(status).toBeGreaterThanOrEqual(200);
        expect(body.toString()).toContain(`cannot have the fault ${fault}`);
        expect(body.toString()).toContain(sample.edits[fault]!.why!);
      });
    }
  }
});

test("a workflow's run refuses faults that only a source can have, and those of streams where it has none", async () => {
  const weir = await launch();
  try {
    const run = STREAMING_SURFACES.find(({ path }) => path === "/api/workflows/runs")!;
    const stateOnly = { ...run, body: { ...run.body as object, wait_for_completion: false } };
    const CASES = [
      [run, "status", "a workflow has faults of its stream only"],
      [run, "cut@event=x", "x-weir-fault: event must be"],
      [stateOnly, "dup", "cannot have the fault dup"],
    ] as const;
    for (const [asked, fault, told] of CASES) {
      const { status, body } = await ask(weir, asked, fault);
      expect([fault, status]).toEqual([fault, 400]);
      expect(body.toString()).toContain(told);
    }
    const { isWhole, body } = await ask(weir, run, "cut@event=1");
    expect([isWhole, body.toString().split("\n\n").length]).toEqual([false, 2]);
  } finally {
    await weir.stop();
  }
});

/** Of the surfaces whose upstreams' bytes are passed on: what is asked, and what upstreams speak. */
const RELAYED: readonly (Asked & { readonly set?: Readonly<Record<string, string>> })[] = [
  ...SURFACES.filter(({ isRelayed }) => isRelayed === true),
  ...SURFACES.filter(({ path }) => path === "/v1/responses")
    .map((surface) => ({ ...surface, set: { "llm.speaks": "[openai_responses]" } })),
  ...SURFACES.filter(({ path }) => path === "/v1/messages")
    .map((surface) => ({ ...surface, set: { "llm.speaks": "[anthropic_messages]" } })),
];

describe("in front of an upstream whose stream comes in any pieces", () => {
  for (const { set = {}, ...asked } of RELAYED) {
    describe(asked.path, () => {
      const sample = sampleOf(DIALECTS[asked.path]);
      let proxy: Proxied;
      beforeAll(async () => {
        proxy = await proxied({ set: { "faults.header": "true", ...set } });
        const chance = seeded(17);
        proxy.play(() => {
          const bytes = Buffer.from(sample.stream);
          const acts = [act.send(sseHead())];
          for (let at = 0; at < bytes.length;) {
            const size = 1 + Math.floor(chance() * (chance() < 0.5 ? 8 : 400));
            acts.push(act.send(chunk(bytes.subarray(at, at += size))));
          }
          return [...acts, act.send(LAST_CHUNK)];
        });
      });
      afterAll(() => proxy.stop());

      test("each fault is in the bytes, and nothing else", async () => {
        for (const fault of [...faultsOf(sample, true), "framing;with=cr", "framing;with=lines"]) {
          const { status, body, isWhole } = await ask(proxy.weir, asked, fault);
          expect([fault, status, isWhole]).toEqual([fault, 200, true]);
          expect(body.toString()).toBe(edited(sample.edits, sample.stream, fault).text);
        }
        expect((await ask(proxy.weir, asked)).body.toString()).toBe(sample.stream);
      });
    });
  }
});
