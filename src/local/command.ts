/**
 * Delivery to a command: mailbox_command, `|command` of an alias or .forward.
 *
 * What comes from the message reaches the shell by the environment only, every character outside
 * command_expansion_filter turned into `_`; the command line is the administrator's or the user's.
 *
 * @see local(8) "EXTERNAL COMMAND DELIVERY"
 */
import { runCommand } from '../agent/command.ts';
import { copyMessage, deliveryFields, fromLine } from '../agent/copy.ts';
import { withIdentity } from '../agent/identity.ts';
import { externalAddress } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { splitList } from '../util/text.ts';
import type { Job, LocalName, LocalUser } from './job.ts';
import { unprivileged } from './rights.ts';

const PATH = '/usr/local/bin:/usr/bin:/bin';

export async function deliverCommand(
  job: Job,
  name: LocalName,
  command: string,
  owner: LocalUser,
): Promise<Dsn> {
  const { config, nowMs } = job.parts;
  const user = unprivileged(job.parts, owner);
  if (!user || command === '') return dsn('4.3.5', 'mail system configuration error');
  const { request, recipient, deliveredTo } = job;
  const shell = config.local_command_shell === '' ? '/bin/sh' : config.local_command_shell;
  return withIdentity(undefined, async () => {
    const body = await job.openBody();
    if (!body.ok) return dsn('4.3.0', `cannot read message: ${body.error}`);
    const wantsHeader = splitList(config.prepend_delivered_header).includes('command');
    const prepend =
      fromLine(request.sender, nowMs()) +
      deliveryFields({
        sender: request.sender,
        original: recipient.original,
        deliveredTo: wantsHeader ? deliveredTo : '',
      });
    const result = await runCommand({
      argv: [shell, '-c', command],
      shown: command,
      environment: environmentOf(job, name, user),
      identity: user.identity,
      input: copyMessage(body.value, { prepend }),
      timeLimitMs: config.command_time_limit * 1000,
    });
    return result.status === '2.0.0' ? dsn('2.0.0', `delivered to command: ${command}`) : result;
  });
}

function environmentOf(
  { request, recipient, parts }: Job,
  { local, user, extension, domain }: LocalName,
  account: LocalUser,
): Record<string, string> {
  const { config, environment } = parts;
  const { client, helo, protocol, login } = request.origin;
  const outside = new RegExp(
    `[^${config.command_expansion_filter.replaceAll(/[\\\]^-]/g, '\\$&')}]`,
    'gu',
  );
  const safe = (text: string): string => text.replaceAll(outside, '_');
  const result: Record<string, string> = {
    PATH,
    HOME: account.home,
    LOGNAME: account.name,
    SHELL: account.shell === '' ? '/bin/sh' : account.shell,
    USER: safe(user),
    LOCAL: safe(local),
    EXTENSION: safe(extension),
    DOMAIN: safe(domain),
    RECIPIENT: safe(externalAddress(recipient.address)),
    ORIGINAL_RECIPIENT: safe(externalAddress(recipient.original)),
    SENDER: safe(externalAddress(request.sender)),
    ENVID: safe(request.envid),
    CLIENT_ADDRESS: safe(client.address),
    CLIENT_HOSTNAME: safe(client.name),
    CLIENT_HELO: safe(helo),
    CLIENT_PROTOCOL: safe(protocol),
  };
  if (login) {
    result['SASL_METHOD'] = safe(login.method);
    result['SASL_USERNAME'] = safe(login.username);
    result['SASL_SENDER'] = '';
  }
  for (const item of splitList(config.export_environment)) {
    const equals = item.indexOf('=');
    const key = equals < 0 ? item : item.slice(0, equals);
    const value = equals < 0 ? environment[item] : item.slice(equals + 1);
    if (value !== undefined && !(key in result)) result[key] = value;
  }
  return result;
}
