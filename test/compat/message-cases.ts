/** What test/compat/messages.test.ts sends, and how the servers are set up for it. */

export type MessageCase = {
  /** Names the case in failures; unique. */
  readonly name: string;
  readonly site: keyof typeof SITES;
  readonly mail: string;
  readonly rcpts: readonly string[];
  /** Header lines and body, LF line ends; an `X-Case:` field is put in front unless `isBare`. */
  readonly text: string;
  readonly isBare?: boolean;
};

/** Settings of the service that takes the message, beside those that every service has. */
export const SITES = {
  full: {
    canonical_maps:
      'inline:{ {cee@here.example=cee.long@far.example}, {@c.example=@canon.example}, ' +
      '{loop@here.example=loop@here.example}, {one@here.example=two}, {two@here.example=three}, ' +
      '{multi@here.example=first, second}, {ext=outside@far.example}, {"q q"@here.example="w w"@far.example} }',
    sender_canonical_maps:
      'inline:{ {ess@here.example=sender@far.example}, {both@here.example=s@far.example} }',
    recipient_canonical_maps:
      'inline:{ {are@here.example=rcpt@far.example}, {both@here.example=r@far.example} }',
    masquerade_domains: '!no.m.example, m.example, other.example',
    masquerade_exceptions: 'root, admin',
    virtual_alias_maps:
      'inline:{ {vee@here.example=v1@far.example, v2@far.example}, {chain@v.example=vee@here.example}, ' +
      '{self@v.example=self@v.example, copy@v.example}, {@all.example=catch@far.example}, {@dom.example=@far.example}, ' +
      '{plain=p@far.example}, {qv@v.example="a b"@far.example}, {dup@v.example=d@far.example, D@far.example, d@far.example} }',
    sender_bcc_maps: 'inline:{ {bccme@here.example=archive@far.example} }',
    recipient_bcc_maps: 'inline:{ {watched@here.example=vee} }',
    header_checks: 'regexp:$config_directory/header_checks',
    mime_header_checks: 'regexp:$config_directory/mime_checks',
    nested_header_checks: 'regexp:$config_directory/nested_checks',
    body_checks: 'regexp:$config_directory/body_checks',
    body_checks_size_limit: '300',
  },
  classes: {
    canonical_maps: 'inline:{ {cee@here.example=cee.long@far.example} }',
    canonical_classes: 'envelope_sender, header_recipient',
    sender_canonical_maps: 'inline:{ {ess@here.example=sender@far.example} }',
    sender_canonical_classes: 'header_sender',
    recipient_canonical_maps: 'inline:{ {are@here.example=rcpt@far.example} }',
    recipient_canonical_classes: 'envelope_recipient',
    masquerade_domains: 'm.example',
    masquerade_classes: 'envelope_sender, envelope_recipient, header_recipient',
    always_bcc: 'always@far.example',
    enable_original_recipient: 'no',
    propagate_unmatched_extensions: '',
    virtual_alias_maps:
      'inline:{ {vee@here.example=v1@far.example}, {wee@here.example=v1@far.example} }',
    undisclosed_recipients_header: 'To: undisclosed-recipients:;',
    message_drop_headers: 'x-drop, bcc',
  },
  strict: {
    strict_7bit_headers: 'yes',
    strict_8bitmime_body: 'yes',
    strict_mime_encoding_domain: 'yes',
    mime_nesting_limit: '3',
    message_reject_characters: '\\001',
    message_strip_characters: '\\002\\003',
    hopcount_limit: '5',
    header_size_limit: '2000',
  },
  remote: {
    local_header_rewrite_clients: '',
    canonical_maps: 'inline:{ {cee@here.example=x@far.example} }',
  },
  completed: {
    local_header_rewrite_clients: '',
    remote_header_rewrite_domain: 'remote.example',
    always_add_missing_headers: 'no',
  },
} as const satisfies Record<string, Readonly<Record<string, string>>>;

/** Files in the configuration directory of both servers. */
export const checkFiles = (sinkPort: number): Readonly<Record<string, string>> => ({
  header_checks: `
/^X-Reject: plain/ REJECT
/^X-Reject: text/ REJECT no such luck
/^X-Reject: dsn/ REJECT 5.9.9 with a status
/^X-Reject: defer/ REJECT 4.9.9 later
/^X-Warn: (.*)/ WARN saw $1
/^X-Info:/ INFO
/^X-Ignore:/ IGNORE
/^X-Strip:/ STRIP gone
/^X-Dunno:/ DUNNO
/^X-Ok:/ OK
/^X-Replace: (.*)/ REPLACE X-Replaced: [$1]
/^X-Bad-Replace:/ REPLACE not a header
/^X-To-From: (.*)/ REPLACE From: $1
/^X-Prepend: (.*)/ PREPEND X-Prepended: $1
/^X-Bad-Prepend:/ PREPEND nothing
/^X-Empty-Prepend:/ PREPEND
/^X-Hold:/ HOLD
/^X-Discard:/ DISCARD quietly
/^X-Redirect:/ REDIRECT elsewhere@far.example
/^X-Bad-Redirect:/ REDIRECT nobody
/^X-Bcc:/ BCC hbc@far.example
/^X-Bad-Bcc:/ BCC nobody
/^X-Filter:/ FILTER smtp:[127.0.0.1]:${sinkPort}
/^X-Bad-Filter:/ FILTER nowhere
/^X-Empty-Filter:/ FILTER
/^X-Pass:/ PASS
/^X-Unknown:/ FROBNICATE
/^X-Fold: a. b/ REPLACE X-Fold: folded
/^Subject: delete me/ IGNORE
/^Received: from dropped/ IGNORE
/^Content-Type: .*never-here/ REJECT
`,
  mime_checks: `
/^Content-Disposition:.*\\.exe/ REJECT attachment
/^Content-Description: (.*)/ REPLACE Content-Description: *$1*
/^X-Part: ignore/ IGNORE
/^X-Part: prepend/ PREPEND X-Before: part
/^MIME-Version: 9/ IGNORE
`,
  nested_checks: `
/^Subject: inner/ REPLACE Subject: INNER
/^X-Reject:/ REJECT nested
/^From:/ INFO
`,
  body_checks: `
/^reject this/ REJECT body
/^ignore this/ IGNORE
/^replace this (.*)/ REPLACE replaced $1
/^prepend this/ PREPEND before
/^warn this/ WARN
/^bcc this/ BCC bodybcc@far.example
/^redirect this/ REDIRECT bodyredirect@far.example
/^discard this/ DISCARD
/^strip this/ STRIP
/^hold this/ HOLD
/^--marker/ REPLACE --marked
`,
});

const HEAD = 'From: me@here.example\nTo: you@far.example\nSubject: x\n';

function cases(
  site: MessageCase['site'],
  group: string,
  list: readonly (Partial<MessageCase> | string)[],
): MessageCase[] {
  return list.map((each, at) => ({
    name: `${site}/${group}/${at}`,
    site,
    mail: 'me@here.example',
    rcpts: ['you@far.example'],
    text: `${HEAD}\nbody\n`,
    ...(typeof each === 'string' ? { text: each } : each),
  }));
}

/** Address headers: what rewriting makes of them. */
const ADDRESS_LISTS = [
  'root',
  'me@host',
  'me@here.example',
  'Me <root>',
  '"Me, Myself" <me@host>',
  'me (comment) @here.example',
  'root, joe, me@far.example',
  'root joe',
  'a <b@c> d <e@f>',
  '<>',
  '',
  '<@relay:user@far.example>',
  '@relay,@other:user@far.example',
  'group: root, a@b.example;',
  'group:;',
  'undisclosed-recipients:;',
  'host!user',
  'a!b!user',
  'user%host',
  'user%host@here.example',
  'user@',
  '@',
  '@host',
  'user@host.',
  'user@host..',
  '"quoted user"@here.example',
  '"a\\"b"@here.example',
  'a.b."c d"@here.example',
  'a..b@here.example',
  '.a@here.example',
  'user@[192.0.2.1]',
  'user@[IPv6:2001:db8::1]',
  'user@192.0.2.1',
  '"unclosed@here.example',
  '(unclosed me@here.example',
  '<me@here.example',
  'me@here.example>',
  'me@here.example,',
  ',me@here.example',
  'a,,b',
  'a;b',
  'a:b',
  'user @ here . example',
  'user@here.example (a (nested) comment)',
  '(c1) root (c2)',
  'Jürgen <root>',
  'jürgen',
  '=?utf-8?Q?J=C3=BCrgen?= <root>',
  'a@b@c',
  'root\n\t, joe\n\t, jim',
  'first.very.long.address.number.one, second.very.long.address.number.two, third.very.long.address.number.three',
  'Dr. Who <who>',
  'me@"here.example"',
  'me@here.example <me@there>',
  '<root> trailing',
  'root\\@x',
  'a|b',
  '[a]',
  `${'(comment) '.repeat(40)}root`,
  'cee@here.example',
  'Cee <CEE@here.example>, x@c.example',
  'one@here.example',
  'loop',
  'multi',
  'ext+more',
  '"q q"',
  'x@host.m.example, root@host.m.example',
  'x@a.no.m.example',
  'x@m.example',
  'x@deep.in.other.example',
  'ess@here.example',
  'are@here.example',
  'both@here.example',
  'u+e@c.example',
];

const MULTIPART = (parts: string, boundary = 'bb'): string =>
  `${HEAD}MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="${boundary}"\n\nprolog\n${parts}\n--${boundary}--\nepilog\n`;

const NESTED = (inner: string): string =>
  `${HEAD}MIME-Version: 1.0\nContent-Type: message/rfc822\n\n${inner}`;

const BYTES = { high: Buffer.from('ü').toString('latin1') };

export const CASES: readonly MessageCase[] = [
  ...cases(
    'full',
    'from',
    ADDRESS_LISTS.map((list) => ({ text: `From: ${list}\nTo: you@far.example\n\nbody\n` })),
  ),
  ...cases(
    'full',
    'to',
    ADDRESS_LISTS.map((list) => ({
      text: `From: me@here.example\nTo: ${list}\nCc: ${list}\n\nbody\n`,
    })),
  ),
  ...cases(
    'classes',
    'addresses',
    ADDRESS_LISTS.slice(-16).map((list) => ({
      text: `From: ${list}\nTo: ${list}\nReply-To: ${list}\n\nbody\n`,
    })),
  ),
  ...cases(
    'remote',
    'addresses',
    ADDRESS_LISTS.slice(0, 12).map((list) => ({ text: `From: ${list}\nTo: ${list}\n\nbody\n` })),
  ),
  ...cases(
    'completed',
    'addresses',
    ADDRESS_LISTS.slice(0, 30).map((list) => ({ text: `From: ${list}\nTo: ${list}\n\nbody\n` })),
  ),
  ...cases(
    'full',
    'fields',
    [
      'Subject: nothing else\n\nbody\n',
      'X-Only: x\n',
      '\nno header\n',
      'no header at all\n',
      ' starts with a blank\nA: b\n\nbody\n',
      'From someone Mon Jan 1\nFrom: a@b.example\n\nbody\n',
      '>From x\n>>From y\nTo: z\n\nbody\n',
      'Subject : spaced\nTo\t: you\n\nbody\n',
      'From: a@b.example\nbroken line\nTo: c\n\nbody\n',
      'Bcc: hidden@here.example\nTo: root\nReturn-Path: <x@y>\nContent-Length: 3\n\nbody\n',
      'Resent-From: root\nResent-Bcc: x\nTo: root\n\nbody\n',
      'Resent-To: root\nMessage-Id: <m@x>\nDate: d\nFrom: a\n\nbody\n',
      'Errors-To: root\nReturn-Receipt-To: joe\nDisposition-Notification-To: jim\nMail-Followup-To: a\nApparently-To: b\nSender: c\nX-To: d\n\nbody\n',
      'FROM: Root\nto: ROOT\nCC: x\n\nbody\n',
      'To: a\nTo: b\nFrom: c\nFrom: d\n\nbody\n',
      `Subject: ${'long '.repeat(150)}\n\nbody\n`,
      'To:\n a,\n b\nFrom:c\n\nbody\n',
      ': empty name\nFrom: x\n\nbody\n',
      '\n\n\nblank lines\n\n',
      '.\n..\n.dot\n',
      `Subject: ${BYTES.high}\nFrom: ${BYTES.high} <root>\n\n${BYTES.high}\n`,
    ].map((text) => ({ text, isBare: true })),
  ),
  ...cases('full', 'envelope', [
    { mail: '' },
    { mail: 'root' },
    { mail: 'MAILER-DAEMON' },
    { mail: 'cee@here.example' },
    { mail: 'one@here.example' },
    { mail: 'x@host.m.example' },
    { mail: 'root@host.m.example' },
    { mail: 'ess@here.example' },
    { mail: 'both@here.example' },
    { mail: 'u+e@c.example' },
    { mail: 'bccme@here.example' },
    { mail: '"q q"@here.example' },
    { mail: '@relay:u@far.example' },
    { rcpts: ['root'] },
    { rcpts: ['root@here.example', 'ROOT@here.example'] },
    { rcpts: ['cee@here.example'] },
    { rcpts: ['both@here.example'] },
    { rcpts: ['are@here.example', 'rcpt@far.example'] },
    { rcpts: ['vee@here.example'] },
    { rcpts: ['vee+x@here.example'] },
    { rcpts: ['chain@v.example'] },
    { rcpts: ['self@v.example'] },
    { rcpts: ['any@all.example', 'other@all.example'] },
    { rcpts: ['u+e@dom.example'] },
    { rcpts: ['"a b"@dom.example'] },
    { rcpts: ['plain'] },
    { rcpts: ['plain+x@here.example'] },
    { rcpts: ['qv@v.example'] },
    { rcpts: ['dup@v.example'] },
    { rcpts: ['watched@here.example'] },
    { rcpts: ['x@host.m.example'] },
    { rcpts: ['multi@here.example'] },
    { rcpts: ['u%far.example@here.example'] },
    { rcpts: ['far.example!u@here.example'] },
    { rcpts: ['"u@far.example"@here.example'] },
    { rcpts: ['you@far.example', 'vee@here.example', 'v1@far.example'] },
  ]),
  ...cases('full', 'missing-from', [
    { mail: 'root', text: 'Subject: x\n\nbody\n' },
    { mail: 'cee@here.example', text: 'Subject: x\n\nbody\n' },
    { mail: 'x@host.m.example', text: 'Subject: x\n\nbody\n' },
    { mail: '"q q"@here.example', text: 'Subject: x\n\nbody\n' },
    { mail: '', text: 'Subject: x\n\nbody\n' },
  ]),
  ...cases('classes', 'envelope', [
    { mail: 'cee@here.example', rcpts: ['cee@here.example'] },
    { mail: 'ess@here.example' },
    { rcpts: ['are@here.example'] },
    { mail: 'x@host.m.example', rcpts: ['y@host.m.example'] },
    { rcpts: ['vee@here.example', 'wee@here.example'] },
    { rcpts: ['vee+x@here.example'] },
    { mail: 'me@host', rcpts: ['you@host'] },
    { mail: '' },
    { text: 'X-Drop: 1\nBcc: a@b.example\nReturn-Path: <x>\nSubject: no recipients\n\nbody\n' },
  ]),
  ...cases(
    'full',
    'header-checks',
    [
      'X-Reject: plain',
      'X-Reject: text',
      'X-Reject: dsn',
      'X-Reject: defer',
      'X-Warn: it',
      'X-Info: it',
      'X-Ignore: it',
      'X-Strip: it',
      'X-Dunno: it',
      'X-Ok: it',
      'X-Replace: this',
      'X-Bad-Replace: this',
      'X-To-From: root',
      'X-Prepend: this',
      'X-Bad-Prepend: this',
      'X-Empty-Prepend: this',
      'X-Hold: it',
      'X-Discard: it',
      'X-Redirect: it',
      'X-Bad-Redirect: it',
      'X-Bcc: it',
      'X-Bad-Bcc: it',
      'X-Filter: it',
      'X-Bad-Filter: it',
      'X-Empty-Filter: it',
      'X-Pass: it\nX-Reject: plain',
      'X-Unknown: it',
      'X-Fold: a\n b',
      'Subject: delete me',
      'x-replace: lower',
      'X-Discard: it\nX-Reject: plain',
      'X-Redirect: it\nX-Bcc: it',
      'X-Bcc: it\nX-Redirect: it',
      'X-Replace : spaced',
      'MIME-Version: 9',
      'Content-Description: top',
      'Received: from dropped by x',
      `X-Replace: ${BYTES.high}`,
    ].map((field) => ({
      text: `From: me@here.example\nTo: you@far.example\n${field}\nSubject: x\n\nbody\n`,
    })),
  ),
  ...cases(
    'full',
    'body-checks',
    [
      'reject this',
      'ignore this',
      'replace this line',
      'prepend this',
      'warn this',
      'bcc this',
      'redirect this',
      'discard this',
      'strip this',
      'hold this',
      'a\nignore this\nb\nreplace this x\n\nend',
      `${'filler line\n'.repeat(40)}ignore this beyond the limit`,
      'IGNORE THIS',
      `replace this ${BYTES.high}`,
    ].map((body) => ({ text: `${HEAD}\n${body}\n` })),
  ),
  ...cases('full', 'mime', [
    MULTIPART(
      '--bb\nContent-Type: text/plain\nContent-Disposition: attachment; filename=x.exe\n\nboom',
    ),
    MULTIPART('--bb\nContent-Description: part\nX-Part: ignore\n\nignore this\nreplace this y'),
    MULTIPART('--bb\nX-Part: prepend\nX-Replace: header check does not apply\n\ntext'),
    MULTIPART(
      '--bb\nContent-Type: message/rfc822\n\nSubject: inner\nFrom: root\nX-Ignore: no\n\nignore this',
    ),
    MULTIPART(
      '--bb\nContent-Type: multipart/alternative; boundary=cc\n\n--cc\nContent-Description: deep\n\nx\n--cc--\n--bb\nContent-Description: second\n\ny',
    ),
    MULTIPART(
      '--bb\nContent-Type: multipart/digest; boundary=dd\n\n--dd\n\nSubject: inner\n\nx\n--dd--',
    ),
    MULTIPART('--bb trailing text\nContent-Description: a\n\nx', 'bb'),
    MULTIPART('--b\nContent-Description: not a boundary\n\nx'),
    MULTIPART('--bb\nno header here\nContent-Description: body text\n\nx'),
    MULTIPART('--bb\n\nContent-Description: body text\n'),
    MULTIPART('--bb\nContent-Description : spaced\n folded\n\nx'),
    NESTED('Subject: inner\nX-Part: ignore\n\nignore this\n'),
    NESTED('X-Reject: x\n\nbody\n'),
    NESTED('no header\n'),
    NESTED(
      'Content-Type: multipart/mixed; boundary=zz\nSubject: inner\n\n--zz\nContent-Description: n\n\nx\n--zz--\n',
    ),
    `${HEAD}Content-Type: multipart/mixed; boundary="unquoted \\"x\\""\n\n--unquoted "x"\nContent-Description: q\n\nx\n`,
    `${HEAD}Content-Type: multipart/mixed; (comment) boundary = (c) bb ; charset=x\n\n--bb\nContent-Description: c\n\nx\n`,
    `${HEAD}Content-Type: text/plain; boundary=bb\n\n--bb\nContent-Description: c\n\nx\n`,
    `${HEAD}Content-Type: multipart/mixed\n\n--\nContent-Description: c\n\n--marker\n`,
    `${HEAD}Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--b\nContent-Description: c\n\n--a\nContent-Description: d\n\nx\n`,
  ]),
  ...cases('strict', 'rules', [
    `Subject: ${BYTES.high}\n\nbody\n`,
    `${HEAD}\n${BYTES.high}\n`,
    `${HEAD}Content-Transfer-Encoding: 8bit\n\n${BYTES.high}\n`,
    `${HEAD}Content-Transfer-Encoding: base64\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n`,
    `${HEAD}Content-Transfer-Encoding: quoted-printable\nContent-Type: message/rfc822\n\nSubject: x\n\nx\n`,
    `${HEAD}Content-Transfer-Encoding: 8bit\nContent-Type: message/partial\n\nx\n`,
    `${HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\n\n${BYTES.high}\n--b--\n`,
    `${HEAD}Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: multipart/mixed; boundary=d\n\n--d\nContent-Type: multipart/mixed; boundary=e\n\n--e\nContent-Type: multipart/mixed; boundary=f\n\nx\n`,
    `${HEAD}\na\x01b\n`,
    `${HEAD}\na\x02b\x03c\n`,
    `Subject: a\x02b\n\nbody\n`,
    `${'Received: from x\n'.repeat(3)}\nbody\n`,
    `${'Received: from x\n'.repeat(4)}\nbody\n`,
    `${'Received: from x\n'.repeat(9)}\nbody\n`,
    `X-Long: ${'word '.repeat(300)}\n${' more text here\n'.repeat(100)}Subject: x\n\nbody\n`,
    `X-Long: x\n${' more text here\n'.repeat(200)}Subject: x\n\nbody\n`,
    `X-Long: ${'w'.repeat(900)}\n ${'v'.repeat(900)}\n ${'u'.repeat(900)}\nSubject: x\n\nbody\n`,
  ]),
];

/** Through an outgoing transport with smtp_generic_maps. */
export const GENERIC_MAPS =
  'inline:{ {cee@here.example=outside@isp.example}, {@lan.example=site@isp.example}, {@net.example=@wan.example}, ' +
  '{"q q"@here.example="w w"@isp.example}, {bare=b@isp.example}, {chain1@here.example=chain2@here.example}, {chain2@here.example=never@isp.example} }';
