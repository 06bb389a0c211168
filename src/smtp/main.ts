/**
 * The smtp process: serves rows with the commands smtp and lmtp (`relay` is such a row).
 *
 * Opens password tables with master's rights, the queue for reading as mail_owner.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { runAgent } from '../agent/agent.ts';
import type { Config } from '../conf/params.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { openHostsFile } from '../dns/hosts.ts';
import { openResolver } from '../dns/resolver.ts';
import { type Maps, openMaps } from '../lookup/maps.ts';
import { lookupContext } from '../lookup/open.ts';
import type { DeliveryRequest } from '../mail/stages.ts';
import { openLmdbStore } from '../queue/lmdb/store.ts';
import type { Body } from '../queue/store.ts';
import { ownAddresses } from '../rewrite/own-addresses.ts';
import { err, ok, type Result } from '../util/result.ts';
import { openSessionCache } from './cache.ts';
import { openDeadlines } from './deadline.ts';
import { deliver } from './deliver.ts';
import { passwordLookup } from './login.ts';
import { type DeliverySettings, deliverySettings, nameServers } from './settings.ts';

/** Deliveries at the same time in one process. */
const SLOTS = 100;
const STORE_WAIT_MS = 10_000;

type Prepared = { readonly settings: DeliverySettings; readonly passwords: Maps | undefined };

async function prepare(context: ServiceContext): Promise<Prepared> {
  const { config, service } = context;
  const lmtp = service.command === 'lmtp';
  const settings = deliverySettings(config, lmtp);
  if (!settings.ok) return failService(context, settings.error);
  const name = lmtp ? 'lmtp_sasl_password_maps' : 'smtp_sasl_password_maps';
  if (!settings.value.saslEnabled) return { settings: settings.value, passwords: undefined };
  const passwords = openMaps(name, config[name], lookupContext(config, context.logger));
  if (!passwords.ok)
    return failService(context, passwords.error.map(({ reason }) => reason).join('; '));
  return { settings: settings.value, passwords: passwords.value };
}

async function serve(context: ServiceContext, prepared: Prepared): Promise<void> {
  const { config, service, logger } = context;
  const servers = nameServers(config, readResolvConf());
  if (!servers.ok) return failService(context, servers.error);
  const store = await openLmdbStore({
    directory: 'queue',
    minFreeBytes: 0,
    idForm: 'long',
    logger,
    readOnly: true,
    waitMs: STORE_WAIT_MS,
  });
  if (!store.ok) return failService(context, `queue: ${store.error.reason}`);
  const openBody = async (request: DeliveryRequest): Promise<Result<Body, string>> => {
    const body = await store.value.openBody(request);
    return body.ok ? body : err(body.error.reason);
  };
  const own = ownAddresses(config);
  const cache = openSessionCache(cacheLimits(config));
  const parts = {
    settings: prepared.settings,
    resolver: openResolver({ servers: servers.value, hosts: openHostsFile() }),
    deadlines: openDeadlines(),
    cache,
    logger,
    openBody,
    credentialsFor: passwordLookup(prepared.passwords),
    isOwnAddress: (address: string) => own.has(address.toLowerCase()),
    random: Math.random,
    now: Date.now,
  };
  const socket = connect('private/qmgr');
  const agent = runAgent(socket, {
    transport: service.name,
    slots: SLOTS,
    maxIdleMs: config.max_idle * 1000,
    logger,
    deliver: (request) => deliver(request, parts),
    onEnd: () => {
      cache.closeAll();
      void store.value.close().then(() => context.exit(0));
    },
  });
  context.onDrain(async () => {
    await agent.drain();
    cache.closeAll();
  });
}

const cacheLimits = (config: Config) => ({
  idleMs: config.smtp_connection_cache_time_limit * 1000,
  reuseMs: config.smtp_connection_reuse_time_limit * 1000,
  reuseCount: config.smtp_connection_reuse_count_limit,
});

function readResolvConf(): string {
  const text = readText('/etc/resolv.conf');
  return text.ok ? text.value : '';
}

function readText(path: string): Result<string, string> {
  try {
    return ok(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return err(error.message);
    throw error;
  }
}

await startService<Prepared>('smtp', { prepare, serve });
