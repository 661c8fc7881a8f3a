/**
 * The ceiling: a bare `Bun.serve` that reads the JSON body and answers one constant buffer.
 *
 *   bun bench/peers/bare_bun.ts PORT FILE CONTENT_TYPE [CERT_FILE KEY_FILE]
 *
 * With the two last ones it speaks TLS.
 *
 * @module
 */

const [, , port, file, contentType, certFile, keyFile] = process.argv;
const answer = await Bun.file(file!).bytes();
const headers = { "content-type": contentType! };

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  development: false,
  // The longest there is: idle connections are counted, not closed.
  idleTimeout: 255,
  ...(certFile === undefined || keyFile === undefined
    ? {}
    : { tls: { cert: Bun.file(certFile), key: Bun.file(keyFile) } }),
  async fetch(request) {
    if (request.method === "POST") await request.json();
    return new Response(answer, { headers });
  },
});
