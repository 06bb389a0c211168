/**
 * The files of a quickstart server: what `npm start` writes once and then uses again.
 *
 * main.cf and master.cf are written anew at each start, since they hold ports and paths; users,
 * passwords, policies, certificates and mail stay.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeHash } from '../auth/hash.ts';
import { makeBootstrap } from '../tls/bootstrap.ts';
import { ok, type Result } from '../util/result.ts';

export type Ports = {
  readonly exchange: number;
  readonly submission: number;
  readonly submissions: number;
};

export type Profile = { readonly configDirectory: string; readonly welcome: string };

type Login = { readonly user: string; readonly password: string };

export type ProfileOptions = {
  readonly directory: string;
  readonly certsDirectory: string;
  readonly ports: Ports;
  readonly relayhost: string;
  /** Account that runs the server; '' for the caller's. */
  readonly owner: string;
  readonly progress: (text: string) => void;
};

const DOMAIN = 'example.test';
const USERS: readonly (readonly [name: string, may: string])[] = [
  ['staff', 'off-site mail permitted, as themselves only'],
  ['intern', `mail within ${DOMAIN} only`],
  ['device', 'two addresses only: boss@customer.example, alerts@partner.example'],
];

const POLICIES = `# What each user may send: see docs/sending-policies.md.
staff:  offsite=permit  senders=own  recipients=100
intern: offsite=deny    senders=own
device: offsite=deny    destinations=boss@customer.example,alerts@partner.example  senders=own
`;

/** Make what is missing; the welcome text says how to use it. */
export async function writeProfile(options: ProfileOptions): Promise<Result<Profile, string>> {
  const etc = join(options.directory, 'etc');
  for (const name of ['etc', 'spool', 'data', 'mail', 'log']) {
    mkdirSync(join(options.directory, name), { recursive: true });
  }
  const certificates = await makeBootstrap({
    directory: options.certsDirectory,
    names: [`mail.${DOMAIN}`, 'localhost'],
    addresses: ['127.0.0.1', '::1'],
    nowMs: Date.now(),
    onProgress: (text) => options.progress(`${text} ...`),
  });
  if (!certificates.ok) return certificates;
  writeFileSync(join(etc, 'main.cf'), mainCf(options));
  writeFileSync(join(etc, 'master.cf'), masterCf(options.ports));
  writeOnce(join(etc, 'policies.cf'), POLICIES);
  writeOnce(
    join(etc, 'sending_policy'),
    USERS.map(([name]) => `${name}@${DOMAIN} ${name}\n`).join(''),
  );
  writeOnce(join(etc, 'mailboxes'), USERS.map(([name]) => `${name}@${DOMAIN} ${name}/\n`).join(''));
  writeOnce(
    join(etc, 'virtual'),
    `postmaster@${DOMAIN} staff@${DOMAIN}\nmailer-daemon@${DOMAIN} staff@${DOMAIN}\n`,
  );
  const logins = await makeLogins(options, etc);
  return ok({ configDirectory: etc, welcome: welcome(options, logins) });
}

/** Random passwords, kept in a private file so that every start can print them. */
async function makeLogins(options: ProfileOptions, etc: string): Promise<readonly Login[]> {
  const file = join(options.directory, 'logins');
  if (!existsSync(file) || !existsSync(join(etc, 'passwd'))) {
    options.progress('Making three users with random passwords ...');
    const made = USERS.map(([name]) => ({
      user: `${name}@${DOMAIN}`,
      password: randomBytes(12).toString('base64url'),
    }));
    const hashes = await Promise.all(made.map(({ password }) => makeHash(password)));
    const lines = made.map(({ user }, i) => `${user}:${hashes[i] ?? ''}\n`);
    writeFileSync(join(etc, 'passwd'), lines.join(''), { mode: 0o600 });
    writeFileSync(file, made.map(({ user, password }) => `${user} ${password}\n`).join(''), {
      mode: 0o600,
    });
    chmodSync(file, 0o600);
  }
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ user: line.split(' ')[0] ?? '', password: line.split(' ')[1] ?? '' }));
}

const mainCf = ({ directory, certsDirectory, relayhost, owner }: ProfileOptions): string => `\
# Written by npm start; edits are lost. Everything lies in this directory.
compatibility_level = 3.11
myhostname = mail.${DOMAIN}
mydomain = ${DOMAIN}
myorigin = ${DOMAIN}
queue_directory = ${directory}/spool
data_directory = ${directory}/data
maillog_file = ${directory}/log/maillog
inet_interfaces = 127.0.0.1
# On loopback everybody would be trusted.
mynetworks =
mydestination =
relayhost = ${relayhost}
virtual_mailbox_domains = ${DOMAIN}
virtual_mailbox_base = ${directory}/mail
virtual_mailbox_maps = hash:$config_directory/mailboxes
virtual_alias_maps = hash:$config_directory/virtual
virtual_alias_domains =
${owner ? `mail_owner = ${owner}\nauth_owner = ${owner}\n` : ''}${owner === 'root' ? 'virtual_uid_maps = static:0\nvirtual_gid_maps = static:0\nvirtual_minimum_uid = 0\n' : ''}\
smtpd_tls_chain_files = ${certsDirectory}/server.key, ${certsDirectory}/server.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_type = postern
smtpd_sasl_backends = passwd:$config_directory/passwd
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtp_tls_security_level = may
sending_policies = $config_directory/policies.cf
sending_policy_maps = hash:$config_directory/sending_policy
`;

const masterCf = (ports: Ports): string => `\
# service type  private unpriv  chroot  wakeup  maxproc command
127.0.0.1:${ports.exchange} inet n - n - - smtpd
127.0.0.1:${ports.submission} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:${ports.submissions} inet n - n - - smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
showq     unix  n - n -   - showq
smtp      unix  - - n -   - smtp
relay     unix  - - n -   - smtp
virtual   unix  - n n -   - virtual
local     unix  - n n -   - local
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
`;

function welcome(options: ProfileOptions, logins: readonly Login[]): string {
  const { ports, directory, certsDirectory } = options;
  const [first = { user: '', password: '' }] = logins;
  const rows = logins.map(({ user, password }) => {
    const may = USERS.find(([name]) => user.startsWith(`${name}@`))?.[1] ?? '';
    return `  ${user.padEnd(22)} ${password.padEnd(18)} ${may}`;
  });
  return `
Postern accepts mail on
  127.0.0.1:${ports.exchange}  mail exchange: for ${DOMAIN} only
  127.0.0.1:${ports.submission}  submission: STARTTLS, then log in
  127.0.0.1:${ports.submissions}  submissions: TLS from the start, then log in

Users, passwords, and what each may send
${rows.join('\n')}

Send a first message:
  printf 'From: ${first.user}\\nTo: intern@${DOMAIN}\\nSubject: first\\n\\nHello.\\n' | \\
  curl --silent --show-error --ssl-reqd --cacert ${shellWord(`${certsDirectory}/ca.pem`)} \\
    --url smtp://127.0.0.1:${ports.submission} --user '${first.user}:${first.password}' \\
    --mail-from ${first.user} --mail-rcpt intern@${DOMAIN} --upload-file -

It arrives in ${directory}/mail/intern/new/
Log: ${directory}/log/maillog     Configuration: ${directory}/etc     Stop: Ctrl-C
`;
}

/** As one word of a shell, whatever the directory is called. */
const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

function writeOnce(file: string, text: string): void {
  if (!existsSync(file)) writeFileSync(file, text);
}
