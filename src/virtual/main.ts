/** The virtual process: opens its tables with master's rights and keeps them for each delivery. */
import { serveAgent } from '../agent/service.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { type Maps, openMaps } from '../lookup/maps.ts';
import { lookupContext, sensitive } from '../lookup/open.ts';
import { openClasses } from '../rewrite/classes.ts';
import { deliverVirtual, type VirtualParts } from './virtual.ts';

await startService<VirtualParts>('virtual', {
  prepare: async (context) => openParts(context),
  serve: async (context, parts) =>
    serveAgent(context, (request, openBody) => deliverVirtual(request, openBody, parts)),
});

function openParts(context: ServiceContext): VirtualParts {
  const { config, logger, service } = context;
  const tables = lookupContext(config, logger);
  const guarded = sensitive(tables);
  const open = (name: 'virtual_mailbox_maps' | 'virtual_uid_maps' | 'virtual_gid_maps'): Maps => {
    const maps = openMaps(name, config[name], guarded);
    return maps.ok ? maps.value : failService(context, reasons(maps.error));
  };
  const classes = openClasses(config, tables);
  if (!classes.ok) return failService(context, reasons(classes.error));
  return {
    config,
    logger,
    service: service.name,
    nowMs: Date.now,
    mailboxes: open('virtual_mailbox_maps'),
    uids: open('virtual_uid_maps'),
    gids: open('virtual_gid_maps'),
    addressContext: {
      recipient_delimiter: config.recipient_delimiter,
      isLocal: (domain) => classes.value.isOrigin(domain),
    },
  };
}

const reasons = (faults: readonly { readonly reason: string }[]): string =>
  faults.map(({ reason }) => reason).join('; ');
