/**
 * Tells systemd how this process is doing: one datagram per message to the socket `$NOTIFY_SOCKET`
 * names (sd_notify(3)). Without that variable nothing here touches libc.
 *
 * Bun has no datagrams on Unix sockets, so four functions of libc are called directly; a helper
 * program would be slower, and systemd may not find out whose message it was once it has ended.
 *
 * @module
 */

/** What systemd is told. Every method may be called without a manager listening: it does nothing. */
export interface Notifier {
  /** True when there is a manager to tell. */
  readonly isOn: boolean;
  /** Milliseconds between two `alive()` the manager wants; 0 = it does not watch. */
  readonly aliveEveryMs: number;
  /** The service answers requests. `status` is one line for people: `systemctl status` shows it. */
  ready(status: string): void;
  /** A reload begins; `ready` ends it, also when it was refused. */
  reloading(status: string): void;
  /** The service ends, and may take `limitMs` for it. */
  stopping(status: string, limitMs: number): void;
  status(status: string): void;
  /** The event loop turns. */
  alive(): void;
}

/** A manager that does not listen must not hold the event loop up: the message is then lost. */
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const CLOCK_MONOTONIC = 1;

/** `sockaddr_un` is two bytes of family and this many of path (unix(7)). */
const PATH_BYTES_MAX = 108;

/** One line of status at most: longer ones are cut, since a datagram is sent whole or not at all. */
const STATUS_LETTERS_MAX = 400;

const OFF: Notifier = {
  isOn: false,
  aliveEveryMs: 0,
  ready() {},
  reloading() {},
  stopping() {},
  status() {},
  alive() {},
};

/**
 * The notifier for the environment `env` of process `pid`.
 *
 * @throws {Error} when `$NOTIFY_SOCKET` is set and cannot be used: a service that waits for a
 * message which never comes would be killed minutes later without a reason.
 */
export async function openNotifier(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): Promise<Notifier> {
  const path = env["NOTIFY_SOCKET"] ?? "";
  if (path === "") return OFF;
  const address = socketAddress(path);
  const { send, monotonicUs } = await openManager(address);
  const status = (text: string) => `STATUS=${oneLine(text)}`;
  return {
    isOn: true,
    aliveEveryMs: watchdogMs(env, pid) / 2,
    ready: (text) => send(`READY=1\n${status(text)}`),
    reloading: (text) => send(`RELOADING=1\nMONOTONIC_USEC=${monotonicUs()}\n${status(text)}`),
    stopping: (text, limitMs) =>
      send(`STOPPING=1\nEXTEND_TIMEOUT_USEC=${Math.ceil(limitMs * 1000)}\n${status(text)}`),
    status: (text) => send(status(text)),
    alive: () => send("WATCHDOG=1"),
  };
}

/**
 * `path` as a `sockaddr_un`: the file at an absolute path, or, behind "@", an abstract name.
 *
 * @throws {Error} when it is neither, or too long.
 */
export function socketAddress(path: string): Uint8Array<ArrayBuffer> {
  const isAbstract = path.startsWith("@");
  if (!isAbstract && !path.startsWith("/")) {
    throw new Error(`Cannot use NOTIFY_SOCKET: it must start with / or @: it is "${path}"`);
  }
  const name = new TextEncoder().encode(isAbstract ? `\0${path.slice(1)}` : path);
  if (name.length >= PATH_BYTES_MAX) {
    throw new Error(`Cannot use NOTIFY_SOCKET: it is longer than ${PATH_BYTES_MAX - 1} bytes`);
  }
  // The length tells where an abstract name ends; a file's name ends with a zero.
  const address = new Uint8Array(2 + name.length + (isAbstract ? 0 : 1));
  address[0] = AF_UNIX;
  address.set(name, 2);
  return address;
}

/** The time systemd allows between two signs of life, when it is this process that it watches. */
function watchdogMs(env: Readonly<Record<string, string | undefined>>, pid: number): number {
  const watched = env["WATCHDOG_PID"] ?? "";
  if (watched !== "" && watched !== String(pid)) return 0;
  const us = Number(env["WATCHDOG_USEC"] ?? "");
  return Number.isFinite(us) && us > 0 ? us / 1000 : 0;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").slice(0, STATUS_LETTERS_MAX);
}

interface Manager {
  readonly send: (message: string) => void;
  /** Microseconds of the clock that systemd compares with: Bun's own clocks start with Bun. */
  readonly monotonicUs: () => bigint;
}

async function openManager(address: Uint8Array<ArrayBuffer>): Promise<Manager> {
  const [{ ptr }, { openLibc }] = await Promise.all([import("bun:ffi"), import("./libc.ts")]);
  const symbols = openLibc(
    {
      socket: { args: ["i32", "i32", "i32"], returns: "i32" },
      sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
      clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
    } as const,
  );
  const socket = symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) throw new Error("Cannot use NOTIFY_SOCKET: no socket can be made");
  const encoder = new TextEncoder();
  const time = new BigInt64Array(2);
  return {
    send(message) {
      const bytes = encoder.encode(message);
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      symbols.sendto(socket, ptr(bytes), bytes.length, flags, ptr(address), address.length);
    },
    monotonicUs() {
      symbols.clock_gettime(CLOCK_MONOTONIC, ptr(time));
      return time[0]! * 1_000_000n + time[1]! / 1000n;
    },
  };
}
