import { describe, expect, test } from "bun:test";
import { clientAddress, customerOf } from "../../src/ops/client_address.ts";

const TRUSTED = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];

function headersOf(forwardedFor: string | null): Headers {
  return new Headers(forwardedFor === null ? {} : { "x-forwarded-for": forwardedFor });
}

describe("clientAddress()", () => {
  const CASES: readonly (readonly [
    name: string,
    peer: string | undefined,
    forwardedFor: string | null,
    client: string,
  ])[] = [
    ["a stranger is itself", "203.0.113.7", null, "203.0.113.7"],
    ["a stranger's header counts for nothing", "203.0.113.7", "1.2.3.4", "203.0.113.7"],
    ["a trusted proxy names its client", "127.0.0.1", "203.0.113.7", "203.0.113.7"],
    ["an IPv4 peer on an IPv6 socket", "::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7"],
    [
      "what a client wrote itself is passed over",
      "10.1.2.3",
      "1.1.1.1, 203.0.113.7",
      "203.0.113.7",
    ],
    ["trusted hops are passed over", "127.0.0.1", "203.0.113.7, 10.9.9.9,10.8.8.8", "203.0.113.7"],
    ["only trusted hops: the first of them", "127.0.0.1", "10.9.9.9, 10.8.8.8", "10.9.9.9"],
    ["a port is cut off", "127.0.0.1", "203.0.113.7:51234", "203.0.113.7"],
    ["nonsense ends the search", "127.0.0.1", "203.0.113.7, rubbish, 10.1.1.1", "10.1.1.1"],
    ["what would break a line of JSON is nonsense", "127.0.0.1", '203.0.113.7", x', "127.0.0.1"],
    ["an empty header", "127.0.0.1", "", "127.0.0.1"],
    ["a proxy without the header", "10.1.1.1", null, "10.1.1.1"],
    ["a socket file without the header", undefined, null, ""],
    ["a socket file is trusted", undefined, "203.0.113.7", "203.0.113.7"],
    ["IPv6", "2001:db8:1:2:3:4:5:6", null, "2001:db8:1:2:3:4:5:6"],
    ["IPv6 in brackets, with a port", "fd00::1", "[2001:db8::7]:443", "2001:db8::7"],
    ["a zone is cut off", "fe80::1%eth0", null, "fe80::1"],
  ];
  for (const [name, peer, forwardedFor, client] of CASES) {
    test(name, () => {
      expect(clientAddress(TRUSTED)(peer, headersOf(forwardedFor))).toBe(client);
    });
  }

  test("trusts nobody by default", () => {
    expect(clientAddress([])("127.0.0.1", headersOf("203.0.113.7"))).toBe("127.0.0.1");
  });
});

describe("customerOf()", () => {
  const CASES: readonly (readonly [name: string, address: string, customer: string])[] = [
    ["IPv4 stands for itself", "203.0.113.7", "203.0.113.7"],
    ["an unknown address stands for all of its kind", "", ""],
    ["IPv6 stands for its /64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["short IPv6", "2001:DB8::1", "2001:db8:0:0::/64"],
    ["padded IPv6", "2001:0db8:0000:0001::9", "2001:db8:0:1::/64"],
    ["the loopback of IPv6", "::1", "0:0:0:0::/64"],
  ];
  for (const [name, address, customer] of CASES) {
    test(name, () => expect(customerOf(address)).toBe(customer));
  }
});
