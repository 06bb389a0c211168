/**
 * The command of a pipe(8) row of master.cf: `flags= user= directory= size= eol= null_sender= argv=`.
 *
 * Attributes are read until `argv=`; everything behind it is the command, which no shell ever sees.
 *
 * @see pipe(8)
 */
import { err, ok, type Result } from '../util/result.ts';

export type PipeSettings = {
  readonly flags: ReadonlySet<string>;
  /** `user` or `user:group`. */
  readonly user: string;
  readonly directory: string | undefined;
  /** 0: no limit. */
  readonly sizeLimit: number;
  readonly eol: string;
  readonly nullSender: string;
  readonly argv: readonly [string, ...string[]];
};

const FLAGS = 'BDFORXhqu.>';

export function parsePipeArguments(args: readonly string[]): Result<PipeSettings, string> {
  const at = args.findIndex((word) => word.startsWith('argv='));
  const [first = '', ...rest] = at < 0 ? [] : args.slice(at);
  const command = first.slice('argv='.length);
  if (command === '') return err('missing argv= attribute');
  const values = new Map<string, string>();
  for (const word of args.slice(0, at)) {
    const equals = word.indexOf('=');
    const name = word.slice(0, equals);
    if (equals <= 0) return err(`not an attribute: ${word}`);
    if (!KNOWN.has(name)) return err(`unknown attribute: ${name}`);
    values.set(name, word.slice(equals + 1));
  }
  if (values.has('chroot')) return err('chroot= is not available; use systemd RootDirectory=');
  const flags = values.get('flags') ?? '';
  const wrong = [...flags].find((flag) => !FLAGS.includes(flag));
  if (wrong !== undefined) return err(`unknown flag: ${wrong}`);
  const user = values.get('user') ?? '';
  if (user === '') return err('missing user= attribute');
  const size = values.get('size') ?? '0';
  if (!/^\d{1,15}$/.test(size)) return err(`bad size=: ${size}`);
  return ok({
    flags: new Set(flags),
    user,
    directory: values.get('directory'),
    sizeLimit: Number(size),
    eol: lineEnds(values.get('eol') ?? '\\n'),
    nullSender: values.get('null_sender') ?? 'MAILER-DAEMON',
    argv: [command, ...rest],
  });
}

const KNOWN: ReadonlySet<string> = new Set([
  'flags',
  'user',
  'directory',
  'size',
  'eol',
  'null_sender',
  'chroot',
]);

/** C escapes of line ends. */
const lineEnds = (text: string): string =>
  text.replaceAll('\\r', '\r').replaceAll('\\n', '\n').replaceAll('\\t', '\t');
