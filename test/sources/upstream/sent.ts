import type {
  Transport,
  TransportRequest,
  TransportResponse,
} from "../../../src/sources/upstream/transport.ts";

/** The response to `request` as a promise. */
export function sent(transport: Transport, request: TransportRequest): Promise<TransportResponse> {
  return new Promise((onResponse, onError) => transport.send(request, { onResponse, onError }));
}
