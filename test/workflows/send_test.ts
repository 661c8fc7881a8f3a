import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { REDIRECTS_MAX } from "../../src/workflows/send.ts";
import { rig, valueOf } from "./rig.ts";

/** What each server was asked, in order. */
interface Seen {
  readonly at: "home" | "other";
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

let seen: Seen[] = [];

/** `/to/STATUS?LOCATION` redirects there; anything else answers its name. */
function serve(at: Seen["at"]) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      seen.push({ at, method, url: pathname + search, headers, body: await request.text() });
      const [, to, status] = pathname.split("/");
      if (to !== "to") return Response.json(at);
      const location = decodeURIComponent(search.slice(1));
      return new Response("gone", { status: Number(status), headers: { location } });
    },
  });
}

const home = serve("home");
const other = serve("other");
const HOME = `http://127.0.0.1:${home.port}`;
const OTHER = `http://127.0.0.1:${other.port}`;

beforeEach(() => void (seen = []));
afterAll(async () => void await Promise.all([home.stop(true), other.stop(true)]));

/** A workflow whose component has secrets, and whose one action calls `path` with `method`. */
function file(method: string, path: string, headers = ""): string {
  return `workflow: {job: {}}
component:
  type: http-client
  base_url: ${HOME}
  headers: {Authorization: Bearer secret, Cookie: a=b, X-Own: own}
  action: {path: "${path}", method: ${method}, headers: {X-Action: a${headers}}, body: {a: 值}}
`;
}

const SECRETS = ["authorization", "cookie", "x-own", "x-action"];
const BODY = '{"a":"值"}';

describe("send", () => {
  for (
    const [method, status, then, body] of [
      ["POST", 301, "GET", ""],
      ["POST", 302, "GET", ""],
      ["POST", 303, "GET", ""],
      ["POST", 307, "POST", BODY],
      ["POST", 308, "POST", BODY],
      ["PUT", 301, "PUT", BODY],
      ["PUT", 302, "PUT", BODY],
      ["PUT", 303, "GET", ""],
      ["DELETE", 307, "DELETE", BODY],
      ["GET", 303, "GET", ""],
    ] as const
  ) {
    for (const [name, target] of [["home", "/end"], ["other", `${OTHER}/end`]] as const) {
      test(`follows the ${status} of a ${method} to ${name} as ${then}`, async () => {
        const state = await rig(file(method, `/to/${status}?${target}`)).run();
        expect(valueOf(state)).toBe(name);
        const [first, last] = seen;
        expect(seen).toHaveLength(2);
        expect([first!.method, last!.method, last!.body]).toEqual([method, then, body]);
        expect(last!.headers.get("content-type")).toBe(body === "" ? null : "application/json");
        const kept = SECRETS.filter((header) => last!.headers.has(header));
        expect(kept).toEqual(name === "home" ? SECRETS : []);
        expect(SECRETS.every((header) => first!.headers.has(header))).toBe(true);
      });
    }
  }

  test("sends a form again, whole", async () => {
    const headers = ", Content-Type: multipart/form-data";
    await rig(file("POST", `/to/307?${OTHER}/end`, headers)).run();
    const last = seen.at(-1)!;
    expect(last.headers.get("content-type")).toStartWith("multipart/form-data; boundary=");
    expect(last.body).toContain("值");
  });

  test("does not take headers back that another origin did not get", async () => {
    const back = `${OTHER}/to/307?${encodeURIComponent(`${HOME}/end`)}`;
    await rig(file("POST", `/to/307?${encodeURIComponent(back)}`)).run();
    expect(seen.map(({ at }) => at)).toEqual(["home", "other", "home"]);
    expect(SECRETS.filter((header) => seen[2]!.headers.has(header))).toEqual([]);
  });

  test("takes another scheme for another origin", async () => {
    const asked: [string, string | null][] = [];
    const { run } = rig(file("POST", "/x").replace(HOME, "https://a.example"), {
      deps: {
        calls: {
          fetch: (url, init) => {
            asked.push([url, new Headers(init.headers as Headers).get("authorization")]);
            const headers = { location: "http://a.example/y" };
            return Promise.resolve(
              asked.length === 1 ? new Response(null, { status: 307, headers }) : Response.json(1),
            );
          },
          askLlm: async function* () {},
          wheel: { set() {}, cancel() {}, nowMs: 0 } as never,
          limits: { headersMs: 1, firstChunkMs: 1, idleMs: 1 },
        },
      },
    });
    expect(valueOf(await run())).toBe(1);
    expect(asked).toEqual([["https://a.example/x", "Bearer secret"], ["http://a.example/y", null]]);
  });

  /** A target that leads through `count` redirects. */
  const chain = (count: number): string =>
    count === 0 ? "/end" : `/to/302?${encodeURIComponent(chain(count - 1))}`;

  test(`follows ${REDIRECTS_MAX} redirects and no more`, async () => {
    const calls = (count: number) => rig(file("GET", chain(count))).run();
    expect(valueOf(await calls(REDIRECTS_MAX))).toBe("home");
    expect(seen).toHaveLength(REDIRECTS_MAX + 1);
    const { status, errorText } = await calls(REDIRECTS_MAX + 1);
    expect(status).toBe("failed");
    expect(errorText).toEndWith("more than 10 redirects");
  });

  for (const location of ["file:///etc/passwd", "data:text/plain,x", "http://[", "weir:"]) {
    test(`does not follow ${location}`, async () => {
      const { errorText } = await rig(file("GET", `/to/302?${location}`)).run();
      expect(errorText).toContain("it leads to no http(s) URL");
    });
  }
});
