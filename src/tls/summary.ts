/**
 * What a finished handshake came to, as Postfix writes it.
 *
 *   TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519
 *   server-signature RSA-PSS (2048 bits)
 *
 * Unlike Postfix: without `server-digest`, which node:tls does not tell.
 */
import type { TLSSocket } from 'node:tls';

/** Strength of a cipher by its name. */
export const cipherBits = (name: string): number =>
  /256|CHACHA20/i.test(name) && !/AES_128|AES128/i.test(name) ? 256 : 128;

/** Protocol and cipher; with TLS 1.3, whose ciphers name no key exchange, that too. */
export function handshakeSummary(
  socket: Pick<
    TLSSocket,
    'getProtocol' | 'getCipher' | 'getEphemeralKeyInfo' | 'getPeerX509Certificate'
  >,
): string {
  const { name } = socket.getCipher();
  const bits = cipherBits(name);
  const protocol = socket.getProtocol() ?? 'unknown';
  const base = `${protocol} with cipher ${name} (${bits}/${bits} bits)`;
  if (protocol !== 'TLSv1.3') return base;
  return `${base}${keyExchange(socket.getEphemeralKeyInfo())}${serverSignature(socket)}`;
}

const CURVES: ReadonlyMap<string, string> = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
]);

function keyExchange(info: object | null): string {
  const name: unknown = info ? Reflect.get(info, 'name') : undefined;
  if (typeof name !== 'string') return '';
  const curve = CURVES.get(name);
  return ` key-exchange ${curve ? `ECDHE (${curve})` : name}`;
}

function serverSignature(socket: Pick<TLSSocket, 'getPeerX509Certificate'>): string {
  const key = socket.getPeerX509Certificate()?.publicKey;
  const details = key?.asymmetricKeyDetails;
  switch (key?.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      return ` server-signature RSA-PSS (${details?.modulusLength ?? 0} bits)`;
    case 'ec': {
      const curve = details?.namedCurve ?? '';
      return ` server-signature ECDSA (${CURVES.get(curve) ?? curve})`;
    }
    case 'ed25519':
      return ' server-signature ED25519';
    default:
      return '';
  }
}
