/**
 * Serves the web page of `ui/`: `/` and the files it names under `/ui/`.
 *
 * Bun bundles the HTML import into the executable; from source it is bundled when it is first asked
 * for, so that no start waits for it.
 *
 * @module
 */

import bundle from "./ui/index.html";

/** What a page needs to know of its weir. */
export interface PageOptions {
  /**
   * The port where weir's API answers on the page's own host name, for a page that another port
   * serves alone; null = the API is where the page is.
   */
  readonly apiPort: number | null;
}

/** Answers for `/` and `/ui/*`. null = there is no such file. */
export type ServePage = (request: Request) => Promise<Response | null>;

/** A file of the page, in memory. */
interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly etag: string;
}

/** The page's files: "" is the HTML, the others carry a hash of their content in their name. */
type PageFiles = ReadonlyMap<string, PageFile>;

const FOLDER = "/ui/";
/** Where index.html tells the page about an API on another port. */
const API_META = `<meta name="weir-api" content="">`;

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Makes the page's handler. Nothing is read before the first request. */
export function servePage({ apiPort }: PageOptions): ServePage {
  let files: Promise<PageFiles> | null = null;
  return async (request) => {
    const url = new URL(request.url);
    if (url.pathname !== "/" && !url.pathname.startsWith(FOLDER)) return null;
    files ??= load();
    const name = url.pathname === "/" ? "" : url.pathname.slice(FOLDER.length);
    const file = (await files).get(name);
    if (file === undefined) return null;
    const origin = name === "" ? apiOrigin(url, apiPort) : "";
    return fileResponse(request, file, {
      ...(origin === "" ? {} : { insert: origin }),
      isNamedByHash: name !== "",
    });
  };
}

function fileResponse(
  request: Request,
  file: PageFile,
  { insert, isNamedByHash }: { readonly insert?: string; readonly isNamedByHash: boolean },
): Response {
  const etag = insert === undefined ? file.etag : `${file.etag.slice(0, -1)}-${hash(insert)}"`;
  const headers = {
    "etag": etag,
    "cache-control": isNamedByHash ? "public, max-age=31536000, immutable" : "no-cache",
    "content-security-policy": policy(insert),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
  };
  if (matches(request.headers.get("if-none-match"), etag)) {
    return new Response(null, { status: 304, headers });
  }
  const body = insert === undefined ? file.bytes : withApi(file.bytes, insert);
  return new Response(body, { headers: { ...headers, "content-type": file.contentType } });
}

/**
 * Nothing but the page's own files runs or loads, nobody frames it, and scripts cannot turn text
 * into HTML. Answers may be shown as pictures and sound (`blob:`), never fetched from elsewhere.
 */
function policy(apiOrigin = ""): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "media-src blob: data:",
    `connect-src 'self'${apiOrigin === "" ? "" : ` ${apiOrigin}`}`,
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/**
 * The API's origin as the page's reader can reach it; "" = the page's own. The host name is the
 * client's word, so what is no plain name or address goes into no header.
 */
function apiOrigin(
  { protocol, hostname }: { readonly protocol: string; readonly hostname: string },
  apiPort: number | null,
): string {
  if (apiPort === null || !/^(?:[\w.-]+|\[[\da-f:.]+\])$/i.test(hostname)) return "";
  return `${protocol}//${hostname}:${apiPort}`;
}

function withApi(html: Uint8Array, origin: string): string {
  const text = new TextDecoder().decode(html);
  return text.replace(API_META, API_META.replace(`""`, `"${origin}/"`));
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
    files.set(name, pageFile(name, bytes));
  }
  const [, html] = built.find(([name]) => name.endsWith(".html"))!;
  // Names relative to the page, so that it also works below a path of a reverse proxy.
  const text = new TextDecoder().decode(html)
    .replace(/(src|href)="\.?\/([\w.-]+)"/g, `$1="${FOLDER.slice(1)}$2"`);
  files.set("", pageFile("index.html", new TextEncoder().encode(text)));
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
  return { bytes, contentType, etag: `"${hash(bytes)}"` };
}

function hash(content: string | Uint8Array<ArrayBuffer>): string {
  return Bun.hash(content).toString(36);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
