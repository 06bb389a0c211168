/** Configurations for test/compat/postconf.test.ts: ordinary, odd and faulty ones. */
import fc from 'fast-check';

export type Sample = {
  readonly what: string;
  readonly main: string;
  readonly master?: string;
};

const SMTPD = 'smtp inet n - n - - smtpd\n';

export const SAMPLES: readonly Sample[] = [
  { what: 'nothing at all', main: '' },
  {
    what: 'a plain site',
    main: `myhostname = mail.example.org
mydomain=example.org
myorigin = $mydomain
mydestination = $myhostname, localhost.$mydomain,
\tlocalhost
mynetworks = 127.0.0.0/8 [::1]/128
recipient_delimiter = +
compatibility_level = 3.6
`,
    master: `${SMTPD}pickup unix n - n 60 1 pickup\nqmgr unix n - n 300 1 qmgr\n`,
  },
  {
    what: 'continuation lines across comments, blank lines and a missing last line end',
    main: `smtpd_recipient_restrictions =
# who may
    permit_mynetworks

    permit_sasl_authenticated,
  # and who not
\treject_unauth_destination
relayhost = [hub.example]`,
  },
  { what: 'CRLF line ends', main: 'myorigin = example.org\r\nrelayhost =\r\n  [a.example]\r\n' },
  { what: 'tabs and blanks everywhere', main: 'myorigin\t =\t example.org  \t\nrelayhost=\t\n' },
  {
    what: 'text before the first logical line',
    main: '  stray = one\n  more\n# c\nmyorigin = b.example\n',
  },
  {
    what: 'the same name twice, differently and alike',
    main: 'myorigin = a\nmyorigin = b\nrelayhost = x\nrelayhost = x\n',
  },
  { what: 'a line without =', main: 'myorigin = a\nnonsense here\n' },
  { what: 'a line that begins with =', main: '= value\n' },
  { what: 'names of odd characters', main: 'my-own.name = a\nrelayhost = ${my-own}\n' },
  {
    what: 'parameters of the user, used, unused and missing',
    main: `my_hub = hub.example
my_other = $my_hub
unused_one = x
relayhost = [$my_hub]:$my_port
smtpd_restriction_classes = strict_ones, loose_ones
strict_ones = reject
misspelt_destination = a
`,
  },
  {
    what: 'parameters of the user in master.cf',
    main: 'my_networks = 10.0.0.0/8\nsmtpd_restriction_classes = strict_ones\nmyorigin = $only_here\n',
    master: `${SMTPD} -o mynetworks=$my_networks -o my_local=$my_missing -o strict_ones=reject
 -o smtpd_banner=$my_local -o wrong_name=1 -o only_here=x
`,
  },
  {
    what: 'names that services make',
    main: `slow_destination_concurrency_limit = 2
slow_destination_rate_delay = 1s
other_destination_rate_delay = 1s
list_time_limit = 60
slow_time_limit = 60
`,
    master: 'slow unix - - n - - smtp\nlist unix - n n - - pipe flags=R user=list argv=/bin/true\n',
  },
  {
    what: 'conditionals',
    main: `a_name = value
empty_name =
hollow_name = $empty_name
relayhost = \${a_name?{[$a_name]}:{none}}
myorigin = \${empty_name?x}\${empty_name:empty}\${hollow_name?{hollow is set}}
mydestination = \${{$a_name} == {value} ? { blanks kept } : {no}} \${a_name?{\${empty_name:{inner}}}}
always_bcc = \${a_name?bug:test} $$a_name \${{9} < {10}} \${{b} < {a}?{x}}
`,
  },
  {
    what: 'compatibility levels in a value',
    main: `compatibility_level = 3.6
relayhost = \${{$compatibility_level} <level {3.10} ? {old} : {new}}
myorigin = \${{3.6.1} >=level {3.6}}
`,
  },
  { what: 'level 1', main: 'compatibility_level = 1\n' },
  { what: 'level 2', main: 'compatibility_level = 2\n' },
  { what: 'a reference that is not closed', main: 'relayhost = a${myhostname\n' },
  { what: 'a dollar that names nothing', main: 'relayhost = $ x\n' },
  {
    what: 'a dollar at the end, in a name of the user',
    main: 'my_price = 5$\nmyorigin = $my_price\n',
  },
  { what: 'text after a group', main: 'relayhost = ${myhostname?{a}b}\n' },
  { what: 'text after the second group', main: 'relayhost = ${myhostname?{a}:{b}c}\n' },
  { what: 'an operator that does not exist', main: 'relayhost = ${{a} = {b}}\n' },
  { what: 'a missing right side', main: 'relayhost = ${{a} == b}\n' },
  { what: 'a bad operator suffix', main: 'relayhost = ${{1} <=lovel {2}}\n' },
  { what: 'a bad level', main: 'relayhost = ${{1} <=level {2.x}}\n' },
  { what: 'a bad name', main: 'relayhost = ${my host}\n' },
  { what: 'a loop', main: 'relayhost = x$relayhost\n' },
  {
    what: 'raw values',
    main: 'forward_path = $home/.forward$\nmailbox_command = /bin/x "$EXTENSION" ${broken\nluser_relay = $user@x\n',
  },
  { what: 'read-only parameters', main: 'process_name = me\nprocess_id = 5\n' },
  {
    what: 'old names',
    main: 'virtual_maps = hash:/etc/postfix/virtual\nfallback_relay = [x.example]\n',
  },
  {
    what: 'database clients with their settings in main.cf',
    main: `alias_maps = mysql:users, hash:/etc/aliases
users_hosts = localhost
users_dbname = mail
users_wrong = 1
virtual_alias_maps = proxy:ldap:people
people_search_base = dc=example
`,
  },
  {
    what: 'database clients with a file that is not there',
    main: 'alias_maps = mysql:/no/such/file.cf\n',
  },
  { what: 'a no-break space', main: 'myorigin =\u00a0example.org\u00a0\n' },
  {
    what: 'master.cf in every form',
    main: 'my_flag = yes\nmynetworks = 127.0.0.1\n',
    master: `# comment
smtp      inet  n       -       -       -       -       smtpd
 -v -o smtpd_banner=hi
# inside
  -o { smtpd_client_restrictions = permit_mynetworks, reject } -obiff=yes
[::1]:2525 inet n - y 10? 5 smtpd -vo my_flag=$mynetworks -D
uucp unix - n n - - pipe flags=Fqhu user=uucp
  argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)
list unix - n n - 0 pipe { flags=R } user=list argv=/bin/x {two words} { a }
policy unix-dgram n n n - 1 spawn user=nobody argv=/bin/true -o x
fast pass - - n - 1 smtpd
smtp inet n - n - 7 smtpd -o smtpd_banner=later
`,
  },
  { what: 'a master.cf line that is too short', main: '', master: `${SMTPD}smtp unix - - n\n` },
  { what: 'a bad type', main: '', master: 'smtp ine n - n - - smtpd\n' },
  { what: 'a bad private column', main: '', master: `${SMTPD}a unix x - n - - smtp\n` },
  { what: 'a bad wakeup column', main: '', master: 'a unix - - n 5x - smtp\n' },
  { what: 'a bad process limit', main: '', master: 'a unix - - n - 5? smtp\n' },
  { what: 'a brace that is not closed', main: '', master: `${SMTPD} -o { smtpd_banner = x\n` },
  { what: 'text after a brace', main: '', master: `${SMTPD} -o {smtpd_banner=x}y\n` },
  { what: 'an option in braces without =', main: '', master: `${SMTPD} -o { smtpd_banner }\n` },
  {
    what: 'a master.cf value that cannot be expanded',
    main: '',
    master: `${SMTPD} -o smtpd_banner=\${x\n`,
  },
];

/** Values of every form, nested. */
export const { text: anyValue } = fc.letrec<{ text: string; piece: string; group: string }>(
  (tie) => {
    const blank = fc.constantFrom('', ' ', '  ');
    const name = fc.constantFrom('full', 'empty', 'hollow', 'number', 'level', 'missing');
    const operator = fc.constantFrom('==', '!=', '<', '<=', '>', '>=');
    const levels = fc.constantFrom('<level', '<=level', '>level', '>=level', '==level', '!=level');
    const level = fc.constantFrom('{1}', '{3.6}', '{3.10}', '{3.6.1}', '{$level}');
    const test = fc.oneof(
      fc.tuple(blank, name, blank).map((parts) => parts.join('')),
      fc
        .tuple(tie('group'), blank, operator, blank, tie('group'), blank)
        .map((parts) => parts.join('')),
      fc.tuple(level, blank, levels, blank, level, blank).map((parts) => parts.join('')),
    );
    const choice = fc.oneof(
      fc.tuple(fc.constantFrom('?', ':'), blank, tie('group')).map((parts) => parts.join('')),
      fc
        .tuple(fc.constant('?'), tie('group'), blank, fc.constant(':'), blank, tie('group'), blank)
        .map((parts) => parts.join('')),
      fc.constantFrom('?plain word', ': plain $full', '??odd:text', '?{a}: tail $number'),
    );
    return {
      text: fc.array(tie('piece'), { maxLength: 4 }).map((parts) => parts.join('')),
      group: tie('text').map((text) => `{${text}}`),
      piece: fc.oneof(
        { maxDepth: 4, depthIdentifier: 'piece' },
        fc.constantFrom('word', ' ', '12', '9', '$$', '$full.', '${hollow}', '$(empty)', '( a b )'),
        name.map((each) => `$${each}`),
        fc.tuple(test, choice).map(([head, tail]) => `\${${head}${tail}}`),
        fc.tuple(tie('group'), operator, tie('group')).map((parts) => `\${${parts.join('')}}`),
      ),
    };
  },
);

const column = (...words: readonly string[]) => fc.constantFrom(...words);
const long = fc.array(column('flags=R', 'user=a', '${nexthop}', 'x', 'argv=/bin/a', '$sender,'), {
  minLength: 1,
  maxLength: 5,
});
const option = fc.oneof(
  column('-v', '-D', '-vD', '-bb=c', '-a=', '--x'),
  long.map((words) => `-o {b=${words.join('  ')}}`),
  long.map((words) => `-o { b = ${words.join(' ')} }`),
  column('-ob=c', '-o b=c', '-vo b=c', '-o b=$mydomain', '-o{a=b}'),
);
const argument = fc.oneof(
  column('argv=/usr/bin/something-long', '$nexthop!rmail', '($recipient)', '-a', '{a}x', 'a{b c}'),
  long.map((words) => `{ ${words.join(' ')} }`),
);

/** A master.cf line of any form; names are added by who uses it. */
export const anyRow: fc.Arbitrary<string> = fc
  .tuple(
    column('unix', 'fifo', 'unix-dgram', 'pass'),
    column('y', 'n', '-'),
    column('y', 'n', '-'),
    column('y', 'n', '-'),
    column('0', '60', '5?', '-', '-?'),
    column('0', '12', '-'),
    column('pipe', '/usr/lib/x/pipe', 'smtp', 'a-command-with-a-rather-long-name-of-its-own'),
    fc.array(option, { maxLength: 4 }).map((words) => words.join(' ')),
    fc
      .array(argument, { maxLength: 4 })
      .map((words) => (words.length > 0 ? `first ${words.join('\n\t')}` : '')),
  )
  .map((parts) => parts.join(' '));
