/**
 * One server process: its port, its app, and the apps it had before a reload, whose streams go on.
 *
 * @module
 */

import type { App, World } from "../app.ts";
import { shuttingDown } from "../core/errors.ts";
import type { PeerQuestion, Peers } from "../core/peers.ts";
import { type Gather, mergeReports, type ReportKind } from "../ops/gather.ts";
import { countersOf, mergeSnapshots, type MetricsSnapshot } from "../ops/metrics_snapshot.ts";
import type { RunNote } from "../workflows/engine.ts";
import type { Http1Server } from "../lib/http1/server.ts";
import type { Http1Handler } from "../lib/http1/server_connection.ts";
import { Unread } from "../lib/http1/unread.ts";
import { timerAlarm, Wheel } from "../lib/wheel.ts";
import type { Desk } from "../surfaces/admin/desk.ts";
import { journalOptions } from "./desk.ts";
import { checkPort, listenOnPort, listenOnSocket, type Place } from "./listen.ts";
import { Listening } from "./listening.ts";
import { writeLast } from "./process_facts.ts";
import type { Settings } from "./settings.ts";
import { Failure } from "./terminal.ts";
import { readTls, type Tls } from "./tls_files.ts";
import { closeApp, openApp } from "./world.ts";

/** After an error event is written, a connection has this long to take it. */
export const FLUSH_MS = 1000;

/** An app that was replaced stays this long: longer than any request waits for its first byte. */
const RETIRED_MS = 3_600_000;
/** Replaced apps at most: each holds its caches. One reload more within `RETIRED_MS` is refused. */
const RETIRED_MAX = 16;

/** Counted once for a process, however many apps it has. */
const OF_PROCESS: ReadonlySet<string> = new Set([
  "weir_connections_total",
  "weir_connections_refused_total",
  "weir_cpu_seconds_total",
  "weir_event_loop_delay_seconds",
]);

/** How a server is started. */
export interface ServerOptions {
  /** Where to listen instead of where the config says. */
  readonly place?: { readonly host: string; readonly port: number };
  /** True when other processes listen on the same port. */
  readonly isShared: boolean;
  /** Asks every process of this weir; absent: there is only this one. */
  readonly gather?: Gather;
  /** The other workers; absent: there are none. */
  readonly peers?: Peers;
  /** Fixtures and the journal, whichever app asks for them. */
  readonly desk: Desk;
  /** Told what happens to each run of a workflow. */
  readonly noteRun?: (note: RunNote) => void;
}

/** A server that takes requests. */
export class Server {
  readonly #making: Required<Pick<World, "gather" | "connections">> & ServerOptions;
  /** What is odd and yet no reason not to serve. */
  readonly warnings: string[] = [];
  readonly #listener: Listening;
  /** The timer of connections, whichever app answers them. */
  readonly #wheel = new Wheel(() => performance.now(), timerAlarm());
  /** What clients leave unread, whichever app answered them. */
  readonly #unread: Unread;
  /** The second port, where a workflow file asks for its web page. */
  readonly #page: Listening | undefined;
  /** `ops.metrics_port` */
  readonly #ops: Http1Server | undefined;
  readonly #hasTls: boolean;
  #app: App;
  /** Apps of before a reload, each with the timer that forgets it. */
  readonly #retired = new Map<App, ReturnType<typeof setTimeout>>();
  /** What apps have counted that are forgotten. */
  #kept: MetricsSnapshot = [];
  #patience: Patience | undefined;
  #last: unknown = undefined;
  #drained: Promise<void> | undefined;

  /**
   * Makes the app of `settings` and opens the port.
   *
   * @throws {Failure} when that cannot be done.
   */
  constructor(settings: Settings, options: ServerOptions) {
    const alone = (kind: ReportKind) =>
      Promise.resolve({ reports: [this.report(kind)], silent: [] });
    this.#making = {
      ...options,
      gather: options.gather ?? alone,
      connections: () => this.#listener.connections,
    };
    const { host, port } = options.place ?? settings.config.server;
    const { isShared } = options;
    const { config, folder } = settings;
    this.#unread = new Unread(config.server.unread_max_bytes);
    const tls = readTls(settings);
    this.#hasTls = tls !== undefined;
    this.#app = openApp(settings, this.#making);
    const { metrics_host, metrics_port } = settings.config.ops;
    const ops = {
      handler: this.#app.operation,
      config,
      folder,
      tls: undefined,
      wheel: this.#wheel,
      unread: this.#unread,
    };
    this.#ops = metrics_port === 0 ? undefined : listenOnPort(ops, {
      host: metrics_host,
      port: metrics_port,
      isShared,
      advice: "Choose another ops.metrics_port",
    });
    process.once("exit", () => this.#apps().forEach((app) => writeLast(app.observer.takeLog())));
    begin(this.#app);
    // Behind all that may fail: who has connected must not be lost.
    this.#listener = config.server.unix === ""
      ? this.#listenOn({ host, port, isShared }, settings, tls)
      : new Listening(
        (handler, tls) => {
          const wheel = this.#wheel;
          return listenOnSocket({ handler, config, folder, tls, wheel, unread: this.#unread });
        },
        this.#app,
        tls,
      );
    this.#page = this.#listenForPage(settings, tls);
  }

  /** 0 = it listens on a socket file. */
  get port(): number {
    return this.#listener.port;
  }

  /** The port of the page's own; undefined = it has none. */
  get pagePort(): number | undefined {
    return this.#page?.port;
  }

  /** Can anybody connect? */
  get isListening(): boolean {
    return this.#listener.isListening;
  }

  /** The app for new requests. */
  get app(): App {
    return this.#app;
  }

  /** Streams that are open now, those of apps before a reload with them. */
  get streamCount(): number {
    return this.#apps().reduce((sum, app) => sum + app.engine.streams.size, 0);
  }

  /** What this process tells of itself; what it told last, once it is drained. */
  report(kind: ReportKind): unknown {
    if (kind === "metrics" && this.#last !== undefined) return this.#last;
    const reports = this.#apps().map((app) => app.report(kind));
    if (kind === "health") return mergeReports(kind, reports);
    // What is the process's own, such as its memory, the current app tells alone.
    const [current, ...others] = reports as MetricsSnapshot[];
    const rest = [...others, this.#kept].map((one) => one.filter(isOfRequests));
    return mergeReports(kind, [current, ...rest]);
  }

  /** Answers a question of another worker. */
  answerPeer(question: PeerQuestion): unknown {
    return this.#app.answerPeer(question);
  }

  /**
   * Answers new requests as `settings` say, and new connections with the certificate that is in its
   * file now; open streams go on as they began. The port stays. Gives what stays besides.
   *
   * @throws {Failure} when it cannot, and the old settings stay.
   */
  async reload(settings: Settings): Promise<readonly string[]> {
    const tls = readTls(settings);
    const app = this.#openNext(settings);
    const notes = await this.#renewTls(app, settings, tls);
    this.#replaceApp(app, settings);
    return notes;
  }

  /**
   * Of a worker that others have replaced: answers what comes on its connections as the settings say that
   * `read` gives. "" = done; else why it cannot, and what comes is turned away.
   */
  renew(read: () => Settings): string {
    try {
      const settings = read();
      this.#replaceApp(this.#openNext(settings), settings);
      return "";
    } catch (error) {
      this.#listener.reload(this.#app.turningAway);
      this.#page?.reload(this.#app.turningAway);
      return (error as Error).message;
    }
  }

  #openNext(settings: Settings): App {
    if (this.#retired.size >= RETIRED_MAX) {
      throw new Failure(
        `${RETIRED_MAX} reloads within ${RETIRED_MS / 60_000} minutes are the limit: restart weir`,
      );
    }
    const app = openApp(settings, this.#making);
    begin(app);
    if (this.#drained !== undefined) app.status = "draining";
    return app;
  }

  /** New requests are answered by `app`; what the one before has open goes on. */
  #replaceApp(app: App, { config }: Settings): void {
    this.#making.desk.journal.configure(journalOptions(config));
    const old = this.#app;
    this.#app = app;
    this.#listener.reload(app);
    this.#page?.reload(app);
    old.sources.retire();
    if (this.#ops !== undefined) this.#ops.handler = app.operation;
    this.#retired.set(
      old,
      setTimeout(() => {
        this.#retired.delete(old);
        const last = old.report("metrics") as MetricsSnapshot;
        this.#kept = mergeSnapshots([this.#kept, countersOf(last)]);
        void closeApp(old);
      }, RETIRED_MS),
    );
  }

  /** Takes the certificate `tls` for new connections. Gives why it does not, where it cannot. */
  async #renewTls(
    app: App,
    { config }: Settings,
    tls: Tls | undefined,
  ): Promise<readonly string[]> {
    if ((tls !== undefined) !== this.#hasTls) {
      return [
        `server.tls_cert_file stays ${this.#hasTls ? "set" : "empty"} until weir is restarted`,
      ];
    }
    if (tls === undefined || this.#listener.shows(tls)) return [];
    if (config.server.unix !== "") {
      return ["the certificate stays until weir is restarted, as server.unix is set"];
    }
    try {
      await this.#listener.renew(app, tls);
      await this.#page?.renew(app, tls);
      return [];
    } catch (error) {
      await closeApp(app);
      throw error;
    }
  }

  /** Every connection is closed behind its next answer, so that its client opens a new one. */
  retire(): void {
    this.#listener.retire();
    this.#page?.retire();
  }

  /**
   * Stops accepting, lets open streams finish for `limitMs`, then ends the rest with an error. A
   * further call may leave them less time, never more.
   */
  drain(limitMs: number): Promise<void> {
    this.#patience?.shorten(limitMs);
    this.#patience ??= new Patience(limitMs);
    this.#drained ??= this.#drainAll(this.#patience);
    return this.#drained;
  }

  async #drainAll(patience: Patience): Promise<void> {
    for (const app of this.#apps()) app.status = "draining";
    void this.#page?.stop();
    const stopped = this.#listener.stop();
    void stopped.then(() => patience.end());
    await patience.over;
    if (patience.isExhausted) await this.#cut(stopped);
    await this.#ops?.stop(true);
    this.#last = this.report("metrics"); // what is closed cannot be asked
    await Promise.all(this.#apps().map(closeApp));
  }

  /** Ends what is still open with an error in its dialect. */
  async #cut(stopped: Promise<void>): Promise<void> {
    const error = shuttingDown();
    for (const app of this.#apps()) {
      for (const stream of [...app.engine.streams]) stream.fail(error);
      app.workflows.stop(error);
    }
    await Promise.race([stopped, Bun.sleep(FLUSH_MS)]);
    await this.#listener.stop(true);
  }

  /** Whoever has a page there already keeps it: the same page is on the main port. */
  #listenForPage(settings: Settings, tls: Tls | undefined): Listening | undefined {
    const { webui } = settings.workflows.controller;
    if (webui === null || webui.port === this.port) return undefined;
    const advice = "The page is on the main port too.";
    try {
      return this.#listenOn({ ...webui, isShared: this.#making.isShared, advice }, settings, tls);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.warnings.push(`controller.webui: ${error.message}`);
      return undefined;
    }
  }

  /** Listens on `place`. With a certificate it is made so that a second listener can take over. */
  #listenOn(place: Place, { config, folder }: Settings, tls: Tls | undefined): Listening {
    if (tls !== undefined && !place.isShared) checkPort(place);
    const isShared = place.isShared || tls !== undefined;
    let { port } = place;
    const open = (handler: Http1Handler, tls: Tls | undefined) => {
      const options = { handler, config, folder, tls, wheel: this.#wheel, unread: this.#unread };
      const bound = listenOnPort(options, { ...place, port, isShared });
      port = bound.port; // a port of 0 is chosen once
      return bound;
    };
    return new Listening(open, this.#app, tls);
  }

  #apps(): readonly App[] {
    return [this.#app, ...this.#retired.keys()];
  }
}

/** A wait that ends by itself after a time that can still become shorter. */
class Patience {
  /** Settles when it is over, either way. */
  readonly over: Promise<void>;
  /** True when the time ran out. */
  isExhausted = false;
  #endMs = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #resolve: () => void;

  constructor(limitMs: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#resolve = resolve;
    this.shorten(limitMs);
  }

  /** Leaves `limitMs` from now, when that is less than was left. */
  shorten(limitMs: number): void {
    const endMs = performance.now() + limitMs;
    if (endMs >= this.#endMs) return;
    this.#endMs = endMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.isExhausted = true;
      this.#resolve();
    }, limitMs);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#resolve();
  }
}

function begin(app: App): void {
  app.status = "ok";
  app.observer.start();
}

/** Is `family` about requests, and not about the process that answers them? */
function isOfRequests({ name, kind }: MetricsSnapshot[number]): boolean {
  return kind === "gauge" ? name === "weir_streams_open" : !OF_PROCESS.has(name);
}
