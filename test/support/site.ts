/**
 * A small site for end-to-end tests: one Postern with the three ports, users with policies, virtual
 * mailboxes, and a programmable next hop.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSink, type Sink } from '../../bench/load/sink.ts';
import { makeBootstrap } from '../../src/tls/bootstrap.ts';
import {
  freePorts,
  makeDirectory,
  type PosternInstance,
  removeDirectory,
  startPostern,
} from './instance.ts';

export const DOMAIN = 'example.org';
export const PASSWORD = 'Tr0ub4dor';

export type Site = {
  readonly instance: PosternInstance;
  readonly directory: string;
  readonly caFile: string;
  readonly ports: {
    readonly exchange: number;
    readonly submission: number;
    readonly submissions: number;
  };
  readonly sink: Sink;
  /** Texts of the messages in a user's mailbox. */
  readonly mailbox: (user: string) => string[];
  readonly stop: () => Promise<void>;
};

export type SiteOptions = {
  readonly main?: Readonly<Record<string, string>>;
  /** Next hop of off-site mail; default: a sink that takes everything. */
  readonly relayhost?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly masterRows?: string;
};

export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const directory = makeDirectory('postern-site-');
  const [exchange = 0, submission = 0, submissions = 0] = await freePorts(3);
  const certs = await makeBootstrap({
    directory: join(directory, 'certs'),
    names: [`mail.${DOMAIN}`, 'localhost'],
    addresses: ['127.0.0.1'],
    nowMs: Date.now(),
  });
  if (!certs.ok) throw new Error(certs.error);
  const sink = await openSink();
  mkdirSync(boxBase(directory));
  chmodSync(boxBase(directory), 0o777);
  const rootIds =
    process.getuid?.() === 0
      ? { virtual_uid_maps: 'static:65534', virtual_gid_maps: 'static:65534' }
      : {};
  const instance = await startPostern({
    directory,
    main: {
      mydomain: DOMAIN,
      myorigin: DOMAIN,
      mynetworks: '',
      mydestination: '',
      relayhost: options.relayhost ?? `[127.0.0.1]:${sink.port}`,
      virtual_mailbox_domains: DOMAIN,
      virtual_mailbox_base: '/',
      virtual_mailbox_maps: 'texthash:$config_directory/mailboxes',
      virtual_alias_maps: 'texthash:$config_directory/virtual',
      virtual_alias_domains: '',
      ...rootIds,
      smtpd_tls_chain_files: `${directory}/certs/server.key, ${directory}/certs/server.pem`,
      smtpd_tls_security_level: 'may',
      smtpd_tls_auth_only: 'yes',
      smtpd_sasl_type: 'postern',
      smtpd_relay_restrictions: 'permit_sasl_authenticated, reject_unauth_destination',
      sending_policies: '$config_directory/policies.cf',
      sending_policy_maps: 'texthash:$config_directory/sending_policy',
      minimal_backoff_time: '1s',
      maximal_backoff_time: '4s',
      queue_run_delay: '1s',
      ...options.main,
    },
    master: `127.0.0.1:${exchange} inet n - n - - smtpd
127.0.0.1:${submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:${submissions} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
qmgr unix n - n 300 1 qmgr
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
smtp unix - - n - - smtp
relay unix - - n - - smtp
virtual unix - n n - - virtual
local unix - n n - - local
error unix - - n - - error
${options.masterRows ?? ''}`,
    files: {
      passwd: ['staff', 'intern', 'device']
        .map((user) => `${user}@${DOMAIN}:{PLAIN}${PASSWORD}\n`)
        .join(''),
      mailboxes: ['staff', 'intern', 'device']
        .map((user) => `${user}@${DOMAIN} ${boxOf(directory, user)}/\n`)
        .join(''),
      virtual: `postmaster@${DOMAIN} staff@${DOMAIN}\nboth@${DOMAIN} staff@${DOMAIN}, intern@${DOMAIN}\n`,
      'policies.cf': `staff: offsite=permit senders=own\nintern: offsite=deny\ndevice: offsite=deny destinations=boss@customer.example\n`,
      sending_policy: ['staff', 'intern', 'device']
        .map((user) => `${user}@${DOMAIN} ${user}\n`)
        .join(''),
      ...options.files,
    },
  });
  return {
    instance,
    directory,
    caFile: join(directory, 'certs/ca.pem'),
    ports: { exchange, submission, submissions },
    sink,
    mailbox: (user) => {
      const folder = join(boxOf(directory, user), 'new');
      if (!existsSync(folder)) return [];
      return readdirSync(folder)
        .sort()
        .map((name) => readFileSync(join(folder, name), 'latin1'));
    },
    stop: async () => {
      await instance.stop();
      await sink.close();
      removeDirectory(directory);
      removeDirectory(boxBase(directory));
    },
  };
}

const boxBase = (directory: string): string => `${directory}-mail`;
const boxOf = (directory: string, user: string): string => join(boxBase(directory), user);
