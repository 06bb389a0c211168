/**
 * The words of reports: ours, or those of bounce_template_file.
 *
 *   failure_template = <<EOF
 *   Charset: us-ascii
 *   From: MAILER-DAEMON (Mail Delivery System)
 *   Subject: Undelivered Mail Returned to Sender
 *   Postmaster-Subject: Postmaster Copy: Undelivered Mail
 *
 *   This is the mail system at host $myhostname.
 *   EOF
 *
 * `$name` in the text is any parameter; a time parameter takes a unit (`$delay_warning_time_hours`).
 * What a file does not define, or cannot define rightly, keeps our words.
 *
 * @see bounce(5)
 */
import type { Config } from '../conf/params.ts';
import { expand } from '../util/expand.ts';
import { err, ok, type Result } from '../util/result.ts';
import { parseTime } from '../util/time-unit.ts';

export type ReportKind = 'failed' | 'delayed' | 'delivered';

export type Template = {
  readonly charset: string;
  /** As the From: field shows it, the address not completed. */
  readonly from: string;
  readonly subject: string;
  readonly postmasterSubject: string;
  /** Not expanded; LF line ends. */
  readonly text: string;
};

export type Templates = Readonly<Record<ReportKind, Template>>;

const FROM = 'MAILER-DAEMON (Mail Delivery System)';
const HELP = 'If the reason does not help, ask <postmaster> and include this report.\n';
const SYSTEM = '\n                   The mail system\n';
const HELLO = 'This is the mail system at host $myhostname.\n\n';

export const OWN_TEMPLATES: Templates = {
  failed: {
    charset: 'us-ascii',
    from: FROM,
    subject: 'Undelivered Mail Returned to Sender',
    postmasterSubject: 'Postmaster Copy: Undelivered Mail',
    text: `${HELLO}Your message could not be delivered to one or more recipients.
They are listed below with the reason, and what you sent is attached.

${HELP}${SYSTEM}`,
  },
  delayed: {
    charset: 'us-ascii',
    from: FROM,
    subject: 'Delayed Mail (still being retried)',
    postmasterSubject: 'Postmaster Warning: Delayed Mail',
    text: `${HELLO}####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for $delay_warning_time_hours hour(s). It is kept
and tried again until it is $maximal_queue_lifetime_days day(s) old.

${HELP}${SYSTEM}`,
  },
  delivered: {
    charset: 'us-ascii',
    from: FROM,
    subject: 'Successful Mail Delivery Report',
    postmasterSubject: '',
    text: `${HELLO}Your message was delivered to the recipients listed below. A next mail
system that reports no deliveries may have taken it over from here.
${SYSTEM}`,
  },
};

const KINDS: ReadonlyMap<string, ReportKind | 'verify'> = new Map([
  ['failure_template', 'failed'],
  ['delay_template', 'delayed'],
  ['success_template', 'delivered'],
  // Reports of address probes have no text here.
  ['verify_template', 'verify'],
]);
const MAX_LINE = 998;

/** Our templates with those of a file in their place, or what is wrong with the file and where. */
export function parseTemplates(file: string, source: string): Result<Templates, string> {
  const found: Partial<Record<ReportKind | 'verify', Template>> = {};
  const lines = source.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (/^\s*(?:#|$)/.test(line)) continue;
    const where = `${file}, line ${at + 1}`;
    const head = /^(\w+)\s*=\s*<<\s*(\S+)\s*$/.exec(line);
    if (!head) return err(`${where}: expected "name_template = <<EOF"`);
    const kind = KINDS.get(head[1] ?? '');
    if (!kind) return err(`${where}: unknown template name: ${head[1]}`);
    const end = lines.indexOf(head[2] ?? '', at + 1);
    if (end < 0) return err(`${where}: no line "${head[2]}" ends this template`);
    const template = parseTemplate(lines.slice(at + 1, end), OWN_TEMPLATES[kindOf(kind)]);
    if (!template.ok) return err(`${where}: ${head[1]}: ${template.error}`);
    found[kind] = template.value;
    at = end;
  }
  const { failed, delayed, delivered } = { ...OWN_TEMPLATES, ...found };
  return ok({ failed, delayed, delivered });
}

const kindOf = (kind: ReportKind | 'verify'): ReportKind => (kind === 'verify' ? 'failed' : kind);

function parseTemplate(lines: readonly string[], own: Template): Result<Template, string> {
  const blank = lines.indexOf('');
  if (blank < 0) return err('missing empty line before the text');
  if (lines.some((line) => line.length > MAX_LINE)) return err('line longer than 998 characters');
  const fields = new Map<string, string>();
  for (const line of lines.slice(0, blank)) {
    const field = /^(charset|from|subject|postmaster-subject):\s*(.*?)\s*$/i.exec(line);
    if (!field) return err(`unknown header: ${line}`);
    fields.set((field[1] ?? '').toLowerCase(), field[2] ?? '');
  }
  const text = `${lines.slice(blank + 1).join('\n')}\n`;
  const charset = fields.get('charset') ?? own.charset;
  if (/^us-ascii$/i.test(charset) && /[^\x00-\x7f]/.test(text)) {
    return err('8-bit characters in a text whose Charset is us-ascii');
  }
  return ok({
    charset,
    from: fields.get('from') ?? own.from,
    subject: fields.get('subject') ?? own.subject,
    postmasterSubject: fields.get('postmaster-subject') ?? own.postmasterSubject,
    text,
  });
}

const UNITS: readonly (readonly [suffix: string, seconds: number])[] = [
  ['_seconds', 1],
  ['_minutes', 60],
  ['_hours', 3_600],
  ['_days', 86_400],
  ['_weeks', 604_800],
];

/** The text with its `$names`: values as they are, times in their unit, rounded down. */
export function templateText({ text }: Template, config: Config): string {
  const lookupName = (name: string): string | undefined => {
    const plain = config.lookup(name);
    if (plain !== undefined) return plain;
    const unit = UNITS.find(([suffix]) => name.endsWith(suffix));
    if (!unit) return undefined;
    const [suffix, seconds] = unit;
    const base = name.slice(0, -suffix.length);
    const value = timeOf(base, config);
    return value === undefined ? undefined : String(Math.floor(value / seconds));
  };
  return expand(text, lookupName, () => true).text;
}

const TIMES: ReadonlySet<string> = new Set([
  'delay_warning_time',
  'maximal_queue_lifetime',
  'bounce_queue_lifetime',
  'minimal_backoff_time',
  'maximal_backoff_time',
  'queue_run_delay',
]);

function timeOf(name: string, config: Config): number | undefined {
  if (!TIMES.has(name)) return undefined;
  const known: unknown = Reflect.get(config, name);
  if (typeof known === 'number') return known;
  const text = config.lookup(name);
  return text === undefined ? undefined : parseTime(text, 's');
}
