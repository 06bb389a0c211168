/**
 * A connection of the small request and reply protocols (tcp:, socketmap:, memcache:): one request
 * at a time, the reply read by a function that knows its form, both within a time and a size.
 */
import { connect, type Socket } from 'node:net';
import { err, ok, type Result } from '../../util/result.ts';
import { answered, type Connection, type Failure, lost, reasonOf, withDeadline } from './pool.ts';

export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'inet'; readonly host: string; readonly port: number };

/** `done` with the value, once all of the reply is there; `bad` closes the connection. */
export type Parsed<T> =
  | { readonly kind: 'more' }
  | { readonly kind: 'bad'; readonly reason: string }
  | { readonly kind: 'done'; readonly value: T; readonly length: number };

export interface WireConnection extends Connection {
  request<T>(
    bytes: Buffer,
    parse: (received: Buffer) => Parsed<T>,
    limitBytes: number,
  ): Promise<Result<T, Failure>>;
}

/** `inet:host:port`, `inet:[v6]:port`, `unix:/path`. */
export function parseEndpoint(text: string): Result<Endpoint, string> {
  const path = /^(?:unix|local):(.+)$/.exec(text)?.[1];
  if (path !== undefined) return ok({ kind: 'unix', path });
  const [, v6, name, digits] = /^inet:(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) {
    return err(`bad server "${text}"; write inet:host:port with a port number, or unix:/path`);
  }
  return ok({ kind: 'inet', host: v6 ?? (name || 'localhost'), port });
}

export const endpointName = (endpoint: Endpoint): string =>
  endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `${endpoint.host}:${endpoint.port}`;

export async function connectWire(
  endpoint: Endpoint,
  timeoutMs: number,
): Promise<Result<WireConnection, string>> {
  const socket =
    endpoint.kind === 'unix' ? connect(endpoint.path) : connect(endpoint.port, endpoint.host);
  socket.setNoDelay(true);
  const opened = new Promise<Result<true, Failure>>((resolve) => {
    socket.once('connect', () => resolve(answered(true)));
    socket.once('error', (error) => resolve(lost(reasonOf(error))));
  });
  const result = await withDeadline(opened, timeoutMs, () => lost(late(timeoutMs), true));
  if (!result.ok) {
    socket.destroy();
    return err(result.error.reason);
  }
  socket.unref();
  return ok(wrap(socket, timeoutMs));
}

const late = (ms: number): string => `no answer within ${ms / 1000} s`;

function wrap(socket: Socket, timeoutMs: number): WireConnection {
  let isOpen = true;
  let received = Buffer.alloc(0);
  let onData: (() => void) | undefined;
  let onEnd: ((reason: string) => void) | undefined;
  const close = (): void => {
    isOpen = false;
    socket.destroy();
  };
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    // Bytes that nobody asked for: the next reply would be taken for another's.
    if (onData) onData();
    else close();
  });
  socket.on('error', (error) => onEnd?.(reasonOf(error)));
  socket.once('close', () => {
    isOpen = false;
    onEnd?.('connection closed by the server');
  });

  const request = <T>(
    bytes: Buffer,
    parse: (received: Buffer) => Parsed<T>,
    limitBytes: number,
  ): Promise<Result<T, Failure>> => {
    const answer = new Promise<Result<T, Failure>>((resolve) => {
      const finish = (result: Result<T, Failure>): void => {
        onData = undefined;
        onEnd = undefined;
        if (!result.ok) close();
        resolve(result);
      };
      onEnd = (reason) => finish(lost(reason));
      onData = () => {
        const parsed = parse(received);
        if (parsed.kind === 'done') {
          received = received.subarray(parsed.length);
          if (received.length > 0) close();
          finish(answered(parsed.value));
        } else if (parsed.kind === 'bad') finish(lost(parsed.reason));
        else if (received.length > limitBytes) finish(lost(`reply longer than ${limitBytes}`));
      };
      if (isOpen) socket.write(bytes);
      else finish(lost('connection closed by the server'));
    });
    return withDeadline(answer, timeoutMs, () => {
      close();
      return lost(late(timeoutMs), true);
    });
  };
  return {
    request,
    close,
    get isOpen() {
      return isOpen;
    },
  };
}
