/**
 * Serves the web page of `ui/`: `/` and the files it names under `/ui/`.
 *
 * Bun bundles the HTML import into the executable; from source it is bundled when it is first asked
 * for, so that no start waits for it.
 *
 * @module
 */

import bundle from "./ui/index.html";

/** Answers for `/`, and for the `file` of `/ui/*`. null = there is no such file. */
export type ServePage = (
  request: Request,
  params: Readonly<Record<string, string>>,
) => Promise<Response | null>;

/** A file of the page, in memory. */
interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly etag: string;
}

/** Path → file. All but `/` carry a hash of their content in their name. */
type PageFiles = ReadonlyMap<string, PageFile>;

const FOLDER = "/ui/";

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/**
 * Nothing but the page's own files runs or loads, nobody frames it, and scripts cannot turn text
 * into HTML. Answers may be shown as pictures and sound (`blob:`), never fetched from elsewhere.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "media-src blob:",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
} as const;

/** Makes the page's handler. Nothing is read before the first request. */
export function servePage(): ServePage {
  let files: Promise<PageFiles> | null = null;
  return async (request, { file: name }) => {
    const path = name === undefined ? "/" : FOLDER + name;
    // A bundle that failed is tried again: from source, its reason can be mended meanwhile.
    files ??= load().catch((error) => {
      files = null;
      throw error;
    });
    const file = (await files).get(path);
    return file === undefined ? null : fileResponse(request, file, path !== "/");
  };
}

/** `isNamedByHash`: another content has another name, so a browser need never ask again. */
function fileResponse(request: Request, file: PageFile, isNamedByHash: boolean): Response {
  const headers = {
    ...HEADERS,
    "etag": file.etag,
    "cache-control": isNamedByHash ? "public, max-age=31536000, immutable" : "no-cache",
  };
  if (matches(request.headers.get("if-none-match"), file.etag)) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(file.bytes, {
    headers: {
      ...headers,
      "content-type": file.contentType,
      "content-length": String(file.bytes.length), // else a HEAD would say 0
    },
  });
}

/** RFC 9110, 13.1.2: a list of tags or `*`, compared weakly. */
function matches(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.split(",").some((tag) => ["*", etag].includes(tag.trim().replace(/^W\//, "")));
}

async function load(): Promise<PageFiles> {
  const built = bundle.files === undefined ? await buildNow() : await readBuilt(bundle.files);
  const files = new Map<string, PageFile>();
  for (const [name, bytes] of built) {
    if (name.endsWith(".html")) continue;
    files.set(FOLDER + name, pageFile(name, bytes));
  }
  const [, html] = built.find(([name]) => name.endsWith(".html"))!;
  // Names relative to the page, so that it also works below a path of a reverse proxy.
  const text = new TextDecoder().decode(html)
    .replace(/(src|href)="\.?\/([\w.-]+)"/g, `$1="${FOLDER.slice(1)}$2"`);
  files.set("/", pageFile("index.html", new TextEncoder().encode(text)));
  return files;
}

type Built = readonly (readonly [name: string, bytes: Uint8Array<ArrayBuffer>])[];

/** The files inside the executable. */
async function readBuilt(built: NonNullable<typeof bundle.files>): Promise<Built> {
  return await Promise.all(
    built.map(async ({ path }) => [baseName(path), await Bun.file(path).bytes()] as const),
  );
}

/** The same files, made from source. */
async function buildNow(): Promise<Built> {
  const { outputs } = await Bun.build({ entrypoints: [bundle.index], minify: true });
  return await Promise.all(
    outputs.map(async (output) =>
      [baseName(output.path), new Uint8Array(await output.arrayBuffer())] as const
    ),
  );
}

function pageFile(name: string, bytes: Uint8Array<ArrayBuffer>): PageFile {
  const extension = name.slice(name.lastIndexOf("."));
  const contentType = CONTENT_TYPES[extension] ?? "application/octet-stream";
  return { bytes, contentType, etag: `"${Bun.hash(bytes).toString(36)}"` };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
