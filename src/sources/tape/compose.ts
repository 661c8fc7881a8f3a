/**
 * The tapes of one app: its shelf, its recorder, and the sources that use them.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { secretsOf } from "../../config/describe.ts";
import type { Watch } from "../../core/events.ts";
import type { RecordLateness } from "../../core/surface.ts";
import type { Ordinals } from "../../lib/ordinals.ts";
import { basicOf } from "../../lib/userinfo.ts";
import type { Wheel } from "../../lib/wheel.ts";
import { type EagerSource, hostOf, type UpstreamOptions } from "../upstream/upstream.ts";
import type { TapeFolder } from "./folder.ts";
import { Recorder } from "./recorder.ts";
import { Redactor } from "./redactor.ts";
import { TapeShelf } from "./shelf.ts";
import { tape, type TapeDeps } from "./tape.ts";

/** What tapes need of the process. */
export interface TapesWorld {
  /** The folder at `path`, as the config writes it. */
  readonly tapeFolder: (path: string) => TapeFolder;
  readonly ordinals: Ordinals;
  readonly watch: Watch;
  readonly recordLateness: RecordLateness;
  readonly wallMs: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  readonly version: string;
}

/** An upstream, as tapes know it. */
export type TapedUpstream =
  & Pick<TapeDeps, "mode" | "name" | "asks" | "upstream">
  & { readonly options: UpstreamOptions };

/** Made when the first source wants them. */
export class Tapes {
  readonly #config: Config;
  readonly #world: TapesWorld;
  readonly #wheel: Wheel;
  readonly #shelf: TapeShelf;
  readonly #recorder: Recorder;
  #isOpen = false;

  constructor(config: Config, world: TapesWorld, wheel: Wheel) {
    const { folder: path, redact, volatile, match, fresh_ids, body_max_bytes } = config.tape;
    this.#config = config;
    this.#world = world;
    this.#wheel = wheel;
    const folder = world.tapeFolder(path);
    const redactor = Redactor.of(keysOf(config), redact);
    const { watch, ordinals } = world;
    this.#shelf = new TapeShelf({
      ...{ folder, redactor, ordinals, watch, match },
      ignored: volatile,
      isFresh: fresh_ids,
    });
    this.#recorder = new Recorder({
      ...world,
      ...{ folder, redactor, wheel },
      bodyMaxBytes: body_max_bytes,
      onTape: (name) => this.#isOpen && this.#shelf.add(name),
    });
  }

  /** A source in the place of an upstream. */
  source({ mode, name, asks, upstream, options }: TapedUpstream): EagerSource {
    if (mode !== "record" && !this.#isOpen) {
      this.#isOpen = true;
      this.#shelf.open();
    }
    const { base_url } = options;
    return tape({
      mode,
      name,
      asks,
      upstream,
      urlKey: options.urlKey,
      place: {
        upstream: name,
        host: base_url === "" ? "" : hostOf(base_url),
        base: base_url === "" ? "" : new URL(base_url).pathname.replace(/\/$/, ""),
      },
      shelf: this.#shelf,
      recorder: this.#recorder,
      play: {
        ...this.#world,
        speed: this.#config.tape.speed,
        idleTimeoutMs: options.idle_timeout_ms,
        wheel: this.#wheel,
      },
    });
  }

  /** What is wrong with the folder; "" = nothing. */
  get trouble(): string {
    return this.#recorder.trouble || this.#shelf.trouble;
  }

  /** Nothing is asked any more. Settles when all that was recorded is written. */
  async close(): Promise<void> {
    this.#shelf.close();
    await this.#recorder.idle();
  }
}

/** Every key of the config, and what of it is sent: "Bearer …" in a header has a key behind it. */
function keysOf(config: Config): readonly string[] {
  const basics = [config.llm, ...config.upstreams].map(({ base_url }) => basicOf(base_url));
  const texts = [...secretsOf(config), ...basics.filter((basic) => basic !== "")];
  return [...texts, ...texts.map((text) => text.replace(/^\w+ +/, ""))];
}
