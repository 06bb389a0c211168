/** Certificates for tests: a throw-away authority and server pairs in a directory. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KeyMaterial } from '../../src/ipc/protocol.ts';
import { makeBootstrap } from '../../src/tls/bootstrap.ts';

export type TestCertificate = {
  readonly directory: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly caPem: string;
  readonly keys: KeyMaterial;
};

/** The directory is the caller's to remove. `nowMs` sets the time of issue. */
export async function testCertificate(
  names: readonly string[] = ['localhost', 'mail.example.org'],
  options: { readonly directory?: string; readonly nowMs?: number } = {},
): Promise<TestCertificate> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'postern-certs-'));
  const nowMs = options.nowMs ?? Date.now();
  const made = await makeBootstrap({ directory, names, addresses: ['127.0.0.1', '::1'], nowMs });
  if (!made.ok) throw new Error(made.error);
  const { caFile, certFile, keyFile } = made.value;
  const read = (file: string): string => readFileSync(file, 'utf8');
  const keys = { certPem: read(certFile), keyPem: read(keyFile) };
  return { directory, caFile, certFile, keyFile, caPem: read(caFile), keys };
}
