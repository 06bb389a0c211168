/**
 * The qmgr process: keeper of the queue. Listens on private/qmgr for smtpd and agents, on
 * public/qmgr for commands; bounces and client counts (anvil) are made here too.
 */
import { createServer, type Socket } from 'node:net';
import { type BounceParts, makeReporter } from '../bounce/bounce.ts';
import { type Cleanup, openCleanup } from '../cleanup/cleanup.ts';
import { cleanRecipients } from '../cleanup/recipients.ts';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { lookupContext } from '../lookup/open.ts';
import { AnvilCounters } from '../net/limits.ts';
import { openPickup } from '../pickup/pickup.ts';
import { openLmdbStore } from '../queue/lmdb/store.ts';
import { openRecipientTables } from '../rewrite/recipients.ts';
import { openResolver, type Resolver } from '../rewrite/resolve.ts';
import { type Connections, openConnections } from './connections.ts';
import { openQmgr } from './qmgr.ts';

const MAINTAIN_MS = 60_000;

type Prepared = {
  readonly resolver: Resolver;
  readonly cleanup: Cleanup;
  /** Where a report goes: its address through virtual aliases. */
  readonly addressees: NonNullable<BounceParts['cleanRecipients']>;
};

await startService<Prepared>('qmgr', {
  prepare: async (context) => openTables(context, context.config) ?? failService(context, 'tables'),
  serve,
});

async function serve(context: ServiceContext, prepared: Prepared): Promise<void> {
  const { logger } = context;
  let { config } = context;
  let { resolver, cleanup, addressees } = prepared;
  const opened = await openLmdbStore({
    directory: 'queue',
    minFreeBytes: config.queue_minfree,
    idForm: config.enable_long_queue_ids ? 'long' : 'short',
    logger,
    create: true,
  });
  if (!opened.ok) return failService(context, `queue: ${opened.error.reason}`);
  const store = opened.value;
  const recovered = await store.recover();
  if (!recovered.ok) return failService(context, `queue: ${recovered.error.reason}`);
  const { entries, corrupt, orphans } = recovered.value;
  logger.info(
    `queue: ${entries} messages, ${corrupt} set aside, ${orphans} body files without a message removed`,
  );

  const qmgr = openQmgr({
    config: () => config,
    store,
    resolve: (sender, recipient) => resolver.resolve(sender, recipient),
    compose: (input) =>
      makeReporter({
        config,
        nowMs: Date.now(),
        newId: () => store.begin().id,
        logger,
        cleanRecipients: addressees,
      })(input),
    wantAgent: (transport) => context.sendMaster({ kind: 'agent-wanted', transport }),
    logger,
    loggerFor: context.loggerFor,
    nowMs: Date.now,
    exit: context.exit,
  });
  context.onMaster((message) => {
    if (message.kind === 'no-agent') qmgr.noAgent(message.transport, message.reason);
    if (message.kind !== 'reload') return;
    const next = loadConfig(context.service.configDirectory, new Map(context.service.overrides));
    const tables = next.ok ? openTables(context, next.value) : undefined;
    if (!next.ok || !tables) return logger.error('reload: the old configuration stays in force');
    config = next.value;
    resolver = tables.resolver;
    cleanup = tables.cleanup;
    addressees = tables.addressees;
  });
  const pickup = openPickup({
    config: () => config,
    directory: 'maildrop',
    cleanup: () => cleanup,
    store,
    arrived: (entry) => qmgr.arrived(entry),
    logger: context.loggerFor('pickup'),
    cleanupLogger: context.loggerFor('cleanup'),
    nowMs: Date.now,
  });
  const connections: Connections = openConnections({
    qmgr,
    pickup,
    store,
    logger,
    anvil: new AnvilCounters(config.anvil_rate_time_unit * 1000),
    nowMs: Date.now,
  });
  const maintain = setInterval(() => {
    store.maintain();
    void pickup.run();
  }, MAINTAIN_MS);
  context.onDrain(async () => {
    clearInterval(maintain);
    await qmgr.drain();
    connections.close();
    await store.close();
  });
  await listen('private/qmgr', (socket) => connections.accept(socket, 'private'));
  await listen('public/qmgr', (socket) => connections.accept(socket, 'public'));
  void qmgr.scan();
  void pickup.run();
}

function openTables(context: ServiceContext, config: Config): Prepared | undefined {
  const tables = lookupContext(config, context.logger);
  const resolver = openResolver(config, tables);
  const recipients = resolver.ok ? openRecipientTables(config, tables, resolver.value) : resolver;
  if (!resolver.ok || !recipients.ok) {
    const faults = resolver.ok ? (recipients.ok ? [] : recipients.error) : resolver.error;
    for (const { reason } of faults) context.logger.error(reason);
    return undefined;
  }
  const { virtualAliases } = recipients.value;
  const { addressContext } = resolver.value;
  const parts = { config, virtualAliases, addressContext };
  return {
    resolver: resolver.value,
    cleanup: openCleanup(parts),
    addressees: (list) => cleanRecipients(list, false, parts),
  };
}

function listen(path: string, accept: (socket: Socket) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer(accept);
    server.once('error', reject);
    server.listen({ path }, resolve);
  });
}
