import { describe, expect, test } from "bun:test";
import { decodeJwt, decodeProtectedHeader, exportPKCS8, generateKeyPair, SignJWT } from "jose";
import { jwtAuth, makeToken } from "../../src/ops/jwt.ts";
import { keyFacts, ringOf } from "../keys.ts";

const SECRET = "s3cret-密钥";
/** 2023-11-14T22:13:20Z. */
const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

const bytes = (text: string) => new TextEncoder().encode(text);
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

function auth(options: { secretKey?: string; token?: string; nowMs?: number } = {}) {
  const { secretKey = SECRET, token = "", nowMs = NOW_MS } = options;
  return jwtAuth({
    secretKey,
    keys: token === "" ? undefined : ringOf(keyFacts("blue", token)),
    wallMs: () => nowMs,
  });
}

function signed(
  claims: Record<string, unknown>,
  alg = "HS256",
  key: Uint8Array | CryptoKey = bytes(SECRET),
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, typ: "JWT" }).sign(key);
}

type CryptoKey = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];

describe("makeToken()", () => {
  test("has the header and claims of go-gpt-server, and nothing else", async () => {
    const token = await makeToken({ id: "1000", hours: 10, key: SECRET, nowMs: NOW_MS });
    expect(decodeProtectedHeader(token)).toEqual({ alg: "HS256", typ: "JWT" });
    expect(decodeJwt(token)).toEqual({ exp: NOW_MS / 1000 + 10 * 3600, jti: "1000" });
  });

  test("leaves the id out when it is empty", async () => {
    const token = await makeToken({ id: "", hours: 1, key: SECRET, nowMs: NOW_MS });
    expect(decodeJwt(token)).toEqual({ exp: NOW_MS / 1000 + 3600 });
  });

  test("refuses an empty key, and hours that lead out of every calendar", () => {
    const facts = { id: "1", hours: 1, key: SECRET, nowMs: NOW_MS };
    expect(makeToken({ ...facts, key: "" })).rejects.toThrow(RangeError);
    expect(makeToken({ ...facts, hours: Number.MAX_SAFE_INTEGER })).rejects.toThrow(RangeError);
  });
});

describe("jwtAuth()", () => {
  test("lets a fresh token in, raw and behind Bearer, and knows whose it is", async () => {
    const token = await makeToken({ id: "1000", hours: 10, key: SECRET, nowMs: NOW_MS });
    for (const header of [token, `Bearer ${token}`, `bearer  ${token}`]) {
      expect(await auth()(header)).toEqual({ id: "1000", tokenName: "" });
    }
  });

  test("keeps a token to its last second, and not one longer", async () => {
    const token = await makeToken({ id: "1", hours: 10, key: SECRET, nowMs: NOW_MS });
    expect(await auth({ nowMs: NOW_MS + 10 * HOUR_MS - 1000 })(token)).toEqual({
      id: "1",
      tokenName: "",
    });
    expect(await auth({ nowMs: NOW_MS + 10 * HOUR_MS })(token)).toBeUndefined();
  });

  for (const hours of [0, -1, -1000]) {
    test(`refuses a token of ${hours} hours`, async () => {
      const token = await makeToken({ id: "1", hours, key: SECRET, nowMs: NOW_MS });
      expect(await auth()(token)).toBeUndefined();
    });
  }

  for (const alg of ["HS256", "HS384", "HS512"]) {
    test(`lets ${alg} in, with and without an expiry`, async () => {
      expect(await auth()(await signed({ jti: "7" }, alg))).toEqual({ id: "7", tokenName: "" });
      expect(await auth()(await signed({ exp: NOW_MS / 1000 + 1 }, alg))).toEqual({
        id: "",
        tokenName: "",
      });
    });
  }

  test("lets the secret itself in, and auth.token, which then name nobody", async () => {
    const admit = auth({ token: "the-token" });
    for (const given of [SECRET, `Bearer ${SECRET}`]) {
      expect(await admit(given)).toEqual({ id: "", tokenName: "secret_key" });
    }
    for (const given of ["the-token", "Bearer the-token"]) {
      expect(await admit(given)).toMatchObject({
        id: "",
        tokenName: "blue",
        key: { name: "blue" },
      });
    }
  });

  test("lets everybody in only when nothing at all is configured", async () => {
    const admit = auth({ secretKey: "", token: "" });
    expect(await admit(null)).toEqual({ id: "", tokenName: "" });
    expect(await admit("anything")).toEqual({ id: "", tokenName: "" });
  });

  const forgeries: readonly (readonly [string, () => Promise<string> | string | null])[] = [
    ["no header", () => null],
    ["an empty header", () => ""],
    ["Bearer and nothing", () => "Bearer "],
    ["no token at all", () => "hello"],
    ["another key", () => signed({ jti: "1" }, "HS256", bytes("another"))],
    ["a key of blanks", () => signed({ jti: "1" }, "HS256", bytes(" "))],
    ["alg none", () => `${base64url({ alg: "none", typ: "JWT" })}.${base64url({ jti: "1" })}.`],
    ["alg None", () => `${base64url({ alg: "None" })}.${base64url({ jti: "1" })}.`],
    [
      "alg none with a signature",
      async () => {
        const [, claims, signature] = (await signed({ jti: "1" })).split(".");
        return `${base64url({ alg: "none" })}.${claims}.${signature}`;
      },
    ],
    [
      "other claims under a good signature",
      async () => {
        const [head, , signature] = (await signed({ jti: "1" })).split(".");
        return `${head}.${base64url({ jti: "admin" })}.${signature}`;
      },
    ],
    [
      "no signature",
      async () => (await signed({ jti: "1" })).split(".").slice(0, 2).join(".") + ".",
    ],
    [
      "a key of the sender's own",
      async () => {
        const { privateKey } = await generateKeyPair("RS256", { extractable: true });
        await exportPKCS8(privateKey);
        return await signed({ jti: "1" }, "RS256", privateKey);
      },
    ],
    ["a token for later", () => signed({ jti: "1", nbf: NOW_MS / 1000 + 60 })],
    ["an expiry that is no number", () => signed({ exp: "never" })],
    ["a long nothing", () => "a.".repeat(100_000)],
  ];
  for (const [name, forge] of forgeries) {
    test(`refuses ${name}`, async () => {
      const header = await forge();
      expect(await auth()(header)).toBeUndefined();
    });
  }

  test("with an empty secret no token opens anything, whatever it is signed with", async () => {
    const admit = auth({ secretKey: "", token: "the-token" });
    for (const key of ["", " ", "the-token"]) {
      const head = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url({ jti: "1" })}`;
      const hmac = new Bun.CryptoHasher("sha256", key || undefined).update(head);
      expect(await admit(`${head}.${hmac.digest("base64url")}`)).toBeUndefined();
    }
    expect(await admit(null)).toBeUndefined();
    expect(await admit("")).toBeUndefined();
  });
});
