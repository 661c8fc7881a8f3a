/**
 * The other end of `$NOTIFY_SOCKET`: a real datagram socket, as systemd has one.
 *
 * @module
 */

import { dlopen, ptr } from "bun:ffi";
import { socketAddress } from "../../src/ops/notify.ts";

/** A socket that collects what a service tells. */
export interface ManagerSocket {
  readonly path: string;
  /** Every message since the last call, in order. Never waits. */
  readonly take: () => string[];
  /** The kernel's monotonic clock, in microseconds. */
  readonly monotonicUs: () => bigint;
  readonly close: () => void;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const CLOCK_MONOTONIC = 1;
const MESSAGE_BYTES_MAX = 65_536;

/** Opens it at `path`: a file that does not exist yet, or "@" and a name. */
export function openManagerSocket(path: string): ManagerSocket {
  const { symbols } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  });
  const socket = symbols.socket(AF_UNIX, SOCK_DGRAM, 0);
  const address = socketAddress(path);
  if (symbols.bind(socket, ptr(address), address.length) !== 0) {
    throw new Error(`Cannot bind ${path}`);
  }
  const buffer = new Uint8Array(MESSAGE_BYTES_MAX);
  const time = new BigInt64Array(2);
  let isOpen = true;
  return {
    path,
    take() {
      const messages: string[] = [];
      for (;;) {
        const length = Number(symbols.recv(socket, ptr(buffer), buffer.length, MSG_DONTWAIT));
        if (length < 0) return messages;
        messages.push(new TextDecoder().decode(buffer.subarray(0, length)));
      }
    },
    monotonicUs() {
      symbols.clock_gettime(CLOCK_MONOTONIC, ptr(time));
      return time[0]! * 1_000_000n + time[1]! / 1000n;
    },
    close() {
      if (isOpen) symbols.close(socket);
      isOpen = false;
    },
  };
}
