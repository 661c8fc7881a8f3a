/**
 * The ceiling: a bare `Bun.serve` that reads the JSON body and answers one constant buffer.
 *
 *   bun bench/peers/bare_bun.ts PORT FILE CONTENT_TYPE
 *
 * @module
 */

const [, , port, file, contentType] = process.argv;
const answer = await Bun.file(file!).bytes();
const headers = { "content-type": contentType! };

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  development: false,
  async fetch(request) {
    if (request.method === "POST") await request.json();
    return new Response(answer, { headers });
  },
});
