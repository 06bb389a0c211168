/**
 * postconf(1) -a, -A, -l, -m: what this program supports; -b, -t: the texts of bounces; -T: TLS.
 */
import { readFileSync } from 'node:fs';
import {
  OWN_TEMPLATES,
  parseTemplates,
  type ReportKind,
  templateText,
} from '../bounce/template.ts';
import { loadConfig } from '../conf/config.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Io } from './main.ts';
import { fatal, reasonOf } from './postconf-read.ts';

const TABLES = [
  ...['btree', 'cdb', 'cidr', 'dbm', 'debug', 'environ', 'fail', 'hash', 'inline', 'internal'],
  ...[
    'ldap',
    'lmdb',
    'memcache',
    'mysql',
    'pcre',
    'pgsql',
    'pipemap',
    'proxy',
    'randmap',
    'regexp',
  ],
  ...['socketmap', 'sqlite', 'static', 'tcp', 'texthash', 'unionmap', 'unix'],
];
/** Node has neither flock(2) nor fcntl(2) locks. */
const LOCKS = ['dotlock'];
const SERVER_SASL = ['postern'];
const CLIENT_SASL = ['postern'];

export function showList(letter: 'a' | 'A' | 'l' | 'm', io: Io): number {
  const lists = { a: SERVER_SASL, A: CLIENT_SASL, l: LOCKS, m: TABLES };
  for (const name of lists[letter]) io.stdout(`${name}\n`);
  return 0;
}

export function showTls(mode: string, io: Io): number {
  switch (mode) {
    case 'compile-version':
    case 'run-version':
      io.stdout(`OpenSSL ${process.versions.openssl}\n`);
      return 0;
    case 'public-key-algorithms':
      io.stdout('rsa\necdsa\ned25519\ned448\n');
      return 0;
    default:
      io.stderr(`postconf: warning: unknown 'postconf -T' mode: ${mode}\n`);
      return 1;
  }
}

const KINDS: readonly (readonly [name: string, kind: ReportKind])[] = [
  ['failure', 'failed'],
  ['delay', 'delayed'],
  ['success', 'delivered'],
];

/** -b: texts as they would be sent; -t: templates as bounce_template_file has them. */
export function showBounces(isExpanded: boolean, names: readonly string[], io: Io): number {
  if (names.length > 1) return fatal(io, 'options -b and -t require at most one template file');
  const loaded = loadConfig(io.configDirectory);
  if (!loaded.ok) return fatal(io, loaded.error.map(({ text }) => text).join('; '));
  const file = names[0] ?? loaded.value.lookup('bounce_template_file') ?? '';
  const templates = readTemplates(file);
  if (!templates.ok) return fatal(io, templates.error);
  const texts = KINDS.map(([name, kind]) => {
    const template = templates.value[kind];
    if (isExpanded) {
      const text = templateText(template, loaded.value);
      return `expanded_${name}_text = <<EOF\n${text}EOF\n`;
    }
    const postmaster = template.postmasterSubject;
    const fields = [
      `Charset: ${template.charset}`,
      `From: ${template.from}`,
      `Subject: ${template.subject}`,
      ...(postmaster === '' ? [] : [`Postmaster-Subject: ${postmaster}`]),
    ];
    return `${name}_template = <<EOF\n${fields.join('\n')}\n\n${template.text}EOF\n`;
  });
  io.stdout(texts.join('\n'));
  return 0;
}

function readTemplates(file: string): ReturnType<typeof parseTemplates> {
  if (file === '') return ok(OWN_TEMPLATES);
  const source = readText(file);
  return source.ok ? parseTemplates(file, source.value) : source;
}

function readText(file: string): Result<string, string> {
  try {
    return ok(readFileSync(file, 'utf8'));
  } catch (error) {
    return err(`open ${file}: ${reasonOf(error)}`);
  }
}
