/**
 * A local certificate authority and a server certificate, for a server that has no real one yet.
 *
 * Written into one directory: `ca.pem` (give it to mail clients), `ca.key`, `server.pem` (server
 * certificate, then the authority's), `server.key`; keys are readable by their owner only. What is
 * there and still good is used again: the authority as long as it lives, the server certificate
 * while it covers the names and has a month left. Not for a server on the Internet.
 *
 * Keys come from OpenSSL; node-forge only assembles and signs, and never sees foreign bytes.
 */
import { createPrivateKey, generateKeyPair, randomBytes, X509Certificate } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { err, ok, type Result } from '../util/result.ts';

export type BootstrapRequest = {
  readonly directory: string;
  /** Host names; the first is the subject. */
  readonly names: readonly string[];
  /** IP addresses. */
  readonly addresses: readonly string[];
  readonly nowMs: number;
  /** One sentence for each step that takes time. */
  readonly onProgress?: (text: string) => void;
};

export type Bootstrap = {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** False when everything was there and is used again. */
  readonly isNew: boolean;
};

type Authority = { readonly certPem: string; readonly keyPem: string };

const DAY_MS = 24 * 3600 * 1000;
const CA_DAYS = 3650;
const SERVER_DAYS = 397;
const RENEW_DAYS = 30;
const RSA_BITS = 2048;

/** Make or reuse the certificate. The error names the file and the reason. */
export async function makeBootstrap(request: BootstrapRequest): Promise<Result<Bootstrap, string>> {
  const { directory } = request;
  const files = {
    caFile: join(directory, 'ca.pem'),
    certFile: join(directory, 'server.pem'),
    keyFile: join(directory, 'server.key'),
  };
  try {
    if (isServerGood(files.certFile, files.keyFile, request)) return ok({ ...files, isNew: false });
    mkdirSync(directory, { recursive: true });
    const authority =
      readAuthority(files.caFile, join(directory, 'ca.key'), request.nowMs) ??
      (await makeAuthority(files.caFile, join(directory, 'ca.key'), request));
    request.onProgress?.(`making a server certificate for ${request.names[0] ?? 'localhost'}`);
    const keyPem = await makeKey();
    const certPem = signServer(keyPem, authority, request);
    writeDurably(files.keyFile, keyPem, 0o600);
    writeDurably(files.certFile, certPem + authority.certPem, 0o644);
    return ok({ ...files, isNew: true });
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(`${directory}: ${error.message}`);
    throw error;
  }
}

async function makeAuthority(
  certFile: string,
  keyFile: string,
  { nowMs, onProgress }: BootstrapRequest,
): Promise<Authority> {
  onProgress?.('making a local certificate authority');
  const keyPem = await makeKey();
  const key = forge.pki.privateKeyFromPem(keyPem);
  const label = randomBytes(3).toString('hex');
  const name = [{ name: 'commonName', value: `Postern local authority ${label}` }];
  const certificate = newCertificate(key, nowMs, CA_DAYS);
  certificate.setSubject(name);
  certificate.setIssuer(name);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  certificate.sign(key, forge.md.sha256.create());
  const certPem = forge.pki.certificateToPem(certificate).replaceAll('\r', '');
  writeDurably(keyFile, keyPem, 0o600);
  writeDurably(certFile, certPem, 0o644);
  return { certPem, keyPem };
}

function signServer(keyPem: string, authority: Authority, request: BootstrapRequest): string {
  const issuer = forge.pki.certificateFromPem(authority.certPem);
  const certificate = newCertificate(
    forge.pki.privateKeyFromPem(keyPem),
    request.nowMs,
    SERVER_DAYS,
  );
  certificate.setSubject([{ name: 'commonName', value: request.names[0] ?? 'localhost' }]);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    {
      name: 'subjectAltName',
      altNames: [
        ...request.names.map((value) => ({ type: 2, value })),
        ...request.addresses.map((ip) => ({ type: 7, ip })),
      ],
    },
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes(),
    },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(authority.keyPem), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate).replaceAll('\r', '');
}

function newCertificate(
  key: forge.pki.rsa.PrivateKey,
  nowMs: number,
  days: number,
): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.setRsaPublicKey(key.n, key.e);
  // Positive and not longer than 20 octets: RFC 5280 section 4.1.2.2.
  certificate.serialNumber = `4${randomBytes(16).toString('hex').slice(1)}`;
  certificate.validity.notBefore = new Date(nowMs - DAY_MS);
  certificate.validity.notAfter = new Date(nowMs + days * DAY_MS);
  return certificate;
}

async function makeKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function readAuthority(certFile: string, keyFile: string, nowMs: number): Authority | undefined {
  if (!existsSync(certFile) || !existsSync(keyFile)) return undefined;
  const certPem = readFileSync(certFile, 'utf8');
  const keyPem = readFileSync(keyFile, 'utf8');
  const endMs = validUntilMs(certPem, keyPem);
  return endMs > nowMs + SERVER_DAYS * DAY_MS ? { certPem, keyPem } : undefined;
}

function isServerGood(
  certFile: string,
  keyFile: string,
  { names, addresses, nowMs }: BootstrapRequest,
): boolean {
  if (!existsSync(certFile) || !existsSync(keyFile)) return false;
  const certPem = readFileSync(certFile, 'utf8');
  if (validUntilMs(certPem, readFileSync(keyFile, 'utf8')) < nowMs + RENEW_DAYS * DAY_MS)
    return false;
  const certificate = new X509Certificate(certPem);
  return (
    names.every((name) => certificate.checkHost(name) !== undefined) &&
    addresses.every((address) => isIP(address) > 0 && certificate.checkIP(address) !== undefined)
  );
}

/** When the first certificate ends; 0 when it cannot be read or the key is another's. */
function validUntilMs(certPem: string, keyPem: string): number {
  try {
    const certificate = new X509Certificate(certPem);
    const isPair = certificate.checkPrivateKey(createPrivateKey(keyPem));
    return isPair ? Date.parse(certificate.validTo) : 0;
  } catch {
    return 0;
  }
}

function writeDurably(file: string, text: string, mode: number): void {
  const fresh = `${file}.new`;
  const descriptor = openSync(fresh, 'w', mode);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(fresh, file);
}
