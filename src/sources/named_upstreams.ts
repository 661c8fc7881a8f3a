/**
 * The upstreams of the config by their names, each made once.
 *
 * @module
 */

import type { Config, UpstreamEntry } from "../config/config.ts";
import { replays, type TapeMode } from "../config/tape_rules.ts";
import type { Source } from "../core/answer.ts";
import { faultsChecked } from "./faults/asked.ts";
import type { SourceBook } from "./source_book.ts";
import type { Entry, UpstreamMaker } from "./upstreams.ts";

/**
 * Headers and model of `llm` are for that upstream, and may be secrets of it. go-gpt-server passes
 * everything of its clients on.
 */
const OWN_ONLY = {
  model_id: "",
  headers: {},
  headers_up: [],
  passesClientKey: false,
  passesClient: true,
} as const;

/** What they need. */
export interface NamedUpstreamsDeps {
  readonly config: Config;
  readonly makers: UpstreamMaker;
  readonly book: SourceBook;
  /** True when nobody has to show a key, so that the clients' own may go up. */
  readonly isOpen: boolean;
  /** Around each: what notes prompts, where that is wanted. */
  readonly noted: (source: Source) => Source;
}

/** Makes them. */
export class NamedUpstreams {
  readonly #deps: NamedUpstreamsDeps;
  readonly #made = new Map<string, Source>();
  readonly #llm: Entry;

  constructor(deps: NamedUpstreamsDeps) {
    this.#deps = deps;
    const { llm, upstreams } = deps.config;
    const named = upstreams.find(({ name }) => name === "llm");
    this.#llm = named === undefined
      ? {
        ...llm,
        name: "llm",
        section: "llm",
        urlKey: "llm.base_url",
        passesClientKey: deps.isOpen,
        passesClient: false,
      }
      : this.#entryOf(named);
  }

  /** True when `llm` says where it is. */
  get hasLlm(): boolean {
    return this.#llm.base_url !== "";
  }

  /** The source of that name, with what is done with tapes; undefined = there is none. */
  named(name: string, mode: TapeMode = this.#deps.config.tape.mode): Source | undefined {
    const key = `${mode} ${name}`;
    const known = this.#made.get(key) ?? this.#make(name, mode);
    if (known === undefined) return undefined;
    this.#made.set(key, known);
    return this.#deps.book.note(known, { name });
  }

  /** The upstream named llm, with what differs. */
  llm(own: Partial<Entry> = {}, mode: TapeMode = this.#deps.config.tape.mode): Source {
    return this.#upstream({ ...this.#llm, ...own }, mode);
  }

  /** The upstream of `/conv`, which has a dialect of its own; undefined = there is none. */
  conv(): Source | undefined {
    const { config: { llm, conv }, makers, book } = this.#deps;
    if (conv.unofficial_proxy === "") return undefined;
    const source = makers.web({
      ...llm,
      ...OWN_ONLY,
      name: "conv",
      section: "llm",
      api_key: "",
      api_keys: [],
      base_url: conv.unofficial_proxy,
      urlKey: "conv.unofficial_proxy",
      headers: conv.access_token === "" ? {} : { authorization: conv.access_token },
    });
    return book.note(source, { isRelaying: true });
  }

  #make(name: string, mode: TapeMode): Source | undefined {
    const { chat, upstreams } = this.#deps.config;
    if (name === "llm") return this.hasLlm || replays(mode) ? this.llm({}, mode) : undefined;
    const entry = upstreams.find((entry) => entry.name === name);
    if (entry !== undefined) return this.#upstream(this.#entryOf(entry), mode);
    if (name !== "chat" || chat.api_proxy === "") return undefined;
    return this.llm({
      ...OWN_ONLY,
      name,
      api_key: chat.api_key,
      api_keys: [],
      base_url: apiBase(chat.api_proxy),
      urlKey: "chat.api_proxy",
    }, mode);
  }

  /** An entry of `upstreams`. Without a model of its own it gets the one that is the default. */
  #entryOf(entry: UpstreamEntry): Entry {
    const { config: { llm, upstreams }, isOpen } = this.#deps;
    const section = `upstreams.${upstreams.indexOf(entry)}`;
    return {
      ...entry,
      model_id: entry.model_id || llm.model_id,
      section,
      urlKey: `${section}.base_url`,
      passesClientKey: isOpen,
      passesClient: false,
    };
  }

  #upstream(entry: Entry, mode: TapeMode): Source {
    const { config, makers, book, noted } = this.#deps;
    const { source, ...facts } = makers.upstream(entry, mode);
    const answering = noted(source);
    // A tape knows how long its answer is.
    return book.note(replays(mode) ? answering : faultsChecked(answering), {
      ...facts,
      isRelaying: true,
      url: entry.base_url || `the tapes of ${config.tape.folder}`,
    });
  }
}

/**
 * go-gpt-server names a host (docs/facts/systems.md "/chat") and means its `/v1`; a URL with a path
 * says where the API is itself.
 */
function apiBase(url: string): string {
  return new URL(url).pathname === "/" ? `${url}/v1` : url;
}
