/**
 * Bun's own kind of response body: the server hands out a controller that writes to the socket.
 *
 * @module
 */

/** What Bun's `type: "direct"` controller does; the DOM types do not know it. */
export interface DirectController {
  /** Bytes written, a promise when the socket is full (the chunk is accepted), 0 when it is gone. */
  write(chunk: Uint8Array | string): number | Promise<number>;
  flush(): number | Promise<number>;
  /** Ends the body. With an error, the connection is reset and no terminator is written. */
  close(error?: Error): void;
  end(): void;
}

/** A direct stream: `pull` gets the controller once and may keep it. */
export function directStream(
  pull: (controller: DirectController) => void,
  cancel: () => void,
): ReadableStream<Uint8Array> {
  // Bun extends the underlying source; the cast is the one place that says so.
  return new ReadableStream(
    { type: "direct", pull, cancel } as unknown as ConstructorParameters<
      typeof ReadableStream<Uint8Array>
    >[0],
  );
}
