/** What is kept of a finished handshake: for Received:, the log, and the sessions' facts. */
import type { TLSSocket } from 'node:tls';
import type { TlsSummary } from '../mail/stages.ts';

export function tlsSummaryOf(socket: TLSSocket): TlsSummary {
  const cipher = socket.getCipher();
  const serverName = serverNameOf(socket);
  return {
    protocol: socket.getProtocol() ?? 'TLS',
    cipher: cipher.name,
    cipherBits: cipherBits(cipher.standardName ?? cipher.name),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

const cipherBits = (name: string): number =>
  /128/.test(name) ? 128 : /256|CHACHA20/i.test(name) ? 256 : 128;

function serverNameOf(socket: TLSSocket): string | undefined {
  const name: unknown = Reflect.get(socket, 'servername');
  return typeof name === 'string' && name !== '' ? name.toLowerCase() : undefined;
}
