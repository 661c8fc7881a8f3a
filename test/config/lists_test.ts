import { describe, expect, test } from "bun:test";
import type { RouteEntry, UpstreamEntry } from "../../src/config/config.ts";
import { describeConfig, secretsOf } from "../../src/config/describe.ts";
import { configOf, type Input, load, problemsOf } from "./loaded.ts";

const LLM = configOf({}).llm;
const LOCAL = "{name: local, base_url: http://127.0.0.1:8000/v1}";
const KEYS = ["name", ...Object.keys(LLM)].join(", ");

describe("loadConfig() reads lists of entries", () => {
  test("an upstream named llm is the one that chat.source means", () => {
    const text = "chat: {source: proxy}\nupstreams: [{name: llm, base_url: http://a}]\n";
    expect(problemsOf({ text })).toEqual([]);
  });

  test("an upstream has every key of llm with its default", () => {
    const [entry, ...rest] = configOf({ text: `upstreams: [${LOCAL}]\n` }).upstreams;
    const expected: UpstreamEntry = {
      ...LLM,
      name: "local",
      base_url: "http://127.0.0.1:8000/v1",
    };
    expect(entry).toEqual(expected);
    expect(rest).toEqual([]);
  });

  test("an upstream with everything, in any case, as it is written", () => {
    const text = [
      "Upstreams:",
      "  - NAME: 007",
      "    Base_URL: https://a.example/v1//",
      "    api_key: ' sk-1 '",
      "    model_id: 模型 🙂",
      "    headers_timeout_ms: 1",
      "    first_token_timeout_ms: 2",
      "    idle_timeout_ms: 3",
      "    retries: 0",
      "    headers: {X-A: 1.50}",
      "    headers_up: [User-Agent]",
      "    proxy: http://p.example:3128/",
      "    ca_file: ca.pem",
      "    speaks: [anthropic_messages, openai_chat]",
      "    paths: [/embeddings, '/files*', /水]",
      "",
    ].join("\n");
    expect(configOf({ text }).upstreams).toMatchObject([{
      name: "007",
      base_url: "https://a.example/v1",
      api_key: "sk-1",
      api_key_file: "",
      model_id: "模型 🙂",
      headers_timeout_ms: 1,
      first_token_timeout_ms: 2,
      idle_timeout_ms: 3,
      event_max_bytes: 16_777_216,
      answer_max_bytes: 134_217_728,
      retries: 0,
      resend: "auto",
      stream_options: "auto",
      headers: { "X-A": "1.50" },
      headers_up: ["user-agent"],
      proxy: "http://p.example:3128",
      ca_file: "ca.pem",
      speaks: ["anthropic_messages", "openai_chat"],
      paths: ["/embeddings", "/files*", "/水"],
    }]);
  });

  test("a key without a value is not given", () => {
    const text = "upstreams:\n  - name: a\n    base_url: http://a.example\n    retries:\n";
    expect(configOf({ text }).upstreams[0]?.retries).toBe(2);
  });

  const ROUTES: readonly (readonly [entry: string, route: Omit<RouteEntry, "tape" | "usage">])[] = [
    ["{match: {model: gpt-4o*}, to: [local]}", {
      name: "",
      match: { model: "gpt-4o*" },
      to: ["local"],
    }],
    ["{to: [local]}", { name: "", match: { model: "*" }, to: ["local"] }],
    ["{match: {}, to: [mock]}", { name: "", match: { model: "*" }, to: ["mock"] }],
    ["{match: , to: [mock]}", { name: "", match: { model: "*" }, to: ["mock"] }],
    ["{MATCH: {Model: 4.10}, To: [llm]}", { name: "", match: { model: "4.10" }, to: ["llm"] }],
    ["{to: [chat]}", { name: "", match: { model: "*" }, to: ["chat"] }],
  ];
  for (const [entry, route] of ROUTES) {
    test(`a route ${entry}`, () => {
      const text = `upstreams: [${LOCAL}]\nroutes: [${entry}]\n` +
        "llm: {base_url: https://a.example}\nchat: {api_proxy: b.example}\n";
      expect(configOf({ text }).routes).toEqual([{ tape: "usual", usage: "count", ...route }]);
    });
  }

  test("an entry by its alias", () => {
    const text = "llm: {base_url: http://a.example}\n" +
      "routes: [{match: &m {model: a*, tools: true}, to: [llm]}, {match: *m, to: [mock]}]\n";
    expect(configOf({ text }).routes[1]?.match).toMatchObject({ model: "a*", tools: true });
  });

  test("a dollar is a dollar: ${NAME} stands for nothing", () => {
    const text = "upstreams: [{name: a, base_url: http://a.example, api_key: '${KEY}'}]\n" +
      "mock: {reply: '${HOME} $HOME'}\n";
    const config = configOf({ text, env: { KEY: "k", HOME: "/root" } });
    expect(config.upstreams[0]?.api_key).toBe("${KEY}");
    expect(config.mock.reply).toBe("${HOME} $HOME");
    expect(problemsOf({ text: "llm: {base_url: '${URL}'}\n", env: { URL: "http://a" } })[0])
      .toEndWith('it is "${URL}"');
  });

  test("is frozen, down to lists in entries", () => {
    const config = configOf({ text: `upstreams: [${LOCAL}]\nroutes: [{to: [local]}]\n` });
    const [upstream] = config.upstreams;
    const [route] = config.routes;
    for (
      const value of [
        config.upstreams,
        upstream,
        upstream?.speaks,
        upstream?.headers,
        config.routes,
        route,
        route?.match,
        route?.to,
      ]
    ) {
      expect(Object.isFrozen(value)).toBe(true);
    }
  });
});

describe("loadConfig() takes lists whole from the highest that gives one", () => {
  const WHOLE: readonly (readonly [name: string, input: Input, origin: string])[] = [
    [
      "JSON of the environment",
      { env: { WEIR_UPSTREAMS: '[{"name":"b","base_url":"http://b.example"}]' } },
      "WEIR_UPSTREAMS",
    ],
    [
      "YAML of the environment",
      { env: { WEIR_UPSTREAMS: "[{name: b, Base_url: http://b.example}]" } },
      "WEIR_UPSTREAMS",
    ],
    [
      "a flag",
      { flags: [{ key: "upstreams", value: "[{name: b, base_url: http://b.example}]" }] },
      "--set upstreams",
    ],
  ];
  for (const [name, input, origin] of WHOLE) {
    test(name, () => {
      const result = load({ text: `upstreams: [${LOCAL}]\n`, ...input });
      if (result.kind === "bad") throw new Error(result.problems.join("\n"));
      expect(result.config.upstreams.map((entry) => entry.name)).toEqual(["b"]);
      expect(result.origins.get("upstreams")).toBe(origin);
    });
  }

  test("routes of the environment lead to upstreams of the file", () => {
    const env = { WEIR_ROUTES: '[{"match":{"model":"x"},"to":["local"]}]' };
    const { routes } = configOf({ text: `upstreams: [${LOCAL}]\n`, env });
    expect(routes).toEqual([
      { name: "", match: { model: "x" }, to: ["local"], tape: "usual", usage: "count" },
    ]);
  });
});

describe("loadConfig() reports what is wrong in lists", () => {
  const MUST_LIST = "a list of at most 100 entries like " +
    "{name: local, base_url: http://127.0.0.1:8000/v1}";
  const MUST_NAME = "a name of up to 64 letters, digits, _ . and -, which no other upstream has";
  const MUST_TO = "a list of 1 to 16 different upstreams, or mock, such as [openai, local]";
  const CASES: readonly (readonly [name: string, input: Input, problems: readonly string[]])[] = [
    [
      "a misspelt key of an entry, and not what is missing with it",
      { text: "upstreams:\n  - name: a\n    base_ulr: http://a.example\n" },
      [
        "config.yaml:3:5 upstreams.0.base_ulr: is not a known key: did you mean upstreams.0.base_url?",
      ],
    ],
    [
      "a key of an entry like no other",
      { text: `upstreams:\n  - ${LOCAL}\n  - {name: b, base_url: http://b, zzzzzzzz: 1}\n` },
      [`config.yaml:3:35 upstreams.1.zzzzzzzz: is not a known key: known here are ${KEYS}`],
    ],
    [
      "a key of an entry twice, in two spellings",
      { text: "upstreams:\n  - name: a\n    base_url: http://a\n    NAME: b\n" },
      ["config.yaml:4:5 upstreams.0.NAME: is given twice: the first is in line 2"],
    ],
    [
      "a header that never goes up",
      { text: "upstreams:\n  - {name: a, base_url: http://a, headers_up: [X-A, Cookie]}\n" },
      [
        "config.yaml:2:53 upstreams.0.headers_up.1: must be another name: this one never goes up: " +
        'it is "Cookie"',
      ],
    ],
    [
      "a header of an entry twice",
      { text: "upstreams:\n  - {name: a, base_url: http://a, headers: {X-A: 1, x-a: 2}}\n" },
      ["config.yaml:2:53 upstreams.0.headers.x-a: is given twice: the first is in line 2"],
    ],
    ["an entry without a name", { text: "upstreams:\n  - base_url: http://a.example\n" }, [
      `config.yaml:2:5 upstreams.0.name: must be ${MUST_NAME}: it is empty`,
    ]],
    ["an entry without a base_url", { text: "upstreams:\n  - name: a\n" }, [
      "config.yaml:2:5 upstreams.0.base_url: must be an http:// or https:// URL without #: " +
      "it is empty",
    ]],
    ["an empty base_url", { text: 'upstreams:\n  - {name: a, base_url: ""}\n' }, [
      "config.yaml:2:25 upstreams.0.base_url: must be an http:// or https:// URL without #: " +
      'it is ""',
    ]],
    ["a name with a blank", { text: "upstreams:\n  - {name: a b, base_url: http://a}\n" }, [
      `config.yaml:2:12 upstreams.0.name: must be ${MUST_NAME}: it is "a b"`,
    ]],
    ["the name of the mock", { text: "upstreams:\n  - {name: mock, base_url: http://a}\n" }, [
      "config.yaml:2:12 upstreams.0.name: must be another name than mock, which is weir's own: " +
      'it is "mock"',
    ]],
    ["a name twice", { text: `upstreams:\n  - ${LOCAL}\n  - ${LOCAL}\n` }, [
      `config.yaml:3:12 upstreams.1.name: must be ${MUST_NAME}: it is "local"`,
    ]],
    [
      "a number out of range, and one in quotes",
      {
        text: 'upstreams:\n  - {name: a, base_url: http://a, retries: 11, idle_timeout_ms: "9"}\n',
      },
      [
        "config.yaml:2:44 upstreams.0.retries: must be a whole number from 0 to 10: it is 11",
        "config.yaml:2:65 upstreams.0.idle_timeout_ms: must be a whole number from 1 to 86400000: " +
        'it is "9" (take the quotes away)',
      ],
    ],
    [
      "a dialect that nobody speaks",
      { text: "upstreams:\n  - {name: a, base_url: http://a, speaks: [morse]}\n" },
      [
        "config.yaml:2:44 upstreams.0.speaks.0: must be one of openai_chat, " +
        'openai_responses, anthropic_messages: it is "morse"',
      ],
    ],
    [
      "a path without its slash",
      { text: "llm: {base_url: http://a, paths: [files]}\n" },
      [
        "config.yaml:1:35 llm.paths.0: must be a path on one line that begins with a slash, " +
        'such as /files*: it is "files"',
      ],
    ],
    [
      "a key and a file for it",
      { text: "upstreams:\n  - {name: a, base_url: http://a, api_key: k, api_key_file: f}\n" },
      [
        "config.yaml:2:61 upstreams.0.api_key_file: must be empty while api_key is set: it is " +
        '"f"',
      ],
    ],
    ["a text for a list", { text: "upstreams: sk-secret\n" }, [
      `config.yaml:1:12 upstreams: must be ${MUST_LIST}: its value is not shown, as it may be secret`,
    ]],
    ["a mapping for a list", { text: `upstreams: ${LOCAL}\n` }, [
      `config.yaml:1:12 upstreams: must be ${MUST_LIST}: it is a mapping`,
    ]],
    ["a text for an entry", { text: "upstreams:\n  - sk-secret\n" }, [
      "config.yaml:2:5 upstreams.0: must be an entry with a name and a base_url: its value is not " +
      "shown, as it may be secret",
    ]],
    ["an empty entry", { text: "upstreams:\n  -\n" }, [
      "config.yaml:2:4 upstreams.0: must be an entry with a name and a base_url: it is empty",
    ]],
    [
      "more than there may be",
      {
        text: `upstreams: [${
          Array.from({ length: 101 }, (_, i) => `{name: u${i}, base_url: http://a}`)
        }]`,
      },
      [`config.yaml:1:12 upstreams: must be ${MUST_LIST}: it is a list`],
    ],
    ["a list twice", { text: "routes: []\nRoutes: []\n" }, [
      "config.yaml:2:1 Routes: is given twice: the first is in line 1",
    ]],
    ["a misspelt list", { text: "upstream: []\n" }, [
      "config.yaml:1:1 upstream: is not a known key: did you mean upstreams?",
    ]],
    ["a list in a section", { text: "llm:\n  upstreams: []\n" }, [
      "config.yaml:2:3 llm.upstreams: is not a known key: did you mean upstreams?",
    ]],
    ["a token's misspelt key", { text: "auth:\n  tokens: [{name: a, tokn: b}]\n" }, [
      "config.yaml:2:22 auth.tokens.0.tokn: is not a known key: did you mean auth.tokens.0.token?",
    ]],
    ["a token's name twice", {
      text: "auth:\n  tokens:\n    - {name: a, token: b}\n    - {name: a, token: c}\n",
    }, [
      "config.yaml:4:14 auth.tokens.1.name: must be a name of up to 64 letters, digits, _ . and -, " +
      "which no other token has: its value is not shown, as it may be secret",
    ]],
    ["a token and a file for it", {
      text: "auth:\n  tokens:\n    - {name: a, token: b, token_file: c}\n",
    }, [
      "config.yaml:3:7 auth.tokens.0: must be an entry with a name and either token or " +
      "token_file: it is a mapping",
    ]],
    ["a key without its text", { text: "keys:\n  - {name: a, models: [m]}\n" }, [
      "config.yaml:2:5 keys.0: must be an entry with a name and one of token, token_file and " +
      "token_sha256: it is a mapping",
    ]],
    ["a key with two texts", { text: "keys:\n  - {name: a, token: b, token_file: c}\n" }, [
      "config.yaml:2:5 keys.0: must be an entry with a name and one of token, token_file and " +
      "token_sha256: it is a mapping",
    ]],
    ["a key's digest that is none", { text: "keys:\n  - {name: a, token_sha256: ab12}\n" }, [
      "config.yaml:2:29 keys.0.token_sha256: must be 64 hexadecimal digits, or empty: its value is " +
      "not shown, as it may be secret",
    ]],
    ["a key that ends at no moment", {
      text: "keys:\n  - {name: a, token: t, expires: 2027-02-30x}\n",
    }, [
      "config.yaml:2:34 keys.0.expires: must be a date such as 2027-01-31, or with a time such as " +
      "2027-01-31T12:00:00Z: its value is not shown, as it may be secret",
    ]],
    ["a key named as a token is", {
      text: "auth: {tokens: [{name: a, token: t}]}\nkeys:\n  - {name: a, token: u}\n",
    }, ["config.yaml:3:12 keys.0.name: must be a name that none of auth.tokens has"]],
    ["a key for a route that is none", {
      text:
        "routes: [{name: cheap, to: [mock]}]\nkeys:\n  - {name: a, token: u, routes: [cheep]}\n",
    }, ['config.yaml:3:34 keys.0.routes.0: "cheep" is not a known route: did you mean cheap?']],
    ["a key for a route where none has a name", {
      text: "keys:\n  - {name: a, token: u, routes: [cheap]}\n",
    }, [
      'config.yaml:2:34 keys.0.routes.0: "cheap" is not a known route: there is none with a name',
    ]],
    ["a key with less than nothing", {
      text: "keys:\n  - {name: a, token: u, requests_per_min: -5}\n",
    }, [
      "config.yaml:2:43 keys.0.requests_per_min: must be a whole number from 0 to 1000000000: it is -5",
    ]],
    ["a key's number in place of the list", { text: "keys: 4711\n" }, [
      "config.yaml:1:7 keys: must be a list of at most 1000 entries like {name: ci, token: …, models: " +
      "[gpt-4o*]}: its value is not shown, as it may be secret",
    ]],
    ["a route's name twice", {
      text: "routes:\n  - {name: a, match: {model: a}, to: [mock]}\n  - {name: a, to: [mock]}\n",
    }, [
      "config.yaml:2:12 routes.0.name: must be a name that no other route has",
      "config.yaml:3:12 routes.1.name: must be a name that no other route has",
    ]],
    ["a route that leads nowhere", { text: "routes:\n  - match: {model: a}\n" }, [
      `config.yaml:2:5 routes.0.to: must be ${MUST_TO}: it is empty`,
    ]],
    ["a route that leads twice to one", { text: "routes:\n  - to: [mock, mock]\n" }, [
      `config.yaml:2:9 routes.0.to: must be ${MUST_TO}: it is a list`,
    ]],
    ["a hedge with nobody beside", { text: "routes:\n  - {to: [mock], hedge_ms: 5}\n" }, [
      "config.yaml:2:28 routes.0.hedge_ms: must be left out where to has one name",
    ]],
    ["a cache of what the mock says", { text: "routes:\n  - {to: [mock], cache: {}}\n" }, [
      "config.yaml:2:25 routes.0.cache: must be left out where to names the mock alone",
    ]],
    ["a cache at no pace", {
      text: "llm: {base_url: http://a}\nroutes:\n  - {to: [llm], cache: {pace: fast}}\n",
    }, [
      "config.yaml:3:31 routes.0.cache.pace: must be at_once, recorded, or events a second from 1 to 100000: " +
      'it is "fast"',
    ]],
    ["a probe for no breaker", {
      text: "llm: {probe_ms: 5, breaker_share: 0}\n",
    }, [
      "config.yaml:1:17 llm.probe_ms: must be 0 while breaker_share is: nobody would act on what it learns",
    ]],
    ["a probe where no route leads", {
      text: "upstreams: [{name: a, base_url: http://a.example, probe_ms: 5}]\n",
    }, [
      "config.yaml:1:61 upstreams.0.probe_ms: must be 0 while no route leads to a: nobody would act on what it learns",
    ]],
    ["a line where nobody waits", { text: "llm: {waiting_max: 5}\n" }, [
      "config.yaml:1:20 llm.waiting_max: has no effect while concurrency_max is 0: nobody waits then",
    ]],
    ["a parameter that is none", { text: "routes:\n  - {to: [mock], params_remove: [model]}\n" }, [
      "config.yaml:2:34 routes.0.params_remove.0: must be the name of a parameter, and none of " +
      'model, stream, messages, input, prompt: it is "model"',
    ]],
    ["bounds with nothing between them", {
      text: "routes:\n  - {to: [mock], params_max: {n: 1}, params_min: {n: 2}}\n",
    }, [
      "config.yaml:2:54 routes.0.params_min.n: must be at most params_max, which is 1: it is 2",
    ]],
    ["a parameter that is set and removed", {
      text: "routes:\n  - {to: [mock], params_set: {n: 1}, params_remove: [n]}\n",
    }, [
      'config.yaml:2:54 routes.0.params_remove.0: must be left out while params_set has "n"',
    ]],
    ["a parameter that is set and bounded", {
      text: "routes:\n  - {to: [mock], params_set: {n: 1}, params_max: {n: 2}}\n",
    }, [
      "config.yaml:2:54 routes.0.params_max.n: must be left out while params_set has it: nothing is left to bound",
    ]],
    ["sizes that no body has", {
      text: "routes:\n  - {match: {body_min_bytes: 9, body_max_bytes: 5}, to: [mock]}\n",
    }, [
      "config.yaml:2:30 routes.0.match.body_min_bytes: must be at most body_max_bytes, which is 5: it is 9",
    ]],
    ["a header that cannot be", {
      text: 'routes:\n  - {match: {header: {"a b": x}}, to: [mock]}\n',
    }, [
      'config.yaml:2:22 routes.0.match.header: "a b" is no name of a header',
    ]],
    ["a path that begins nowhere", {
      text: "routes:\n  - {match: {path: embeddings}, to: [mock]}\n",
    }, [
      'config.yaml:2:20 routes.0.match.path: must begin with / or *, such as /v1/embeddings: it is "embeddings"',
    ]],
    ["routes behind one that takes all", {
      text:
        "routes:\n  - {match: {model: g*}, to: [mock]}\n  - {match: {model: g*, tools: true}, to: [mock]}\n" +
        "  - {to: [mock]}\n  - {match: {model: x}, to: [mock]}\n",
    }, [
      "config.yaml:3:5 routes.1: is never taken, as routes.0 takes all that it is for: put it before that one, or leave it out",
      "config.yaml:5:5 routes.3: is never taken, as routes.2 takes all that it is for: put it before that one, or leave it out",
    ]],
    ["weights of some targets", {
      text: "routes:\n  - {to: [mock], weights: {mocks: 2}}\n",
    }, ["config.yaml:2:27 routes.0.weights: must have a number for each of mock"]],
    ["a route without brackets", { text: "routes:\n  - to: mock\n" }, [
      `config.yaml:2:9 routes.0.to: must be ${MUST_TO}: it is "mock"`,
    ]],
    ["a match without its key", { text: "routes:\n  - {match: gpt-4o, to: [mock]}\n" }, [
      'config.yaml:2:13 routes.0.match: must be a mapping like {model: gpt-4o*}: it is "gpt-4o"',
    ]],
    ["a misspelt key of a match", { text: "routes:\n  - {match: {modle: a}, to: [mock]}\n" }, [
      "config.yaml:2:14 routes.0.match.modle: is not a known key: did you mean " +
      "routes.0.match.model?",
    ]],
    [
      "a route to nobody",
      {
        text:
          `upstreams: [${LOCAL}]\nroutes:\n  - to: [mock]\n    match: {model: a}\n  - to:\n      - loca\n`,
      },
      ['config.yaml:6:9 routes.1.to.0: "loca" is not a known upstream: did you mean local?'],
    ],
    ["a route to nobody like any other", { text: "routes:\n  - to: [zzzzzzzz]\n" }, [
      'config.yaml:2:10 routes.0.to.0: "zzzzzzzz" is not a known upstream: known here are mock',
    ]],
    ["a route to an llm that is nowhere", { text: "routes:\n  - to: [llm]\n" }, [
      'config.yaml:2:10 routes.0.to.0: "llm" is not a known upstream: known here are mock',
    ]],
    [
      "a route to what answers /conv only",
      { text: "conv: {unofficial_proxy: a.example}\nroutes:\n  - to: [conv]\n" },
      ['config.yaml:3:10 routes.0.to.0: "conv" is not a known upstream: known here are mock'],
    ],
    [
      "names that are taken by settings",
      {
        text:
          "upstreams:\n  - {name: llm, base_url: http://a}\n  - {name: chat, base_url: http://a}\n" +
          "  - {name: conv, base_url: http://a}\n",
        env: { OPENAI_BASE_URL: "http://b", API_PROXY: "c", UNOFFICIAL_PROXY: "d" },
      },
      [
        "config.yaml:2:12 upstreams.0.name: is given twice: llm.base_url is the upstream named llm",
        "config.yaml:3:12 upstreams.1.name: is given twice: chat.api_proxy is the upstream named chat",
        "config.yaml:4:12 upstreams.2.name: is given twice: conv.unofficial_proxy is the upstream " +
        "named conv",
      ],
    ],
    [
      "an upstream named llm beside another setting of it",
      {
        text: "llm: {retries: 0}\nupstreams: [{name: llm, base_url: http://a}]\n",
        env: { OPENAI_API_KEY: "sk-x" },
      },
      [
        "config.yaml:2:20 upstreams.0.name: is given twice: llm.retries is about the upstream " +
        "named llm, too",
      ],
    ],
    ["an upstream with the name of one that speaks otherwise", {
      text: "upstreams: [{name: conv, base_url: http://a}]\n",
    }, [
      "config.yaml:1:20 upstreams.0.name: must be another name than conv, which is the upstream of " +
      "conv.unofficial_proxy: it does not speak as the others do",
    ]],
    ["a target that no route can have, known names once", {
      text: "chat: {api_proxy: c}\nupstreams: [{name: chat, base_url: http://a}]\n" +
        "routes: [{to: [nope]}]\n",
    }, [
      "config.yaml:2:20 upstreams.0.name: is given twice: chat.api_proxy is the upstream named chat",
      'config.yaml:3:16 routes.0.to.0: "nope" is not a known upstream: known here are chat, mock',
    ]],
    ["a variable", { env: { WEIR_UPSTREAMS: "[{name: a, base_ulr: http://a}]" } }, [
      "WEIR_UPSTREAMS upstreams.0.base_ulr: is not a known key: did you mean upstreams.0.base_url?",
    ]],
    ["a key twice in a variable", { env: { WEIR_ROUTES: "[{to: [mock], To: [llm]}]" } }, [
      "WEIR_ROUTES routes.0.To: is given twice",
    ]],
    ["a variable that is not YAML", { env: { WEIR_UPSTREAMS: "[{name: sk-secret" } }, [
      `WEIR_UPSTREAMS upstreams: must be ${MUST_LIST}: its value is not shown, as it may be secret`,
    ]],
    ["a route of a variable", { env: { WEIR_ROUTES: '[{"to":["mok"]}]' } }, [
      'WEIR_ROUTES routes.0.to.0: "mok" is not a known upstream: did you mean mock?',
    ]],
    ["a variable for a part of a list", { env: { WEIR_UPSTREAMS_0_NAME: "a" } }, [
      "WEIR_UPSTREAMS_0_NAME: is not a known variable: did you mean WEIR_UPSTREAMS?",
    ]],
    ["a misspelt variable of a list", { dotenv: { WEIR_ROUTE: "[]" } }, [
      ".env WEIR_ROUTE: is not a known variable: did you mean WEIR_ROUTES?",
    ]],
    ["a flag for a part of a list", { flags: [{ key: "Upstreams.0.name", value: "x" }] }, [
      "--set Upstreams.0.name: is inside a list, and lists are set whole: --set 'upstreams=[…]'",
    ]],
    ["a flag for a part of a section's list", { flags: [{ key: "auth.tokens.0", value: "x" }] }, [
      "--set auth.tokens.0: is inside a list, and lists are set whole: --set 'auth.tokens=[…]'",
    ]],
    ["a flag of a list", { flags: [{ key: "routes", value: "[{to: [x, x]}]" }] }, [
      `--set routes.0.to: must be ${MUST_TO}: it is a list`,
    ]],
    ["an alias of itself", {
      text: "upstreams: &a [*a]\nroutes: &b [{to: *b, match: &c {model: *c}}]\n",
    }, [
      "config.yaml:1:16 upstreams.0: must be an entry with a name and a base_url: it is a list",
      "config.yaml:2:13 routes.0.to.0: must be the name of an upstream, or mock: it is a mapping",
      "config.yaml:2:40 routes.0.match.model: must be a name on one line, where * stands " +
      "for any text: it is a mapping",
    ]],
    [
      "a prototype",
      { text: "upstreams: [{__proto__: {name: a}, name: b, base_url: http://b}]\n" },
      [
        `config.yaml:1:14 upstreams.0.__proto__: is not a known key: known here are ${KEYS}`,
      ],
    ],
  ];
  for (const [name, input, problems] of CASES) {
    test(name, () => expect(problemsOf(input)).toEqual([...problems]));
  }
});

describe("loadConfig() puts what files hold into the configuration", () => {
  const TEXT = "upstreams:\n  - {name: a, base_url: http://a.example, api_key_file: a.key}\n" +
    `  - ${LOCAL}\nauth: {token_file: t}\n`;

  test("also into entries of lists, which stay as they are otherwise", () => {
    const result = load({
      text: TEXT,
      credentials: [
        { key: "upstreams.0.api_key", value: " sk-1", name: "upstreams.0.api_key_file" },
        { key: "auth.token", value: "t1", name: "auth.token_file" },
      ],
    });
    if (result.kind === "bad") throw new Error(result.problems.join("\n"));
    const [first, second] = result.config.upstreams;
    expect(first).toMatchObject({ name: "a", api_key: "sk-1", api_key_file: "a.key" });
    expect(second?.api_key).toBe("");
    expect(result.config.auth.token).toBe("t1");
    expect(result.origins.get("auth.token")).toBe("auth.token_file");
    expect(Object.isFrozen(first)).toBe(true);
  });

  test("and refuses what is none, without showing it", () => {
    const name = "upstreams.0.api_key_file";
    expect(
      problemsOf({ text: TEXT, credentials: [{ key: "upstreams.0.api_key", value: "密", name }] }),
    )
      .toEqual([
        `${name} upstreams.0.api_key: must be one line of printable ASCII: its value is not shown, ` +
        "as it may be secret",
      ]);
  });
});

describe("secrets in entries", () => {
  const SECRET = "hidden-5ecret";
  const text = [
    "auth:",
    `  tokens: [{name: blue, token: ${SECRET}-1}, {name: ci, token_file: ci.txt}]`,
    "upstreams:",
    "  - name: a",
    `    base_url: https://u:${SECRET}-2@a.example/v1`,
    "  - name: b",
    "    base_url: https://b.example/v1",
    `    api_key: ${SECRET}-3`,
    `    headers: {X-Team: ${SECRET}-4}`,
    `    proxy: http://${SECRET}-5@b.example:3128`,
    "",
  ].join("\n");

  test("are masked by describeConfig(), and nothing else is", () => {
    const shown = describeConfig(configOf({ text }));
    expect(shown).not.toContain(SECRET);
    const lines = shown.split("\n").map((line) => line.trim());
    for (
      const line of [
        "- name: blue",
        "- name: ci",
        'token: "***"',
        "token_file: ci.txt",
        "- name: a",
        "- name: b",
        "base_url: https://***@a.example/v1",
        'api_key: "***"',
        'X-Team: "***"',
        "proxy: http://***@b.example:3128",
      ]
    ) {
      expect(lines).toContain(line);
    }
  });

  test("are all known to secretsOf()", () => {
    expect(secretsOf(configOf({ text })).toSorted()).toEqual(
      [1, 2, 3, 4, 5].map((number) => `${SECRET}-${number}`),
    );
  });

  const BROKEN = [
    `auth: {tokens: [{name: "${SECRET}=="}]}`,
    `auth: {tokens: [{name: a, token: "${SECRET}密"}]}`,
    `auth: {tokens: [${SECRET}]}`,
    `auth: {tokens: ${SECRET}}`,
    `upstreams: [{name: a, base_url: http://a, api_key: "${SECRET}密"}]`,
    `upstreams: [{name: a, base_url: http://a, api_key: [${SECRET}]}]`,
    `upstreams: [{name: a, base_url: http://a, api_key: {${SECRET}: 1}}]`,
    `upstreams: [{name: a, base_url: http://a, headers: ${SECRET}}]`,
    `upstreams: [{name: a, base_url: http://a, headers: {X-A: "${SECRET}密"}}]`,
    `upstreams: [{name: a, base_url: "ftp://u:${SECRET}@a"}]`,
    `upstreams: [{name: a, base_url: "http://a#key=${SECRET}"}]`,
    `upstreams: [{name: a, base_url: http://a, proxy: "u:${SECRET}@a"}]`,
    `upstreams: [{name: a, base_url: http://a, apikey: ${SECRET}}]`,
    `upstreams: [${SECRET}]`,
    `upstreams: ${SECRET}`,
  ];
  for (const broken of BROKEN) {
    test(`are in no message about ${broken}`, () => {
      const [, , value] = /^(\w+): (?:\{tokens: )?(.*?)\}?$/.exec(broken) ?? [];
      expect(value).toContain(SECRET);
      const problems = problemsOf({ text: `${broken}\n` });
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join("\n")).not.toContain(SECRET);
    });
  }

  test("are in no message about a variable or a flag", () => {
    const list = `[{name: a, base_url: http://a, api_key: "${SECRET}密", apikey: ${SECRET}}]`;
    const problems = problemsOf({
      env: { WEIR_UPSTREAMS: list },
      dotenv: { WEIR_UPSTREAMS: `[{${SECRET}` },
      flags: [{ key: "upstreams", value: list }, { key: "upstreams.0.api_key", value: SECRET }],
    });
    expect(problems).toHaveLength(6);
    expect(problems.join("\n")).not.toContain(SECRET);
  });
});

describe("describeConfig() of lists", () => {
  test("gives YAML that loads as the same again", () => {
    const text = `upstreams: [${LOCAL}, {name: b, base_url: http://b, model_id: 模型}]\n` +
      "routes: [{match: {model: 'gpt*'}, to: [b]}, {to: [mock]}]\n" +
      "auth: {tokens: [{name: ci, token_file: ci.txt}]}\n";
    const config = configOf({ text });
    expect(configOf({ text: describeConfig(config) })).toEqual(config);
  });
});

describe("loadConfig() reads mock.moderation", () => {
  test("as it is written, by category", () => {
    const text = "mock: {moderation: {self-harm/intent: [end my life], violence: [杀, 007]}}\n";
    expect(configOf({ text }).mock.moderation).toEqual({
      "self-harm/intent": ["end my life"],
      violence: ["杀", "007"],
    });
    expect(configOf({}).mock.moderation).toEqual({});
  });

  const WRONG = [
    ["{rudeness: [a]}", "must be a mapping of categories (harassment, harassment/threatening,"],
    ["[kill]", "must be a mapping of categories (harassment, harassment/threatening,"],
    ["{violence: kill}", "must be a list of at most 1000 words, such as [kill, blow up]"],
    ['{violence: ["  "]}', "must be a word, or several, on one line"],
  ] as const;
  for (const [value, problem] of WRONG) {
    test(`and refuses ${value}`, () => {
      const problems = problemsOf({ text: `mock: {moderation: ${value}}\n` });
      expect(problems.length).toBe(1);
      expect(problems[0]).toContain(problem);
    });
  }
});
