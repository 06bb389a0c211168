/**
 * Reading the server's private keys and certificate chains, checked before anybody uses them.
 *
 * `smtpd_tls_chain_files` is a list of PEM files read as one text: each private key is followed by
 * its certificate and the issuers of it, in that order. Without it, the RSA and ECDSA pairs of
 * `smtpd_tls_cert_file` and `smtpd_tls_eccert_file`. Every fault names the parameter, the file and
 * what to do; secrets are never part of a text. Nothing is written.
 *
 * @see postconf(5) smtpd_tls_chain_files
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../conf/params.ts';
import type { KeyMaterial } from '../ipc/protocol.ts';
import { err, ok, type Result } from '../util/result.ts';

type KeyConfig = Pick<
  Config,
  | 'config_directory'
  | 'smtpd_tls_chain_files'
  | 'smtpd_tls_cert_file'
  | 'smtpd_tls_key_file'
  | 'smtpd_tls_eccert_file'
  | 'smtpd_tls_eckey_file'
>;

type PemBlock = {
  readonly kind: 'key' | 'certificate';
  readonly pem: string;
  readonly file: string;
};
type Pair = { readonly key: PemBlock; readonly chain: readonly PemBlock[] };

const MAX_PEM_BYTES = 1024 * 1024;
const DAY_MS = 24 * 3600 * 1000;

/** All pairs that main.cf names; an empty list when it names none. */
export function readKeys(
  config: KeyConfig,
  nowMs: number = Date.now(),
): Result<readonly KeyMaterial[], string> {
  const chainFiles = config.smtpd_tls_chain_files.split(/[\s,]+/).filter((name) => name !== '');
  const sources: [parameter: string, files: string[]][] =
    chainFiles.length > 0
      ? [['smtpd_tls_chain_files', chainFiles]]
      : [
          ['smtpd_tls_cert_file', pairFiles(config.smtpd_tls_key_file, config.smtpd_tls_cert_file)],
          [
            'smtpd_tls_eccert_file',
            pairFiles(config.smtpd_tls_eckey_file, config.smtpd_tls_eccert_file),
          ],
        ];
  const keys: KeyMaterial[] = [];
  for (const [parameter, files] of sources) {
    if (files.length === 0) continue;
    const read = readPairs(
      files.map((file) => resolve(config.config_directory, file)),
      nowMs,
    );
    if (!read.ok) return err(`${parameter}: ${read.error}`);
    keys.push(...read.value);
  }
  return ok(keys);
}

/** Read and check the pairs in these files, taken as one text. */
export function readPairs(
  files: readonly string[],
  nowMs: number = Date.now(),
): Result<readonly KeyMaterial[], string> {
  const blocks: PemBlock[] = [];
  for (const file of files) {
    const read = readBlocks(file);
    if (!read.ok) return read;
    blocks.push(...read.value);
  }
  const pairs = pairUp(blocks, files);
  if (!pairs.ok) return pairs;
  const keys: KeyMaterial[] = [];
  for (const pair of pairs.value) {
    const fault = faultOf(pair, nowMs);
    if (fault) return err(fault);
    keys.push({ certPem: pair.chain.map(({ pem }) => pem).join(''), keyPem: pair.key.pem });
  }
  return ok(keys);
}

/** The key first, whichever way the two are kept. */
function pairFiles(keyFile: string, certFile: string): string[] {
  if (certFile === '' || certFile === 'none') return [];
  return keyFile === '' || keyFile === certFile ? [certFile] : [keyFile, certFile];
}

function readBlocks(file: string): Result<PemBlock[], string> {
  let text: string;
  try {
    const bytes = readFileSync(file);
    if (bytes.length > MAX_PEM_BYTES) return err(`${file}: larger than ${MAX_PEM_BYTES} bytes`);
    text = bytes.toString('latin1');
  } catch (error) {
    return err(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const form = /-----BEGIN (?<label>[A-Z0-9 ]+)-----[\s\S]*?-----END \k<label>-----/g;
  const blocks: PemBlock[] = [];
  for (const { 0: body, groups } of text.matchAll(form)) {
    const label = groups?.['label'] ?? '';
    const pem = `${body}\n`;
    if (label.endsWith('PRIVATE KEY')) blocks.push({ kind: 'key', pem, file });
    else if (/^(?:X509 |TRUSTED )?CERTIFICATE$/.test(label)) {
      blocks.push({ kind: 'certificate', pem, file });
    }
  }
  return blocks.length > 0 ? ok(blocks) : err(`${file}: no PEM key or certificate in it`);
}

function pairUp(blocks: readonly PemBlock[], files: readonly string[]): Result<Pair[], string> {
  const firstKey = blocks.find(({ kind }) => kind === 'key');
  if (!firstKey) return err(`no private key in ${files.join(', ')}; name the key file first`);
  const keyCount = blocks.filter(({ kind }) => kind === 'key').length;
  if (keyCount === 1) {
    // One pair in any order is clear; Let's Encrypt's and old cert files put the chain first.
    const chain = blocks.filter(({ kind }) => kind === 'certificate');
    return chain.length > 0
      ? ok([{ key: firstKey, chain }])
      : err(`no certificate in ${files.join(', ')}`);
  }
  const pairs: { key: PemBlock; chain: PemBlock[] }[] = [];
  for (const block of blocks) {
    if (block.kind === 'key') pairs.push({ key: block, chain: [] });
    else {
      const last = pairs.at(-1);
      if (!last)
        return err(`${block.file}: a certificate before its private key; put the key first`);
      last.chain.push(block);
    }
  }
  const bare = pairs.find(({ chain }) => chain.length === 0);
  return bare ? err(`${bare.key.file}: no certificate follows the private key`) : ok(pairs);
}

function faultOf({ key, chain }: Pair, nowMs: number): string | undefined {
  const privateKey = parseKey(key);
  if (!privateKey.ok) return privateKey.error;
  const certificates: X509Certificate[] = [];
  for (const { pem, file } of chain) {
    try {
      certificates.push(new X509Certificate(pem));
    } catch {
      return `${file}: a damaged certificate; write the file again`;
    }
  }
  const [leaf] = certificates;
  const file = chain[0]?.file ?? key.file;
  if (!leaf?.checkPrivateKey(privateKey.value)) {
    return `the key in ${key.file} does not belong to the first certificate in ${file}`;
  }
  const disorder = certificates.findIndex((certificate, i) => {
    const issuer = certificates[i + 1];
    return issuer !== undefined && !certificate.checkIssued(issuer);
  });
  if (disorder >= 0) {
    return `${chain[disorder + 1]?.file ?? file}: certificate ${disorder + 2} of the chain did not issue the one before it; put the server's first, then its issuer, and so on`;
  }
  const endMs = Date.parse(leaf.validTo);
  if (endMs <= nowMs) {
    return `${file}: expired on ${isoDay(endMs)}; renew the certificate`;
  }
  const startMs = Date.parse(leaf.validFrom);
  // A day of tolerance: a wrong clock must not take a fresh certificate away.
  if (startMs > nowMs + DAY_MS) {
    return `${file}: not valid before ${isoDay(startMs)}; check the clock of this machine`;
  }
  return undefined;
}

function parseKey({ pem, file }: PemBlock): Result<KeyObject, string> {
  if (/ENCRYPTED/.test(pem)) {
    return err(
      `${file}: the private key has a passphrase; store it without (openssl pkey -in ${file} -out NEW)`,
    );
  }
  try {
    return ok(createPrivateKey(pem));
  } catch {
    return err(`${file}: a damaged private key; write the file again`);
  }
}

const isoDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
