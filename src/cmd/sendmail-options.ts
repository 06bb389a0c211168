/**
 * The command line of sendmail(1), read as getopt(3) reads it: flags may share a word, and an
 * option's value may follow in the same word or the next.
 */
import type { Drop } from '../pickup/maildrop.ts';
import { err, ok, type Result } from '../util/result.ts';

export type SendmailOptions = {
  readonly mode: 'deliver' | 'smtp' | 'queue' | 'flush' | 'aliases' | 'daemon';
  readonly recipients: readonly string[];
  readonly sender?: string;
  readonly fullName: string;
  readonly extract: boolean;
  readonly dotEnds: boolean;
  readonly body: Drop['body'];
  readonly envid: string;
  readonly ret: Drop['ret'];
  readonly notify: Drop['notify'];
  readonly flushId?: string;
};

/** Options with a value; the others are flags. */
const VALUED = new Set('ABCFLNOQRVXbdfhopqr'.split(''));
const IGNORED = new Set('ACGLOQUVXchmnpvx'.split(''));

type Draft = { -readonly [Name in keyof SendmailOptions]: SendmailOptions[Name] };

export function parseOptions(argv: readonly string[]): Result<SendmailOptions, string> {
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
  };
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') return ok({ ...draft, recipients: argv.slice(at + 1) });
    if (!word.startsWith('-') || word === '-') return ok({ ...draft, recipients: argv.slice(at) });
    for (let i = 1; i < word.length; i += 1) {
      const flag = word[i] ?? '';
      if (!VALUED.has(flag)) {
        const fault = setFlag(draft, flag);
        if (fault) return err(fault);
        continue;
      }
      let value = word.slice(i + 1);
      const isOptional = flag === 'q' || flag === 'o' || flag === 'd';
      if (value === '' && !isOptional) {
        at += 1;
        if (at >= argv.length) return err(`option requires an argument -- '${flag}'`);
        value = argv[at] ?? '';
      }
      const fault = setValue(draft, flag, value);
      if (fault) return err(fault);
      break;
    }
  }
  return ok(draft);
}

function setFlag(draft: Draft, flag: string): string | undefined {
  if (flag === 't') draft.extract = true;
  else if (flag === 'i') draft.dotEnds = false;
  else if (flag === 'I') draft.mode = 'aliases';
  else if (!IGNORED.has(flag)) return `invalid option -- '${flag}'`;
  return undefined;
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
      if (!/^(7BIT|8BITMIME)$/i.test(value)) return `bad -B value: ${value}`;
      draft.body = value.toUpperCase() === '7BIT' ? '7BIT' : '8BITMIME';
      return undefined;
    case 'V':
      draft.envid = value;
      return undefined;
    case 'R':
      if (!/^(full|hdrs)$/i.test(value)) return `bad -R value: ${value}; write full or hdrs`;
      draft.ret = value.toLowerCase() === 'full' ? 'FULL' : 'HDRS';
      return undefined;
    case 'N':
      return setNotify(draft, value);
    case 'o':
      if (value === 'i') draft.dotEnds = false;
      return undefined;
    case 'q':
      draft.mode = 'flush';
      if (value.startsWith('I')) draft.flushId = value.slice(1);
      return undefined;
    case 'b':
      return setMode(draft, value);
    default:
      return undefined;
  }
}

function setNotify(draft: Draft, value: string): string | undefined {
  const words = value.toUpperCase().split(',');
  const known = words.flatMap((word) =>
    word === 'NEVER' || word === 'SUCCESS' || word === 'FAILURE' || word === 'DELAY'
      ? ([word] as const)
      : [],
  );
  const isBad = known.length !== words.length || (known.includes('NEVER') && known.length > 1);
  if (isBad) return `bad -N value: ${value}; write never, or success, failure, delay`;
  draft.notify = known;
  return undefined;
}

const MODES: ReadonlyMap<string, SendmailOptions['mode']> = new Map([
  ['m', 'deliver'],
  ['s', 'smtp'],
  ['p', 'queue'],
  ['i', 'aliases'],
  ['d', 'daemon'],
  ['l', 'daemon'],
]);

function setMode(draft: Draft, value: string): string | undefined {
  const mode = MODES.get(value);
  if (!mode) return `unsupported mode -b${value}`;
  draft.mode = mode;
  return undefined;
}
