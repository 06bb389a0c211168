/**
 * The smtp process: serves rows with the commands smtp and lmtp (`relay` is such a row).
 *
 * Opens password tables with master's rights, the queue for reading as mail_owner.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { runAgent } from '../agent/agent.ts';
import { oldDefaultNotice } from '../conf/compatibility.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { openHostsFile } from '../dns/hosts.ts';
import { openResolver } from '../dns/resolver.ts';
import { type Maps, openMaps } from '../lookup/maps.ts';
import { lookupContext } from '../lookup/open.ts';
import type { DeliveryRequest } from '../mail/stages.ts';
import { openLmdbStore } from '../queue/lmdb/store.ts';
import type { Body } from '../queue/store.ts';
import { openClasses } from '../rewrite/classes.ts';
import { type Generic, openGeneric } from '../rewrite/generic.ts';
import { ownAddresses } from '../rewrite/own-addresses.ts';
import { err, ok, type Result } from '../util/result.ts';
import { openSessionCache } from './cache.ts';
import { openDeadlines } from './deadline.ts';
import { deliver } from './deliver.ts';
import { deliverGeneric, genericBody } from './generic.ts';
import { lmtpView } from './lmtp-view.ts';
import { passwordLookup } from './login.ts';
import { type DeliverySettings, deliverySettings, nameServers } from './settings.ts';
import { type TlsFor, tlsPolicies } from './tls-policy.ts';

/** Deliveries at the same time in one process. */
const SLOTS = 100;
const STORE_WAIT_MS = 10_000;

type Prepared = {
  readonly settings: DeliverySettings;
  readonly passwords: Maps | undefined;
  readonly tlsFor: TlsFor;
  readonly generic: Generic | undefined;
};

/** Tables, keys and authorities are read with master's rights. */
async function prepare(context: ServiceContext): Promise<Prepared> {
  const { config, service, logger } = context;
  const lmtp = service.command === 'lmtp';
  const settings = deliverySettings(config, lmtp);
  if (!settings.ok) return failService(context, settings.error);
  if (!lmtp && config.oldDefaults.has('smtp_tls_security_level'))
    logger.info(oldDefaultNotice('smtp_tls_security_level', ''));
  const passwords = settings.value.saslEnabled
    ? openTable(context, lmtp ? 'lmtp_sasl_password_maps' : 'smtp_sasl_password_maps')
    : undefined;
  const policies = openTable(context, lmtp ? 'lmtp_tls_policy_maps' : 'smtp_tls_policy_maps');
  const warn = (text: string): void => logger.warning(text);
  const tlsFor = tlsPolicies(lmtp ? lmtpView(config) : config, policies, warn);
  if (!tlsFor.ok) return failService(context, tlsFor.error);
  const generic = openGenericTable(context, lmtp ? 'lmtp_generic_maps' : 'smtp_generic_maps');
  return { settings: settings.value, passwords, tlsFor: tlsFor.value, generic };
}

function openGenericTable(
  context: ServiceContext,
  name: 'smtp_generic_maps' | 'lmtp_generic_maps',
): Generic | undefined {
  const { config, logger } = context;
  const maps = openTable(context, name);
  if (!maps) return undefined;
  const classes = openClasses(config, lookupContext(config, logger));
  if (!classes.ok)
    return failService(context, classes.error.map(({ reason }) => reason).join('; '));
  const { recipient_delimiter } = config;
  return openGeneric(maps, config, { recipient_delimiter, isLocal: classes.value.isOrigin });
}

type TableName = `${'smtp' | 'lmtp'}_${'sasl_password' | 'tls_policy' | 'generic'}_maps`;

/** Undefined when the parameter is empty. */
function openTable(context: ServiceContext, name: TableName): Maps | undefined {
  const { config, logger } = context;
  if (config[name] === '') return undefined;
  const maps = openMaps(name, config[name], lookupContext(config, logger));
  if (maps.ok) return maps.value;
  return failService(context, maps.error.map(({ reason }) => reason).join('; '));
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
    if (!body.ok) return err(body.error.reason);
    return prepared.generic ? genericBody(body.value, prepared.generic) : body;
  };
  const own = ownAddresses(config);
  const cache = openSessionCache(prepared.settings.cacheLimits);
  const parts = {
    settings: prepared.settings,
    resolver: openResolver({ servers: servers.value, hosts: openHostsFile() }),
    deadlines: openDeadlines(),
    cache,
    logger,
    tlsFor: prepared.tlsFor,
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
    deliver: (request) =>
      prepared.generic
        ? deliverGeneric(request, prepared.generic, (mapped) => deliver(mapped, parts))
        : deliver(request, parts),
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
