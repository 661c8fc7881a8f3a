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
const SO_ATTACH_FILTER = 26;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const SO_DETACH_REUSEPORT_BPF = 68;

const IPPROTO_TCP = 6;
/** linux/tcp.h: of a socket that listens, `tcpi_unacked` is the length of its queue. */
const TCP_INFO = 11;
const QUEUE_AT = 24;
const TCP_INFO_BYTES = 32;

/** linux/filter.h: a classic BPF program is a list of these. */
const LOAD_WORD = 0x20;
const MODULO = 0x94;
const ADD = 0x04;
const RETURN_A = 0x16;
const LOAD_BYTE = 0x30;
const JUMP_IF_SET = 0x45;
const RETURN = 0x06;
/** Where a TCP header has its flags, and the one that asks for a connection. */
const FLAGS_AT = 13;
const SYN = 0x02;
const ALL_BYTES = -1;
/** The "address" that reads a random number: SKF_AD_OFF + SKF_AD_RANDOM. */
const RANDOM = -0x1000 + 56;

/** Milliseconds in which handshakes end that have begun. */
const ARRIVAL_MS = 50;
/** Milliseconds that a busy process may take until the queue is accepted. */
const QUEUE_MS_MAX = 5000;

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

/**
 * Turns away who asks for a connection to `port` from now on, and waits until everybody has come in who
 * was on the way: whoever is in the queue of a socket that is closed would be reset. One that is turned
 * away asks again after a second, by itself, and then finds who listens by then.
 */
export async function refuseArrivals(port: number): Promise<void> {
  if (process.platform !== "linux" || port === 0) return;
  try {
    const steering = await open(port);
    if (steering?.refuse() !== true) return;
    await Bun.sleep(ARRIVAL_MS);
    const endMs = performance.now() + QUEUE_MS_MAX;
    while (steering.hasWaiting() && performance.now() < endMs) await Bun.sleep(1);
  } catch {
    // No libc to call, or no /proc: some may be reset.
  }
}

/** All that can be done to the sockets of a port. */
interface Listeners extends Steering {
  /** No connection is begun any more. False when that cannot be. */
  readonly refuse: () => boolean;
  /** Are there connections that nobody has accepted? */
  readonly hasWaiting: () => boolean;
}

async function open(port: number): Promise<Listeners | undefined> {
  const { ptr } = await import("bun:ffi");
  const { openLibc } = await import("./libc.ts");
  const symbols = openLibc(
    {
      getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
      setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
      getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    } as const,
  );
  const sockets = readdirSync("/proc/self/fd").map(Number).filter((fd) => isListener(fd));
  const [socket] = sockets;
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

  /** Attaches `program` to `fd`. False when the system does not want it. */
  function attach(fd: number, option: number, program: Uint8Array): boolean {
    // struct sock_fprog: the number of instructions, then their address.
    const header = new BigUint64Array(2);
    new DataView(header.buffer).setUint16(0, program.length / INSTRUCTION_BYTES, true);
    header[1] = BigInt(ptr(program));
    return symbols.setsockopt(fd, SOL_SOCKET, option, ptr(header), header.byteLength) === 0;
  }

  return {
    steer: (first, count) =>
      attach(
        socket,
        SO_ATTACH_REUSEPORT_CBPF,
        instructions([
          [LOAD_WORD, RANDOM],
          [MODULO, count],
          [ADD, first],
          [RETURN_A, 0],
        ]),
      ),
    release() {
      const none = new Int32Array(1);
      symbols.setsockopt(socket, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, ptr(none), none.byteLength);
    },
    refuse() {
      const program = instructions([
        [LOAD_BYTE, FLAGS_AT],
        [JUMP_IF_SET, SYN, 0, 1],
        [RETURN, 0],
        [RETURN, ALL_BYTES],
      ]);
      // Each of them, whether the one before could or not.
      return sockets.map((fd) => attach(fd, SO_ATTACH_FILTER, program)).every(Boolean);
    },
    hasWaiting: () =>
      sockets.some((fd) => {
        const info = new DataView(new ArrayBuffer(TCP_INFO_BYTES));
        const length = new Uint32Array([TCP_INFO_BYTES]);
        return symbols.getsockopt(fd, IPPROTO_TCP, TCP_INFO, ptr(info), ptr(length)) === 0 &&
          info.getUint32(QUEUE_AT, true) > 0;
      }),
  };
}

/** An instruction: code, operand, and how many to skip when a jump's condition holds or not. */
type Instruction = readonly [code: number, operand: number, then?: number, otherwise?: number];

/** struct sock_filter for each: code, two jumps, operand. Little endian. */
function instructions(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, [code, operand, then = 0, otherwise = 0]] of program.entries()) {
    view.setUint16(i * INSTRUCTION_BYTES, code, true);
    view.setUint8(i * INSTRUCTION_BYTES + 2, then);
    view.setUint8(i * INSTRUCTION_BYTES + 3, otherwise);
    view.setInt32(i * INSTRUCTION_BYTES + 4, operand, true);
  }
  return bytes;
}
