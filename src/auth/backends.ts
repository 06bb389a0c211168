/**
 * `smtpd_sasl_backends`: the list of places where users are kept, as back ends.
 */
import { resolve } from 'node:path';
import type { Config } from '../conf/params.ts';
import type { Logger } from '../log/maillog.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Backend } from './passdb.ts';
import { openPasswdBackend } from './passwd.ts';

type BackendConfig = Pick<Config, 'smtpd_sasl_backends' | 'config_directory' | 'myorigin'>;

/** Open every back end named; the error names the entry and what is possible instead. */
export function openBackends(config: BackendConfig, logger: Logger): Result<Backend[], string> {
  const entries = backendEntries(config);
  const backends: Backend[] = [];
  for (const entry of entries) {
    const { type = '', name = '' } = /^(?<type>[\w-]+):(?<name>.+)$/.exec(entry)?.groups ?? {};
    if (type !== 'passwd') {
      return err(`smtpd_sasl_backends: "${entry}" is not supported; use passwd:/path/of/file`);
    }
    const file = resolve(config.config_directory, name);
    backends.push(openPasswdBackend(file, config.myorigin, logger));
  }
  if (backends.length === 0) return err('smtpd_sasl_backends is empty; use passwd:/path/of/file');
  return ok(backends);
}

/** The first password file of the list: what `postern passwd` edits. */
export function firstPasswdFile(config: BackendConfig): string | undefined {
  const entry = backendEntries(config).find((text) => text.startsWith('passwd:'));
  return entry && resolve(config.config_directory, entry.slice('passwd:'.length));
}

const backendEntries = ({ smtpd_sasl_backends }: BackendConfig): string[] =>
  smtpd_sasl_backends.split(/[\s,]+/).filter((entry) => entry !== '');
