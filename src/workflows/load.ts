/**
 * Loads workflow files: text and environment in, a `Definition` or every problem out. A pure
 * function; `cli` reads the files. Both spellings of the format (flat, and nested with `action:`,
 * `job:`, `adapter:`) and singular and plural keys mean the same. A key that is not understood is
 * a problem: the file would do something else than it says.
 *
 * @module
 */

import type { Controller, Definition, Workflow } from "./definition.ts";
import { ADAPTER_KEYS, CONTROLLER_KEYS, FILE_KEYS, FOREIGN_SECTIONS, WEBUI_KEYS } from "./keys.ts";
import { loadComponents } from "./load_component.ts";
import { loadWorkflow } from "./load_workflow.ts";
import { Problems, Section } from "./section.ts";
import { type Problem, putEnvironment } from "./source_text.ts";
import { mergeTrees, parseTree, type Tree, type TreeMap } from "./tree.ts";

/** Workflows of one file. */
const WORKFLOWS_MAX = 1000;

/** A file that `cli` has read. */
export interface WorkflowFile {
  /** The name that problems carry. */
  readonly file: string;
  readonly text: string;
}

/** What loading gives: no definition when there is a problem. */
export interface Loaded {
  readonly definition: Definition | null;
  readonly problems: readonly Problem[];
}

/** Loads `files`, each one merged over those before it. */
export function load(
  files: readonly WorkflowFile[],
  env: Readonly<Record<string, string>>,
): Loaded {
  const problems = new Problems();
  let tree: Tree | null = null;
  for (const { file, text } of files) {
    const { source, problems: unset } = putEnvironment(file, text, env);
    const parsed = parseTree(source);
    for (const { place, path, message } of [...unset, ...parsed.problems]) {
      problems.add(place, path, message);
    }
    if (parsed.tree === null) continue;
    if (parsed.tree.kind === "map") {
      tree = tree === null ? parsed.tree : mergeTrees(tree, parsed.tree);
    } else {
      problems.add(parsed.tree.place, "", "The file must be a mapping with workflow and component");
    }
  }
  if (tree === null || tree.kind !== "map") {
    if (problems.list.length === 0) {
      const file = files.at(-1)?.file ?? "model-compose.yml";
      problems.add({ file, line: 1, column: 1 }, "", "The file is empty");
    }
    return { definition: null, problems: problems.list };
  }
  return loadMap(tree, problems, files.map(({ file }) => file));
}

/** Loads what is a tree already. */
export function loadTree(tree: TreeMap): Loaded {
  return loadMap(tree, new Problems(), [tree.place.file]);
}

/** `order`: the names of the files, in which problems are told. */
function loadMap(
  tree: TreeMap,
  problems: Problems,
  order: readonly string[],
): Loaded {
  const definition = define(new Section(tree, "", problems), problems);
  if (problems.list.length === 0) return { definition, problems: [] };
  const sorted = problems.list.toSorted(({ place: a }, { place: b }) =>
    order.indexOf(a.file) - order.indexOf(b.file) || a.line - b.line || a.column - b.column
  );
  return { definition: null, problems: sorted };
}

function define(root: Section, problems: Problems): Definition {
  root.checkKeys(FILE_KEYS);
  for (const key of FOREIGN_SECTIONS) {
    if (root.has(key)) root.problem(key, `weir has no ${key}: take the section out`);
  }
  const controller = loadController(root.section("controller"));
  const components = loadComponents(root.sections("components", "component"), root);
  const workflows: Workflow[] = [];
  let defaultWorkflowId: string | null = null;
  const sections = root.sections("workflows", "workflow");
  if (sections.length > WORKFLOWS_MAX) {
    root.problem("workflows", `has ${sections.length} workflows; the limit is ${WORKFLOWS_MAX}`);
  }
  for (const section of sections.slice(0, WORKFLOWS_MAX)) {
    const workflow = loadWorkflow(section, components, problems);
    if (workflow.id === "__default__") section.problem("id", "The id __default__ is not allowed");
    if (workflows.some(({ id }) => id === workflow.id)) {
      section.problem("id", `There are two workflows with the id '${workflow.id}'`);
    }
    if (section.flag("default")) {
      if (defaultWorkflowId !== null) {
        section.problem("default", `'${defaultWorkflowId}' is the default workflow already`);
      }
      defaultWorkflowId = workflow.id;
    }
    workflows.push(workflow);
  }
  if (workflows.length === 1) defaultWorkflowId = workflows[0]!.id;
  return { controller, components: components.byId, workflows, defaultWorkflowId };
}

const BASE_PATH = /^(?:\/[A-Za-z0-9._~-]+)*$/;

function loadController(controller: Section | null): Controller {
  controller?.checkKeys(CONTROLLER_KEYS);
  const adapters = controller?.sections("adapters", "adapter") ?? [];
  const server = adapters.find((adapter) => adapter.text("type") === "http-server");
  if (adapters.length > 0 && server === undefined) {
    controller!.problem("adapters", "weir speaks HTTP only: one adapter must be an http-server");
  }
  server?.checkKeys(ADAPTER_KEYS);
  const kind = adapters.length > 0 ? "http-server" : controller?.text("type") ?? "http-server";
  if (kind !== "http-server") {
    controller!.problem("type", `weir has no controller of type '${kind}': http-server is the one`);
  }
  const sections = [server, controller].filter((section) => section !== undefined)
    .filter((section) => section !== null);
  const having = (key: string) => sections.find((section) => section.has(key));
  const basePath = (having("base_path")?.text("base_path") ?? "").replace(/\/+$/, "");
  const slashed = basePath === "" || basePath.startsWith("/") ? basePath : `/${basePath}`;
  if (!BASE_PATH.test(slashed)) {
    having("base_path")!.problem("base_path", `must be a path such as /api: it is '${basePath}'`);
  }
  const webui = having("webui")?.section("webui") ?? null;
  webui?.checkKeys(WEBUI_KEYS);
  return {
    host: having("host")?.text("host") ?? null,
    port: having("port")?.integer("port", 0, 65_535) ?? null,
    basePath: slashed,
    webui: webui === null ? null : {
      host: webui.text("host") ?? "127.0.0.1",
      port: webui.integer("port", 0, 65_535) ?? 8081,
    },
    runsMax: having("max_concurrent_count")?.integer("max_concurrent_count", 0, 1_000_000) ?? 0,
  };
}
