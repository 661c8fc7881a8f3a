import { describe, expect, test } from "bun:test";
import type { Finding } from "../../../src/load/audit/finding.ts";
import { CHECKS } from "../../../src/load/audit/table.ts";
import { BUFFER_BYTES, OWN_KEY, type Planted } from "./gateway.ts";
import { auditPlanted, failedIn } from "./rig.ts";

const TEST_MS_MAX = 120_000;

/** A fault, the check that must find it, and the finding. */
const CASES: readonly (readonly [Planted, check: string, finding: string, says: RegExp])[] = [
  ["first-chunk-hold", "first-byte", "first-byte", /^p50 2\d/],
  ["merge", "coalescing", "coalescing", /each event held [\d.]+ ms/],
  [
    "lost-byte",
    "bytes",
    "bytes/plain",
    /^1 event changed: .*\.3 "; the same of 9 other shapes: many, crlf/,
  ],
  ["renumber", "bytes", "bytes/numbers", /12345678901234567000 instead of 12345678901234567890/],
  ["no-cancel", "cancel", "cancel/mid-stream-fin", /still open .* events generated for nobody/],
  ["three-retries", "retries", "retries/503", /4 attempts/],
  ["retries-500", "retries", "retries/500", /^500: 4 attempts, the client got 500$/],
  [
    "errors-as-200",
    "errors",
    "errors/status",
    /^400, 401, 403, .*, 503, 502 of HTML: 200 instead$/,
  ],
  ["errors-as-500", "errors", "errors/status", /^400, 401, .*, 422, 502, .*: 500 instead$/],
  ["errors-as-500", "limits", "limits/body", /^500 instead$/],
  ["503-as-502", "errors", "errors/status", /^503: 502 instead$/],
  [
    "error-body",
    "errors",
    "errors/body",
    /^400, 401, .*: error\.message: "upstream error" instead/,
  ],
  [
    "error-prefix",
    "errors",
    "errors/body",
    /^400, 401, .*, 503: error\.message: "openai error: The upstream refuses «naïve 漢字 🚦» \(…\)" instead of "The [^"]*"$/,
  ],
  [
    "error-fields",
    "errors",
    "errors/headers",
    /^400: no x-should-retry; 529, 503: no retry-after$/,
  ],
  ["error-fields", "limits", "limits/headers", /^no retry-after, no retry-after-ms, /],
  ["gives-up", "silence", "silence/1s-head", /^answered with 504 [\d ]+ ms into the silence$/],
  ["done-after-cut", "truncation", "truncation/cut-mid", /\[DONE\]/],
  [
    "leaked-header",
    "headers",
    "headers/hop-up",
    /^passing: x-weir-hop, .*proxy-connection, X-Weir-Hop-Case, te, upgrade$/,
  ],
  [
    "leaked-header",
    "headers",
    "headers/hop-down",
    /^passing: x-weir-hop, proxy-authenticate, X-Weir-Hop-Case, keep-alive, upgrade$/,
  ],
  ["named-case", "headers", "headers/hop-up", /^passing: X-Weir-Hop-Case$/],
  ["no-comments", "silence", "silence/1s-comments", /swallowed/],
  ["unbounded", "back-pressure", "back-pressure/taken", /all there was/],
  ["slow-up", "first-byte", "first-byte/way-up", /^p50 \d{2,}/],
  ["via", "headers", "headers/hop-up", /^passing: x-weir-hop, .*upgrade$/],
  ["stores", "fidelity", "fidelity/added", /^added: store: true$/],
  [
    "gzip",
    "bytes",
    "bytes/encoding",
    /^content-encoding: gzip that nobody asked for, in \d+ answers$/,
  ],
  [
    "html-type",
    "bytes",
    "bytes/content-type",
    /^content-type: text\/html instead of text\/event-str/,
  ],
  ["latin1-type", "bytes", "bytes/content-type", /charset=iso-8859-1 instead/],
  [
    "no-type",
    "bytes",
    "bytes/content-type",
    /^content-type: none instead .* in \d+ of \d+ answers$/,
  ],
  ["decoded-query", "fidelity", "fidelity/query", /^weir_audit has another value$/],
  [
    "composed-request",
    "fidelity",
    "fidelity/unicode",
    / \(U\+00E9 instead of U\+0065\)$/,
  ],
  ["trimmed-request", "fidelity", "fidelity/blanks", / instead of " \\twa-/],
  ["no-nul", "fidelity", "fidelity/controls", / ab[^"]*" instead of "[^"]* a\\u0000b/],
  ["by-pieces", "fidelity", "fidelity/large", /U\+FFFD instead of U\+/],
  [
    "lost-piece",
    "bytes",
    "bytes/tool-calls",
    /^2 of 19 events lost; the same of 2 other shapes: responses, messages$/,
  ],
  [
    "one-of-equals",
    "bytes",
    "bytes/repeated",
    /^1 of 8 events lost; the same of 1 other shape: messages$/,
  ],
  ["trimmed", "bytes", "bytes/blanks", /^3 events changed: .*"leading" instead of " leading"$/],
  ["composed", "bytes", "bytes/unicode", /^6 events changed: [^]* \(U\+00E9 instead of U\+0065\)$/],
  ["unjoined", "bytes", "bytes/unicode", /^6 events [^]* \(U\+1F469 instead of U\+200D\)$/],
  [
    "one-finish",
    "bytes",
    "bytes/choices",
    /^1 event changed: .*"stop" instead of "length"; the same/,
  ],
  ["one-finish", "bytes", "bytes/tool-calls", /"stop" instead of "tool_calls"$/],
  [
    "no-role",
    "bytes",
    "bytes/plain",
    /^1 of 23 events lost; the same of 21 other shapes: many, unic/,
  ],
  ["one-choice", "bytes", "bytes/choices", /^4 of 10 events lost;/],
  ["no-logprobs", "bytes", "bytes/logprobs", /^3 events changed: choices\[0\]\.logprobs: nothing/],
  ["no-fingerprint", "bytes", "bytes/logprobs", /^3 events changed: system_fingerprint: nothing/],
  ["renumber-json", "bytes", "bytes/json-numbers", /12345678901234567000 instead of/],
  ["key-in-base64", "headers", "headers/own-key", /^in \d+ of \d+ different errors, in none of /],
  ["key-in-error", "headers", "headers/own-key", /^in \d+ of \d+ different errors, in none of /],
  // Told although this check was not chosen.
  [
    "key-in-answers",
    "isolation",
    "headers/own-key",
    /^in none of 0 different errors, in [1-9]\d* of 48 other answers: isolation \d+$/,
  ],
  [
    "keeps-credentials",
    "isolation",
    "isolation/requests",
    /^\d+ of 48 requests with a foreign canary: isolation \d+$/,
  ],
  [
    "keeps-cookies",
    "isolation",
    "isolation/answers",
    /^\d+ of 48 answers with a foreign canary: isolation \d+$/,
  ],
  ["mixes", "silence", "isolation/answers", /^\d of 3 answers with a foreign mark: silence \d$/],
  ["mixes", "isolation", "isolation/at-once", /^\d+ of 48 streams not so, the first: /],
  [
    "twice",
    "fidelity",
    "isolation/once",
    /^\d of 12 requests came again, though nothing had failed: fidelity \d$/,
  ],
  ["hinted-leak", "headers", "headers/hop-down", /^passing: x-weir-hop/],
  ["slow-worker", "first-byte", "first-byte/way-up", /; on [1-8] of 8 connections p50 \d\d/],
  ["late-json", "first-byte", "first-byte/json", /; \d[\d .]+ ms or more in each$/],
  ["late-done", "hold-back", "hold-back/end", /^held: .*\[DONE\] \([\d ]{3,} ms\)/],
  [
    "late-end",
    "hold-back",
    "hold-back/end",
    /^held: .*the last chunk \([\d ]{3,} ms\), .*JSON answer/,
  ],
  ["no-cancel-json", "cancel", "cancel/json-fin", /^still open after 2 s$/],
  [
    "hangs-up",
    "keep-alive",
    "keep-alive/close-idle",
    /0 answered 5xx, \d\d closed without an answer$/,
  ],
];

describe("an audit finds", () => {
  for (const [planted, check, name, says] of CASES) {
    test(`${planted} (${name})`, async () => {
      const report = await auditPlanted(planted, [check]);
      const found = report.findings.find((one) => one.name === name);
      expect(found).toBeDefined();
      expect({ name, verdict: found!.verdict }).toEqual({ name, verdict: "fail" });
      expect(found!.measured).toMatch(says);
      expect(found!.evidence.length).toBeGreaterThan(0);
      expect(found!.mend).not.toBe("");
      expect(found!.limit).not.toBe("");
    }, TEST_MS_MAX);
  }

  test("a buffer, and the size that releases it", async () => {
    const { findings } = await auditPlanted("buffer", ["hold-back"]);
    expect(findings.find(({ name }) => name === "hold-back/event")).toMatchObject({
      verdict: "fail",
      measured: expect.stringMatching(/^held: 10 B, 100 B, 1\.0 KiB; passed at once: 4\.0 KiB/),
      value: BUFFER_BYTES,
      unit: "bytes",
    });
  }, TEST_MS_MAX);

  test("comments that are swallowed behind the first one", async () => {
    const { findings } = await auditPlanted("one-comment", ["silence"], { silencesS: [5] });
    expect(findings.find(({ name }) => name === "silence/5s-comments")).toMatchObject({
      verdict: "fail",
      measured: expect.stringMatching(
        /^whole, but nothing came for [3-9] \d+ ms, while the upstream commented every 1 000 ms$/,
      ) as unknown as string,
    });
  }, TEST_MS_MAX);

  test("a retry that does not wait as long as it was told", async () => {
    expect(failedIn(await auditPlanted("three-retries", ["retries"]))).toContain(
      "retries/retry-after",
    );
  }, TEST_MS_MAX);

  test("a key of the gateway's own that reaches the upstream", async () => {
    const report = await auditPlanted("none", ["headers"], {
      gatewayKey: "sk-gateway",
      fields: [["authorization", "Bearer sk-gateway"]],
    });
    expect(failedIn(report)).toEqual(["headers/credentials-up", "headers/key-up"]);
  }, TEST_MS_MAX);

  test("credentials and cookies of one check in another", async () => {
    for (
      const [planted, name] of [["keeps-credentials", "requests"], [
        "keeps-cookies",
        "answers",
      ]] as const
    ) {
      const { findings } = await auditPlanted(planted, ["headers", "limits"]);
      const found = findings.find((one) => one.name === `isolation/${name}`);
      expect(found?.verdict).toBe("fail");
      expect(found!.evidence.join("\n")).toMatch(
        /^limits: the \w+ of wa-\w{16} holds weircanary\w{12} of headers: /m,
      );
    }
  }, TEST_MS_MAX);

  const gatewayKeys = ["sk-gateway-of-clients", "sk-1234"];
  for (const gatewayKey of gatewayKeys) {
    test(
      `a key of ${gatewayKey.length} characters in some requests, in whatever check`,
      async () => {
        const report = await auditPlanted("key-up", ["isolation"], {
          gatewayKey,
          fields: [["authorization", `Bearer ${gatewayKey}`]],
        });
        expect(failedIn(report)).toEqual(["headers/key-up"]);
        const found = report.findings.find(({ name }) => name === "headers/key-up")!;
        expect(found.measured).toBe("in 16 of 48 requests: isolation 16");
        expect(found.evidence[0]).toMatch(/^isolation: the request of wa-\w{16}: x-trace-key: /);
        expect(JSON.stringify(report)).not.toContain(gatewayKey);
      },
      TEST_MS_MAX,
    );
  }

  test("no key in its own report", async () => {
    const report = await auditPlanted("key-in-error", ["headers", "retries", "keep-alive"]);
    expect(JSON.stringify(report)).not.toContain(OWN_KEY);
    expect(JSON.stringify(report)).toContain("<KEY>");
  }, TEST_MS_MAX);

  test("what a queue without bound makes of twice its capacity", async () => {
    const { findings: [found] } = await auditPlanted("queue", ["overload"], {}, 0);
    expect(found!.verdict).not.toBe("pass");
    expect(found!.measured).toMatch(
      /answered later|not answered in 5 s|^not tried|the machine got faster/,
    );
  }, TEST_MS_MAX);

  test("answers that never end, and stops a check behind a few of them", async () => {
    const { findings } = await auditPlanted("endless", ["first-byte", "bytes"]);
    expect(findings.filter(({ name }) => name.endsWith("/ends"))).toMatchObject([
      {
        name: "first-byte/ends",
        verdict: "fail",
        measured:
          "stopped: 3 answers had not ended when the client left, 5 s after asking; the upstream had written each to its end",
        settings: undefined,
      },
      { name: "bytes/ends", verdict: "fail", value: 3, settings: undefined },
    ]);
    expect(findings.map(({ name }) => name)).toContain("bytes/plain");
  }, TEST_MS_MAX);

  test(
    "requests that never reach the upstream whole, and stops a check behind a few of them",
    async () => {
      const { findings } = await auditPlanted("half-sent", ["first-byte"]);
      expect(findings).toMatchObject([{
        name: "first-byte/ends",
        verdict: "fail",
        measured:
          "stopped: 3 answers had not ended when the client left, 5 s after asking; the upstream had got none of the requests whole",
        value: 3,
      }]);
      const [{ evidence }] = findings as [Finding];
      expect(evidence[1]).toMatch(
        /^upstream: no whole request; a head and 0 of \d+ bytes of its body on connection \d+$/,
      );
      expect(evidence[2]).toMatch(/^client: status none .* \(the client left\)$/);
    },
    TEST_MS_MAX,
  );

  const swallowed = [
    ["keep-alive", "keep-alive/ends", /^1 answer had not ended when the client left, 10 s after/],
    ["limits", "limits/body", /^not answered within .*: it never reached the upstream whole$/],
    ["bytes", "bytes/many", /^not answered within .*: it never reached the upstream whole$/],
  ] as const;
  for (const [check, name, says] of swallowed) {
    test(`a single answer that never comes (${name})`, async () => {
      const planted = check === "limits" ? "swallows-first" : "swallows-second";
      const { findings } = await auditPlanted(planted, [check]);
      const found = findings.find((one) => one.name === name);
      expect(found).toMatchObject({
        verdict: "fail",
        measured: expect.stringMatching(says) as unknown as string,
      });
      expect(found!.evidence).toContain("upstream: no whole request");
    }, TEST_MS_MAX);
  }

  test("swallowed comments as a note where no silence is tried", async () => {
    const { findings } = await auditPlanted("no-comments", ["bytes"]);
    const found = findings.find(({ name }) => name === "bytes/comments");
    expect(found).toMatchObject({ verdict: "note", measured: "12 comments swallowed" });
  }, TEST_MS_MAX);
});

describe("an audit says no failure of", () => {
  const all = CHECKS.map(({ name }) => name).filter((name) => name !== "overload");
  /** What has nothing to do with time. */
  const timeless = [
    "bytes",
    "headers",
    "keep-alive",
    "truncation",
    "fidelity",
    "limits",
    "errors",
    "isolation",
  ];
  const honest = [["relay", all], ["none", timeless]] as const;
  for (const [planted, names] of honest) {
    test(planted === "relay" ? "a relay of bytes" : "an honest gateway", async () => {
      const report = await auditPlanted(planted, names);
      expect(report.findings.filter(({ verdict }) => verdict === "fail")).toEqual([]);
      expect(new Set(report.findings.map(({ check }) => check))).toEqual(new Set(names));
      expect(report.counts.pass).toBeGreaterThan(40);
    }, names.length * TEST_MS_MAX); // as long as a test of each
  }

  test("a pool that uses its connections in turn", async () => {
    const { findings } = await auditPlanted("rotating", ["keep-alive"]);
    expect(findings.find(({ name }) => name === "keep-alive/reuse")).toMatchObject({
      verdict: "pass",
      measured:
        "30 of 30 requests in turn came on a used connection, 6 connections to the upstream in all",
    });
  }, TEST_MS_MAX);

  test("a connection of each client's that is closed, which is noted", async () => {
    const { findings } = await auditPlanted("closes-clients", ["keep-alive"]);
    expect(findings.find(({ name }) => name === "keep-alive/reuse")?.verdict).toBe("pass");
    expect(findings.find(({ name }) => name === "keep-alive/clients")).toMatchObject({
      verdict: "note",
      measured: "0 of 30 requests in turn went on a used connection",
      evidence: expect.arrayContaining([
        expect.stringContaining("connection: close"),
      ]) as unknown as string[],
    });
  }, TEST_MS_MAX);

  test("a model that is called otherwise, which is noted once", async () => {
    const { findings } = await auditPlanted("renamed-model", ["fidelity"]);
    expect(
      findings.filter(({ verdict }) => verdict !== "pass")
        .map(({ name, verdict, measured }) => ({ name, verdict, measured })),
    ).toEqual([{
      name: "fidelity/model",
      verdict: "note",
      measured: 'model: "gpt-4o-mini" instead of "gpt-4o"',
    }]);
  }, TEST_MS_MAX);

  test(
    "a request that is parsed and written anew, but for numbers that no double holds",
    async () => {
      const { findings } = await auditPlanted("parsed-request", ["fidelity"]);
      expect(
        findings.filter(({ verdict }) => verdict !== "pass")
          .map(({ name, verdict, measured }) => [verdict, name, measured]),
      ).toEqual([
        ["fail", "fidelity/numbers", expect.stringContaining("12345678901234567000 instead of")],
        ["note", "fidelity/order", "the same values, written anew"],
        ["note", "fidelity/duplicate-keys", "of two equal keys the last one is left"],
        [
          "note",
          "fidelity/number-range",
          expect.stringMatching(/null instead of 1e400; .* 0 instead of 1e-400$/),
        ],
      ]);
    },
    TEST_MS_MAX,
  );

  test("another name of the model in answers, which is noted once", async () => {
    const { findings } = await auditPlanted("alias", ["bytes"]);
    expect(
      findings.filter(({ verdict }) => verdict !== "pass")
        .map(({ name, verdict, measured }) => ({ name, verdict, measured })),
    ).toEqual([{
      name: "bytes/model",
      verdict: "note",
      measured: expect.stringMatching(
        /^model: "my-alias" instead of "audit".*, in \d+ answers$/,
      ) as unknown as string,
    }]);
  }, TEST_MS_MAX);

  test("comments of its own in place of the upstream's", async () => {
    const { findings } = await auditPlanted("own-comments", ["silence"], { silencesS: [5] });
    expect(findings.filter(({ verdict }) => verdict !== "pass")).toEqual([]);
  }, TEST_MS_MAX);

  const notes = [
    ["error-envelope", "errors/body", /^400, .*: in an envelope of the gateway's own, as detail.0/],
    ["error-respelt", "errors/body", /^400, .*: the same values, written anew$/],
    ["error-respelt", "limits/body", /^the same values, written anew$/],
    [
      "cached",
      "bytes/cache-control",
      /^cache-control: public, max-age=3600 instead of no-cache, in/,
    ],
    ["no-query", "fidelity/query", /^lost: weir_audit, weir_empty$/],
  ] as const;
  for (const [planted, name, says] of notes) {
    test(`${planted}, which is noted`, async () => {
      const { findings } = await auditPlanted(planted, [name.split("/")[0]!]);
      expect(findings.filter(({ verdict }) => verdict !== "pass")).toMatchObject([
        { name, verdict: "note", measured: expect.stringMatching(says) as unknown as string },
      ]);
    }, TEST_MS_MAX);
  }

  test("a refusal behind an interim head", async () => {
    const { findings } = await auditPlanted("hinted-leak", ["limits"]);
    expect(findings.map(({ name, verdict }) => [name, verdict])).toEqual([
      ["limits/body", "pass"],
      ["limits/headers", "pass"],
    ]);
  }, TEST_MS_MAX);

  const refusals = [
    ["busy-429", "bytes", ["bytes/numbers"]],
    ["busy-503", "bytes", ["bytes/numbers"]],
    ["busy-429", "back-pressure", [
      "back-pressure/taken",
      "back-pressure/others",
      "back-pressure/whole",
    ]],
    ["busy-429", "fidelity", ["fidelity/blanks", "fidelity/large"]],
    ["busy-503", "fidelity", ["fidelity/blanks", "fidelity/large"]],
  ] as const;
  for (const [planted, check, names] of refusals) {
    test(`${planted}, of which ${check} is void where two in a row are refused`, async () => {
      const report = await auditPlanted(planted, [check], {}, 0);
      const found = report.findings.filter(({ verdict }) => verdict !== "pass");
      expect(found.map(({ name, verdict }) => [name, verdict])).toEqual(
        names.map((name) => [name, "void"]),
      );
      const says = `refused with ${
        planted.slice(-3)
      } by the gateway itself: the upstream was not asked`;
      for (const { measured } of found) expect(measured).toStartWith(says);
      expect(JSON.stringify(found)).not.toContain("refuses tools");
    }, TEST_MS_MAX);
  }

  test("errors of its own for want of room, of which errors is void", async () => {
    const { findings } = await auditPlanted("busy-503", ["errors"], {}, 0);
    expect(findings.map(({ verdict }) => verdict)).toEqual(["void", "void", "void", "void"]);
    expect(findings[0]!.measured).toMatch(
      /^24 errors, each as it was said; 2 more refused with 503 by the gateway itself/,
    );
  }, TEST_MS_MAX);

  test("gzip that the client has asked for", async () => {
    const asked = { fields: [["accept-encoding", "br;q=0, gzip"]] } as const;
    const { findings } = await auditPlanted("gzip-asked", ["bytes"], asked);
    expect(findings.filter(({ verdict }) => verdict !== "pass")).toEqual([]);
    expect(findings[0]!.measured).toMatch(
      /^content-encoding: gzip that the client asked for, in \d+ answers$/,
    );
  }, TEST_MS_MAX);

  test("what it can decode, where it is encoded", async () => {
    const { findings } = await auditPlanted("gzip", ["bytes", "coalescing", "hold-back"]);
    expect(findings.filter(({ verdict }) => verdict === "fail").map(({ name }) => name)).toEqual([
      "bytes/encoding",
    ]);
  }, TEST_MS_MAX);

  test("retries that were declared", async () => {
    const report = await auditPlanted("three-retries", ["retries"], { retriesDeclared: 3 });
    expect(failedIn(report)).toEqual(["retries/retry-after"]);
  }, TEST_MS_MAX);
});
