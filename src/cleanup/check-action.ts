/**
 * What a header_checks or body_checks table says about a line.
 *
 * Beside Postfix's actions `4NN text` and `5NN text` refuse the message with that code. Unlike Postfix,
 * which warns about such a result and takes the mail: files written for older mail systems use it.
 *
 * @see header_checks(5)
 */
import { fieldNameLength } from '../mail/header.ts';
import { type EnhancedStatus, type Reply, reply } from '../mail/reply.ts';

export type CheckAction =
  /** `text` is the refusal as the log shows it. */
  | { readonly kind: 'reject'; readonly reply: Reply; readonly text: string }
  | { readonly kind: 'log'; readonly word: 'warning' | 'info' | 'pass'; readonly text: string }
  | { readonly kind: 'discard' | 'hold' | 'strip'; readonly text: string }
  | { readonly kind: 'filter' | 'redirect' | 'bcc'; readonly text: string }
  | { readonly kind: 'prepend' | 'replace'; readonly text: string }
  | { readonly kind: 'ignore' }
  | { readonly kind: 'dunno' }
  /** A mistake in the table: the line is left alone, the warning logged. */
  | { readonly kind: 'bad'; readonly warning: string };

export type CheckContext = {
  readonly subject: 'header' | 'body' | 'content';
  /** The parameter, for warnings. */
  readonly parameter: string;
};

export function parseCheckAction(value: string, { subject, parameter }: CheckContext): CheckAction {
  const blank = value.search(/[ \t]/);
  const word = blank < 0 ? value : value.slice(0, blank);
  const text = blank < 0 ? '' : value.slice(blank).trimStart();
  const bad = (warning: string): CheckAction => ({ kind: 'bad', warning });
  const isField = fieldNameLength(text) > 0;
  switch (word.toUpperCase()) {
    case 'REJECT':
      return reject(text);
    case 'WARN':
      return { kind: 'log', word: 'warning', text };
    case 'INFO':
      return { kind: 'log', word: 'info', text };
    case 'PASS':
      return { kind: 'log', word: 'pass', text };
    case 'DISCARD':
      return { kind: 'discard', text };
    case 'HOLD':
      return { kind: 'hold', text };
    case 'STRIP':
      return { kind: 'strip', text };
    case 'IGNORE':
      return { kind: 'ignore' };
    case 'DUNNO':
    case 'OK':
      return { kind: 'dunno' };
    case 'FILTER':
      if (text === '') return bad(`missing FILTER command argument in ${parameter} map`);
      if (text.includes(':')) return { kind: 'filter', text };
      return bad(`bad FILTER command ${text} in ${parameter} -- need transport:destination`);
    case 'REDIRECT':
      if (text.includes('@')) return { kind: 'redirect', text };
      return bad(`bad REDIRECT target "${text}" in ${parameter} map -- need user@domain`);
    case 'BCC':
      if (text.includes('@')) return { kind: 'bcc', text };
      return bad(`bad BCC address "${text}" in ${parameter} map -- need user@domain`);
    case 'PREPEND':
    case 'REPLACE': {
      const name = word.toUpperCase();
      if (text === '') return bad(`${name} action without text in ${parameter} map`);
      if (subject !== 'header' || isField) {
        return { kind: name === 'PREPEND' ? 'prepend' : 'replace', text };
      }
      const need = 'need "headername: headervalue"';
      return bad(`bad ${name} header text "${text}" in ${parameter} map -- ${need}`);
    }
    default:
      if (/^[45]\d\d$/.test(word)) return rejectWith(Number(word), text);
      return bad(`unknown command in ${parameter} map: ${value}`);
  }
}

const STATUS = /^([245])\.(\d{1,3})\.(\d{1,3})(?:\s+|$)([\s\S]*)$/;

/** The text may begin with a status: 4.x.x defers, everything else refuses. */
function reject(text: string): CheckAction {
  if (text === '') return rejection(550, '5.7.1', 'message content rejected');
  const [, digit, subject, detail, rest = ''] = STATUS.exec(text) ?? [];
  if (digit === undefined) return rejection(550, '5.7.1', text);
  const tail = `${Number(subject)}.${Number(detail)}` as const;
  return digit === '5' ? rejection(550, `5.${tail}`, rest) : rejection(451, `4.${tail}`, rest);
}

function rejectWith(code: number, text: string): CheckAction {
  const cls = code >= 500 ? 5 : 4;
  const [, , subject = '7', detail = '1', rest] = STATUS.exec(text) ?? [];
  const status: EnhancedStatus = `${cls}.${Number(subject)}.${Number(detail)}`;
  return rejection(code, status, rest ?? (text === '' ? 'message content rejected' : text));
}

const rejection = (code: number, status: EnhancedStatus, text: string): CheckAction => ({
  kind: 'reject',
  reply: reply(code, status, text),
  text: `${status} ${text}`,
});
