/** main.cf parameters of bounces and of the local, virtual and pipe agents. Defaults are Postfix's. */
import { bool, int, rawText, text, time } from './descriptor.ts';

/** Characters that stay in values given to a shell; every other becomes `_`. */
const SAFE = '1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

export const AGENT_PARAMS = {
  bounce_size_limit: int(
    '50000',
    'A larger message is returned as its header only. Bytes, line ends counted as two.',
    1,
  ),
  double_bounce_sender: text('double-bounce', 'Sender of notices about bounces; never bounced.'),
  notify_classes: text(
    'resource, software',
    'What the postmaster is told: bounce, 2bounce, delay. The other classes are accepted and not used.',
  ),
  bounce_notice_recipient: text('postmaster', 'Who gets copies of bounces: notify_classes bounce.'),
  '2bounce_notice_recipient': text('postmaster', 'Who gets bounces that could not be delivered.'),
  delay_notice_recipient: text('postmaster', 'Who gets copies of delay notices.'),
  bounce_template_file: text('', 'Texts of bounces and other reports, as in bounce(5).'),

  mailbox_size_limit: int('51200000', 'Largest mailbox file or maildir message; 0: none.'),
  home_mailbox: text('', 'Mailbox below the home directory; with a final / a maildir.'),
  mail_spool_directory: text('/var/mail', 'Directory of mailbox files; with a final / maildirs.'),
  mailbox_transport: text('', 'transport:nexthop that delivers in place of local mailboxes.'),
  mailbox_transport_maps: text('', 'Tables from user to mailbox transport.'),
  fallback_transport: text('', 'transport:nexthop for users without an account.'),
  fallback_transport_maps: text('', 'Tables from user without an account to transport:nexthop.'),
  mailbox_command: rawText('', 'Command for local delivery, run by the shell as the user.'),
  mailbox_command_maps: text('', 'Tables from user to mailbox command.'),
  luser_relay: rawText('', 'Address for unknown users; knows $user, $extension, $domain, $local.'),
  forward_path: rawText(
    '$home/.forward${recipient_delimiter}${extension}, $home/.forward',
    'Files of user aliases; the first that exists is used.',
  ),
  allow_mail_to_commands: text(
    'alias, forward',
    'Where |command is allowed: alias, forward, include.',
  ),
  allow_mail_to_files: text('alias, forward', 'Where /file is allowed: alias, forward, include.'),
  default_privs: text('nobody', 'Account for commands and files named by root-owned aliases.'),
  command_time_limit: time('1000s', 'Limit of a command run by local.'),
  command_expansion_filter: text(SAFE, 'Characters allowed in the environment of commands.'),
  local_command_shell: text('', 'Shell for local commands; empty: /bin/sh.'),
  export_environment: text('TZ MAIL_CONFIG LANG', 'Environment that commands inherit.'),
  deliver_lock_attempts: int('20', 'Attempts to lock a mailbox.', 1),
  deliver_lock_delay: time('1s', 'Time between two of them.'),
  stale_lock_time: time('500s', 'Age of a mailbox lock file that is taken away.'),
  strict_mailbox_ownership: bool('yes', 'A mailbox file must belong to its recipient.'),
  require_home_directory: bool('no', 'Defer mail while the home directory is missing.'),
  prepend_delivered_header: text(
    'command, file, forward',
    'Deliveries of local that get a Delivered-To: header.',
  ),
  expand_owner_alias: bool('no', 'Use what owner-list expands to as the new sender.'),

  virtual_mailbox_base: text('', 'Directory that virtual mailboxes lie in.'),
  virtual_mailbox_limit: int(
    '51200000',
    'Largest virtual mailbox file or maildir message; 0: none.',
  ),
  virtual_uid_maps: text('', 'Tables from recipient to numerical user id.'),
  virtual_gid_maps: text('', 'Tables from recipient to numerical group id.'),
  virtual_minimum_uid: int(
    '100',
    'Smallest user id that virtual_uid_maps may give. Unlike Postfix: 0 allows root.',
  ),
} as const;
