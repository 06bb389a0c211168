/** The local process: opens its tables with master's rights and keeps them for each delivery. */
import { openAccounts } from '../agent/passwd.ts';
import { serveAgent } from '../agent/service.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { type Maps, openMaps } from '../lookup/maps.ts';
import { lookupContext, sensitive } from '../lookup/open.ts';
import { openResolver } from '../rewrite/resolve.ts';
import type { LocalParts } from './job.ts';
import { deliverLocal } from './local.ts';

await startService<LocalParts>('local', {
  prepare: async (context) => openParts(context),
  serve: async (context, parts) =>
    serveAgent(context, (request, openBody) => deliverLocal(request, openBody, parts)),
});

type TableName =
  | 'alias_maps'
  | 'mailbox_command_maps'
  | 'mailbox_transport_maps'
  | 'fallback_transport_maps';

function openParts(context: ServiceContext): LocalParts {
  const { config, logger, service } = context;
  const tables = lookupContext(config, logger);
  const guarded = sensitive(tables);
  const open = (name: TableName, from = tables): Maps => {
    const maps = openMaps(name, config[name], from);
    return maps.ok ? maps.value : failService(context, reasons(maps.error));
  };
  const resolver = openResolver(config, tables);
  if (!resolver.ok) return failService(context, reasons(resolver.error));
  return {
    config,
    logger,
    service: service.name,
    aliases: open('alias_maps', guarded),
    mailboxCommands: open('mailbox_command_maps', guarded),
    mailboxTransports: open('mailbox_transport_maps'),
    fallbackTransports: open('fallback_transport_maps'),
    resolver: resolver.value,
    accounts: openAccounts(),
    environment: process.env,
    nowMs: Date.now,
  };
}

const reasons = (faults: readonly { readonly reason: string }[]): string =>
  faults.map(({ reason }) => reason).join('; ');
