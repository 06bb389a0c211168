/** The pipe process: one command of master.cf, run as the user that its row names. */
import { type Identity, isRoot } from '../agent/identity.ts';
import { findGroup } from '../agent/passwd.ts';
import { serveAgent } from '../agent/service.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { findAccount } from '../util/accounts.ts';
import { parseTime } from '../util/time-unit.ts';
import { deliverPipe, type PipeParts } from './pipe.ts';
import { parsePipeArguments } from './settings.ts';

await startService<PipeParts>('pipe', {
  prepare: async (context) => openParts(context),
  serve: async (context, parts) =>
    serveAgent(context, (request, openBody) => deliverPipe(request, openBody, parts)),
});

function openParts(context: ServiceContext): PipeParts {
  const { config, service } = context;
  const settings = parsePipeArguments(service.args);
  if (!settings.ok) return failService(context, `master.cf, ${service.name}: ${settings.error}`);
  return {
    settings: settings.value,
    identity: identityOf(settings.value.user, context),
    recipient_delimiter: config.recipient_delimiter,
    export_environment: config.export_environment,
    environment: process.env,
    timeLimitMs: timeLimit(context) * 1000,
    service: service.name,
    nowMs: Date.now,
  };
}

/** `<service>_time_limit`, else command_time_limit. */
function timeLimit({ config, service }: ServiceContext): number {
  const text = config.lookup(`${service.name}_time_limit`);
  // A value that is no time is reported when the configuration is loaded.
  return (text === undefined ? undefined : parseTime(text, 's')) ?? config.command_time_limit;
}

/** Neither root nor the owner of the queue may run commands. Without root: the caller. */
function identityOf(text: string, context: ServiceContext): Identity | undefined {
  const [user = '', group] = text.split(':');
  if (!isRoot()) {
    context.logger.warning(`pipe: not root, user=${user} is not used`);
    return undefined;
  }
  const account = findAccount(user);
  if (!account) return failService(context, `user=${user}: no such account`);
  const gid = group ? findGroup(group) : account.gid;
  if (gid === undefined) return failService(context, `user=${text}: no such group`);
  const owner = findAccount(context.config.mail_owner);
  if (account.uid === 0 || gid === 0)
    return failService(context, `user=${text}: root is not allowed`);
  if (account.uid === owner?.uid) {
    return failService(context, `user=${text}: mail_owner must not run commands`);
  }
  return { uid: account.uid, gid, groups: [gid] };
}
