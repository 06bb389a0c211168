/** main.cf parameters that every part of the server uses. Defaults are Postfix's unless said. */
import { bool, int, text, time } from './descriptor.ts';

export const MAIN_PARAMS = {
  compatibility_level: text('0', 'Which generation of defaults applies.'),
  myhostname: text('', 'The host name of this mail system; empty: the system host name.'),
  mydomain: text(
    '',
    'The domain name of this mail system; empty: $myhostname after its first dot.',
  ),
  myorigin: text('$myhostname', 'The domain appended to addresses without one.'),
  mydestination: text(
    '$myhostname, localhost.$mydomain, localhost',
    'Domains delivered by $local_transport.',
  ),
  mynetworks: text('', 'Trusted clients; a list of network/mask patterns.'),
  mynetworks_style: text(
    '${{$compatibility_level} <level {2} ? {subnet} : {host}}',
    'How to make the default mynetworks.',
  ),
  inet_interfaces: text('all', 'Addresses this mail system listens on.'),
  inet_protocols: text('all', 'ipv4, ipv6 or all.'),
  relayhost: text('', 'Next hop of non-local mail.'),
  relay_domains: text(
    '${{$compatibility_level} <level {2} ? {$mydestination} : {}}',
    'Domains that mail is relayed to.',
  ),
  recipient_delimiter: text('', 'Characters that separate user names from extensions.'),
  mail_name: text('Postern', 'Name in the greeting, in Received: and in bounces.'),
  mail_version: text('0.1.0', 'Version of this mail system.'),
  mail_owner: text('postern', 'Account that owns the queue and runs most processes.'),
  queue_directory: text('/var/spool/postern', 'The queue lies in its subdirectory postern/.'),
  data_directory: text('/var/lib/postern', 'Directory of caches and compiled tables.'),
  config_directory: text('/etc/postern', 'The directory of main.cf; set by the command line.'),
  maillog_file: text('', 'Log file, or /dev/stdout; empty: the log of the system (syslog).'),
  maillog_file_permissions: text('0600', 'Mode of a log file that is made: 0600, 0640 or 0644.'),
  maillog_file_rotate_suffix: text(
    '%Y%m%d-%H%M%S',
    'What postern logrotate appends to the name, as in strftime(3).',
  ),
  maillog_file_compressor: text('gzip', 'What postern logrotate runs with the old file.'),
  syslog_facility: text('mail', 'Facility of the log lines where maillog_file is empty.'),
  syslog_name: text(
    '${multi_instance_name?{$multi_instance_name}:{postfix}}',
    'Process name prefix of log lines, as Postfix writes it, so that log tools work unchanged.',
  ),
  multi_instance_name: text('', 'Name of this instance.'),
  soft_bounce: bool('no', 'Turn permanent failures into temporary ones.'),
  message_size_limit: int('10240000', 'Largest message in bytes, line ends counted once; 0: none.'),
  queue_minfree: int('0', 'Free bytes below which mail is refused.'),
  max_idle: time('100s', 'How long an idle delivery agent process waits for work.'),
  default_process_limit: int('100', 'Default of the maxproc column of master.cf.'),
  auth_owner: text(
    'postern-auth',
    'Account of the process that checks passwords; $mail_owner when it does not exist.',
  ),
  default_worker_limit: int(
    '0',
    'Processes that share a listening row or a transport; 0: one for every two processors. <service>_worker_limit overrides it.',
  ),
  authorized_mailq_users: text('static:anyone', 'Who may list the queue.'),
  authorized_flush_users: text('static:anyone', 'Who may flush the queue.'),
  authorized_submit_users: text('static:anyone', 'Who may submit mail with sendmail.'),
  stop_time_limit: time('10s', 'How long a stopping server waits for its processes.'),
} as const;
