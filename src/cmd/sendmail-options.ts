/**
 * The command line of sendmail(1), read as getopt(3) reads it: flags may share a word, an option's
 * value may follow in the same word or the next, and the first word without `-` ends the options.
 *
 * What other sendmail programs know and Postfix ignores is ignored: -A -C -L -O -U -X -d -e -h -m -n
 * -p -x, and -o but for -oA, -oi and the delivery options.
 *
 * @see sendmail(1) of Postfix
 */
import type { Drop } from '../pickup/maildrop.ts';
import { err, ok, type Result } from '../util/result.ts';

export type SendmailOptions = {
  readonly mode:
    | 'deliver'
    | 'verify'
    | 'smtp'
    | 'queue'
    | 'flush'
    | 'aliases'
    | 'daemon'
    | 'ignored';
  readonly recipients: readonly string[];
  readonly sender?: string;
  readonly fullName: string;
  readonly extract: boolean;
  readonly dotEnds: boolean;
  readonly body: Drop['body'];
  readonly envid: string;
  readonly ret: Drop['ret'];
  readonly notify: Drop['notify'];
  /** -qIID, -qRSITE */
  readonly flushId?: string;
  readonly flushSite?: string;
  /** What is wrong and does no harm. */
  readonly warnings: readonly string[];
};

/** `isUsage`: the words `usage: sendmail [options]` follow. */
export type OptionFault = { readonly text: string; readonly isUsage: boolean };

/** Options with a value; the others are flags. */
const VALUED = new Set('ABCFLNOQRVXbdfhopqr'.split(''));
/** Their value, if any, stands in the same word. */
const OPTIONAL = new Set('doq'.split(''));
const IGNORED = new Set('ACGLOQUVXchmnpvx'.split(''));

type Draft = {
  -readonly [Name in keyof SendmailOptions]: SendmailOptions[Name];
} & { readonly warnings: string[] };

export function parseOptions(argv: readonly string[]): Result<SendmailOptions, OptionFault> {
  const draft: Draft = {
    mode: 'deliver',
    recipients: [],
    fullName: '',
    extract: false,
    dotEnds: true,
    body: '',
    envid: '',
    ret: '',
    notify: [],
    warnings: [],
  };
  const rest = readWords(argv, draft);
  if (!rest.ok) return rest;
  const options = { ...draft, recipients: rest.value };
  const fault = contradiction(options);
  return fault === undefined ? ok(options) : err({ text: fault, isUsage: false });
}

/** The words behind the options. */
function readWords(argv: readonly string[], draft: Draft): Result<readonly string[], OptionFault> {
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') return ok(argv.slice(at + 1));
    if (!word.startsWith('-') || word === '-') return ok(argv.slice(at));
    for (let i = 1; i < word.length; i += 1) {
      const flag = word[i] ?? '';
      if (!VALUED.has(flag)) {
        if (setFlag(draft, flag)) continue;
        return err({ text: `invalid option -- '${flag}'`, isUsage: true });
      }
      let value = word.slice(i + 1);
      if (value === '' && !OPTIONAL.has(flag)) {
        at += 1;
        const next = argv[at];
        if (next === undefined) {
          return err({ text: `option requires an argument -- '${flag}'`, isUsage: true });
        }
        value = next;
      }
      const fault = setValue(draft, flag, value);
      if (fault !== undefined) return err({ text: fault, isUsage: false });
      break;
    }
  }
  return ok([]);
}

function contradiction({
  mode,
  extract,
  recipients,
  flushId,
}: SendmailOptions): string | undefined {
  if (extract && mode !== 'deliver') return '-t can be used only in delivery mode';
  if (recipients.length === 0) return undefined;
  switch (mode) {
    case 'queue':
      return 'display queue mode requires no recipient';
    case 'flush':
      return `flush ${flushId === undefined ? 'queue' : 'queue_id'} requires no recipient`;
    case 'aliases':
      return 'alias initialization mode requires no recipient';
    case 'daemon':
      return 'daemon mode requires no recipient';
    case 'smtp':
      return 'stand-alone mode requires no recipient';
    case 'deliver':
    case 'verify':
    case 'ignored':
      return undefined;
  }
}

function setFlag(draft: Draft, flag: string): boolean {
  if (flag === 't') draft.extract = true;
  else if (flag === 'i') draft.dotEnds = false;
  else if (flag === 'I') draft.mode = 'aliases';
  else return IGNORED.has(flag);
  return true;
}

function setValue(draft: Draft, flag: string, value: string): string | undefined {
  switch (flag) {
    case 'f':
    case 'r':
      draft.sender = value;
      return undefined;
    case 'F':
      draft.fullName = value;
      return undefined;
    case 'B':
      if (!/^(7BIT|8BITMIME)$/i.test(value)) return '-B option needs 8BITMIME or 7BIT';
      draft.body = value.toUpperCase() === '7BIT' ? '7BIT' : '8BITMIME';
      return undefined;
    case 'V':
      draft.envid = value;
      return undefined;
    case 'R':
      if (/^(full|hdrs)$/i.test(value))
        draft.ret = value.toLowerCase() === 'full' ? 'FULL' : 'HDRS';
      else draft.warnings.push('bad -R option value -- ignored');
      return undefined;
    case 'N':
      setNotify(draft, value);
      return undefined;
    case 'o':
      if (value === 'i') draft.dotEnds = false;
      return undefined;
    case 'q':
      return setFlush(draft, value);
    case 'b':
      return setMode(draft, value);
    default:
      return undefined;
  }
}

/** `-q` tries everything; `-q15m` asks a daemon to do so now and then, which qmgr does anyway. */
function setFlush(draft: Draft, value: string): string | undefined {
  if (/^\d/.test(value)) {
    draft.mode = 'ignored';
    return undefined;
  }
  if (value.startsWith('I')) {
    if (value.length === 1) return 'specify: -qIqueueid';
    draft.flushId = value.slice(1);
  } else if (value.startsWith('R')) {
    if (value.length === 1) return 'specify: -qRsitename';
    draft.flushSite = value.slice(1);
  } else if (value !== '') return `-q${value.slice(0, 1)} is not implemented`;
  draft.mode = 'flush';
  return undefined;
}

/** A bad value leaves what the mail system does by itself. */
function setNotify(draft: Draft, value: string): void {
  const words = value
    .toUpperCase()
    .split(/[\s,]+/)
    .filter((word) => word !== '');
  const known = words.flatMap((word) =>
    word === 'NEVER' || word === 'SUCCESS' || word === 'FAILURE' || word === 'DELAY'
      ? ([word] as const)
      : [],
  );
  const isBad =
    known.length === 0 ||
    known.length !== words.length ||
    (known.includes('NEVER') && known.length > 1);
  if (isBad) draft.warnings.push('bad -N option value -- ignored');
  else draft.notify = known;
}

const MODES: ReadonlyMap<string, SendmailOptions['mode']> = new Map([
  ['m', 'deliver'],
  ['v', 'verify'],
  ['s', 'smtp'],
  ['p', 'queue'],
  ['i', 'aliases'],
  ['d', 'daemon'],
  ['l', 'daemon'],
  ['h', 'ignored'],
  ['H', 'ignored'],
]);

function setMode(draft: Draft, value: string): string | undefined {
  const mode = MODES.get(value);
  if (!mode) return `unsupported: -b${value}`;
  draft.mode = mode;
  return undefined;
}
