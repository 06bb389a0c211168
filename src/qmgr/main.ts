/**
 * The qmgr process: keeper of the queue. Listens on private/qmgr for smtpd and agents, on
 * public/qmgr for commands; bounces and client counts (anvil) are made here too.
 */

import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { makeReporter } from '../bounce/bounce.ts';
import { OWN_TEMPLATES, parseTemplates, type Templates } from '../bounce/template.ts';
import { type Cleanup, openCleanup } from '../cleanup/cleanup.ts';
import { cleanRecipients, type RecipientParts } from '../cleanup/recipients.ts';
import { openCleanupTables } from '../cleanup/tables.ts';
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import type { Logger } from '../log/maillog.ts';
import { type LookupContext, lookupContext } from '../lookup/open.ts';
import { AnvilCounters } from '../net/limits.ts';
import { openUserCheck, spendProof, type UserCheck } from '../pickup/caller.ts';
import { removeLeftovers } from '../pickup/leftovers.ts';
import { openPickup } from '../pickup/pickup.ts';
import { openLmdbStore } from '../queue/lmdb/store.ts';
import { openRecipientTables } from '../rewrite/recipients.ts';
import { openResolver, type Resolver } from '../rewrite/resolve.ts';
import { findAccount } from '../util/accounts.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { QmgrParts } from './active.ts';
import { type Connections, openConnections } from './connections.ts';
import { openQmgr } from './qmgr.ts';
import { openShowq } from './showq.ts';
import { verifyDrop } from './verify.ts';

const MAINTAIN_MS = 60_000;
/** Age of an unfinished drop whose command must be gone. */
const LEFTOVER_MS = 7 * 86_400_000;

type Prepared = {
  readonly resolver: Resolver;
  readonly cleanup: Cleanup;
  /** Recipients of our own reports and of forwards: through virtual aliases. */
  readonly cleanRecipients: QmgrParts['cleanRecipients'];
  readonly recipients: RecipientParts;
  readonly templates: Templates;
  readonly authorized: Readonly<Record<'mailq' | 'flush' | 'submit', UserCheck>>;
};

await startService<Prepared>('qmgr', {
  prepare: async (context) => openTables(context, context.config) ?? failService(context, 'tables'),
  serve,
});

async function serve(context: ServiceContext, prepared: Prepared): Promise<void> {
  const { logger } = context;
  let { config } = context;
  let { resolver, cleanup, cleanRecipients: clean, recipients, templates, authorized } = prepared;
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
        cleanRecipients: clean,
        templates,
      })(input),
    cleanRecipients: (list) => clean(list),
    wantAgent: (transport) => context.sendMaster({ kind: 'agent-wanted', transport }),
    logger,
    loggerFor: context.loggerFor,
    nowMs: Date.now,
    exit: context.exit,
  });
  context.onMaster((message) => {
    if (message.kind === 'no-agent') qmgr.noAgent(message.transport, message.reason);
    if (message.kind === 'process-crashed') store.maintain();
    if (message.kind !== 'reload') return;
    const next = loadConfig(context.service.configDirectory, new Map(context.service.overrides));
    const tables = next.ok ? openTables(context, next.value) : undefined;
    if (!next.ok || !tables) return logger.error('reload: the old configuration stays in force');
    config = next.value;
    resolver = tables.resolver;
    cleanup = tables.cleanup;
    clean = tables.cleanRecipients;
    recipients = tables.recipients;
    templates = tables.templates;
    authorized = tables.authorized;
  });
  const pickup = openPickup({
    config: () => config,
    directory: 'maildrop',
    cleanup: () => cleanup,
    refusedTo: (uid) => authorized.submit(uid),
    verify: (drop) =>
      verifyDrop(drop, {
        recipients,
        resolve: resolver.resolve,
        templates,
        store,
        arrived: (entry) => qmgr.arrived(entry),
        logger: context.loggerFor('pickup'),
        nowMs: Date.now(),
      }),
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
    showq: openShowq(store, (id) => qmgr.isActive(id)),
    refusedTo: async (what, proof) =>
      authorized[what](proof === undefined ? undefined : await spendProof('maildrop', proof)),
  });
  const maintain = setInterval(() => {
    store.maintain();
    void pickup.run();
    void removeLeftovers('maildrop', Date.now() - LEFTOVER_MS);
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
  const authorized = openUserChecks(config, tables);
  if (!authorized.ok) {
    context.logger.error(authorized.error);
    return undefined;
  }
  const { virtualAliases } = recipients.value;
  const { addressContext } = resolver.value;
  const mapped = openCleanupTables(config, tables, addressContext);
  if (!mapped.ok) {
    for (const { reason } of mapped.error) context.logger.error(reason);
    return undefined;
  }
  const log = context.loggerFor('cleanup');
  const parts = { config, virtualAliases, addressContext, tables: mapped.value, log };
  return {
    resolver: resolver.value,
    cleanup: openCleanup(parts),
    cleanRecipients: (list) => cleanRecipients(list, false, parts),
    recipients: parts,
    templates: readTemplates(config, context.logger),
    authorized: authorized.value,
  };
}

function openUserChecks(
  config: Config,
  tables: LookupContext,
): Result<Prepared['authorized'], string> {
  // Without root everything belongs to whoever started the server.
  const owner = process.getuid?.() === 0 ? findAccount(config.mail_owner)?.uid : process.getuid?.();
  const open = (name: `authorized_${'mailq' | 'flush' | 'submit'}_users`) =>
    openUserCheck(name, config[name], tables, owner);
  const [mailq, flush, submit] = [
    open('authorized_mailq_users'),
    open('authorized_flush_users'),
    open('authorized_submit_users'),
  ];
  for (const each of [mailq, flush, submit]) {
    if (!each.ok) return err(each.error.map(({ reason }) => reason).join('; '));
  }
  if (!mailq.ok || !flush.ok || !submit.ok) return err('authorized users');
  return ok({ mailq: mailq.value, flush: flush.value, submit: submit.value });
}

/** A file that cannot be used must not keep mail from moving: a warning, and our own words. */
function readTemplates({ bounce_template_file: file }: Config, logger: Logger): Templates {
  if (file === '') return OWN_TEMPLATES;
  try {
    const parsed = parseTemplates(file, readFileSync(file, 'utf8'));
    if (parsed.ok) return parsed.value;
    logger.warning(`bounce_template_file: ${parsed.error}; using the built-in texts`);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    logger.warning(`bounce_template_file: ${error.message}; using the built-in texts`);
  }
  return OWN_TEMPLATES;
}

function listen(path: string, accept: (socket: Socket) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer(accept);
    server.once('error', reject);
    server.listen({ path }, resolve);
  });
}
