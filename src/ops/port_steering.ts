/**
 * Says which of the processes that share a port get its new connections (socket(7),
 * SO_ATTACH_REUSEPORT_CBPF). Without it the kernel spreads them over all that listen, and those that
 * wait in the queue of one that stops listening are reset: some seven of them per restart at 8 000
 * new connections a second, and none with it.
 *
 *   sockets of the port, in the order they began to listen     0 1 2 │ 3 4 5
 *                                                              old   │ new
 *   steer(3, 3)                                                  new connections go to 3, 4, 5
 *
 * Linux only. Bun does not tell the number of its listening socket, so it is found by its port.
 *
 * @module
 */

import { readdirSync } from "node:fs";

/** The new connections of one port. */
export interface Steering {
  /** New connections go to `count` sockets from number `first` on. False when that cannot be. */
  readonly steer: (first: number, count: number) => boolean;
  /** New connections go to all sockets of the port again. */
  readonly release: () => void;
}

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const SO_DETACH_REUSEPORT_BPF = 68;

/** linux/filter.h: a classic BPF program is a list of these. */
const LOAD_WORD = 0x20;
const MODULO = 0x94;
const ADD = 0x04;
const RETURN_A = 0x16;
/** The "address" that reads a random number: SKF_AD_OFF + SKF_AD_RANDOM. */
const RANDOM = -0x1000 + 56;

/** Enough for any `sockaddr`. */
const ADDRESS_BYTES = 128;
const INSTRUCTION_BYTES = 8;

/** The steering of `port`, on which this process listens; undefined where it cannot be had. */
export async function openSteering(port: number): Promise<Steering | undefined> {
  if (process.platform !== "linux") return undefined;
  try {
    return await open(port);
  } catch {
    return undefined; // no libc to call, or no /proc: weir works without
  }
}

async function open(port: number): Promise<Steering | undefined> {
  const { ptr } = await import("bun:ffi");
  const { openLibc } = await import("./libc.ts");
  const symbols = openLibc(
    {
      getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
      setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
      getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    } as const,
  );
  const socket = readdirSync("/proc/self/fd").map(Number).find((fd) => isListener(fd));
  if (socket === undefined) return undefined;

  function isListener(fd: number): boolean {
    const value = new Int32Array(1);
    const length = new Uint32Array([4]);
    if (symbols.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length)) !== 0) {
      return false;
    }
    const address = new Uint8Array(ADDRESS_BYTES);
    length[0] = ADDRESS_BYTES;
    if (value[0] !== 1 || symbols.getsockname(fd, ptr(address), ptr(length)) !== 0) return false;
    return new DataView(address.buffer).getUint16(2) === port;
  }

  return {
    steer(first, count) {
      const program = instructions([
        [LOAD_WORD, RANDOM],
        [MODULO, count],
        [ADD, first],
        [RETURN_A, 0],
      ]);
      // struct sock_fprog: the number of instructions, then their address.
      const header = new BigUint64Array(2);
      new DataView(header.buffer).setUint16(0, program.length / INSTRUCTION_BYTES, true);
      header[1] = BigInt(ptr(program));
      const bytes = header.byteLength;
      return symbols.setsockopt(
        socket,
        SOL_SOCKET,
        SO_ATTACH_REUSEPORT_CBPF,
        ptr(header),
        bytes,
      ) ===
        0;
    },
    release() {
      const none = new Int32Array(1);
      symbols.setsockopt(socket, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, ptr(none), none.byteLength);
    },
  };
}

/** struct sock_filter for each: code, two jumps that are not used, operand. Little endian. */
function instructions(program: readonly (readonly [code: number, operand: number])[]) {
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, [code, operand]] of program.entries()) {
    view.setUint16(i * INSTRUCTION_BYTES, code, true);
    view.setInt32(i * INSTRUCTION_BYTES + 4, operand, true);
  }
  return bytes;
}
