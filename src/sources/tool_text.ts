/**
 * What a model reads of the tools that a request declares: their JSON Schemas as a text that looks
 * like TypeScript (docs/facts/openai_api.md "Tools in a prompt"). Only its tokens are of use here.
 *
 * @module
 */

import type { Tool } from "../core/turn.ts";

/** Deeper types are not told: a schema may refer to itself. */
const DEPTH_MAX = 32;

type Fields = Readonly<Record<string, unknown>>;

/** The text. It ends early once it has more than `charsMax` UTF-16 units. */
export function toolText(tools: readonly Tool[], charsMax: number): string {
  const writer = new ToolWriter(charsMax);
  for (const tool of tools) writer.tool(tool);
  return `namespace functions {\n\n${writer.text}} // namespace functions`;
}

class ToolWriter {
  text = "";
  readonly #charsMax: number;
  /** The schema that references begin in. */
  #root: unknown;

  constructor(charsMax: number) {
    this.#charsMax = charsMax;
  }

  tool({ kind, name, description, parameters }: Tool): void {
    if (this.#isFull) return;
    this.#root = parameters;
    this.#comment(description);
    const schema = kind === "custom" ? CUSTOM : this.#resolved(parameters);
    const properties = Object.entries(fields(schema["properties"]));
    this.text += `type ${name} = (`;
    if (properties.length > 0) {
      const isBare = !properties.some(([, property]) => isTold(fields(property)));
      this.text += isBare ? "_: { " : "_: {\n";
      this.#properties(schema, isBare, 0);
      this.text += isBare ? " }" : "}";
    }
    this.text += ") => any;\n\n";
  }

  get #isFull(): boolean {
    return this.text.length > this.#charsMax;
  }

  /** Only the first of several lines is marked as a comment. */
  #comment(description: unknown): void {
    if (typeof description !== "string") return;
    const text = description.trim();
    if (text === "") return;
    this.text += `// ${text.split("\n").map((line) => line.trim()).join("\n")}\n`;
  }

  #properties(schema: Fields, isBare: boolean, depth: number): void {
    const required = new Set(list(schema["required"]));
    let isFirst = true;
    for (const [name, property] of Object.entries(fields(schema["properties"]))) {
      if (this.#isFull) return;
      const { description, default: usual } = fields(property);
      if (!isBare) this.#comment(description);
      else if (!isFirst) this.text += ", ";
      isFirst = false;
      this.text += `${name}${required.has(name) ? "" : "?"}: `;
      this.#type(property, depth);
      if (isBare) continue;
      this.text += usual === undefined || isCompound(usual)
        ? ",\n"
        : `, // default: ${JSON.stringify(usual)}\n`;
    }
  }

  #type(value: unknown, depth: number): void {
    if (this.#isFull) return;
    const schema = this.#resolved(value);
    const { type, enum: values, const: only, anyOf, oneOf, allOf } = schema;
    if (depth >= DEPTH_MAX) {
      this.text += "any";
    } else if (Array.isArray(values)) {
      this.#joined(values, " | ", (one) => this.#literal(one));
    } else if (only !== undefined) {
      this.#literal(only);
    } else if (Array.isArray(anyOf ?? oneOf)) {
      this.#joined(list(anyOf ?? oneOf), " | ", (one) => this.#type(one, depth + 1));
    } else if (Array.isArray(allOf)) {
      this.#joined(allOf, " & ", (one) => this.#type(one, depth + 1));
    } else if (Array.isArray(type)) {
      this.#joined(type, " | ", (one) => this.#type({ ...schema, type: one }, depth + 1));
    } else if (type === "array") {
      this.#type(schema["items"], depth + 1);
      this.text += "[]";
    } else if (type === "object") {
      this.text += "{\n";
      this.#properties(schema, false, depth + 1);
      this.text += "}";
    } else {
      this.text += TYPES.get(type) ?? "any";
    }
  }

  #joined(items: readonly unknown[], by: string, say: (item: unknown) => void): void {
    for (const [i, item] of items.entries()) {
      if (this.#isFull) return;
      if (i > 0) this.text += by;
      say(item);
    }
  }

  #literal(value: unknown): void {
    this.text += isCompound(value) ? "any" : JSON.stringify(value);
  }

  /** The schema that `value` is or refers to. */
  #resolved(value: unknown): Fields {
    let schema = fields(value);
    for (let hops = 0; typeof schema["$ref"] === "string" && hops < DEPTH_MAX; hops++) {
      let target = this.#root;
      for (const step of schema["$ref"].split("/").slice(1, DEPTH_MAX)) {
        target = fields(target)[step.replaceAll("~1", "/").replaceAll("~0", "~")];
      }
      schema = fields(target);
    }
    return schema;
  }
}

const TYPES: ReadonlyMap<unknown, string> = new Map([
  ["string", "string"],
  ["number", "number"],
  ["integer", "number"],
  ["boolean", "boolean"],
  ["null", "null"],
]);

/** How a tool that takes a text is told. Nobody has seen how it really is. */
const CUSTOM: Fields = { properties: { input: { type: "string" } }, required: ["input"] };

/** True when a property has more than a type. */
function isTold({ description, default: usual }: Fields): boolean {
  return (typeof description === "string" && description.trim() !== "") || usual !== undefined;
}

function isCompound(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function fields(value: unknown): Fields {
  return isCompound(value) && !Array.isArray(value) ? value as Fields : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
