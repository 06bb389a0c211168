/**
 * The smtpd process: serves one inet row of master.cf, beside its siblings on the same sockets.
 *
 * Tables are opened with master's rights, the queue with mail_owner's. It listens when the queue is
 * there and, where TLS is configured, the keys have come from master.
 */
import { openAuthClient } from '../auth/client.ts';
import type { Config } from '../conf/params.ts';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import type { FromMaster } from '../ipc/protocol.ts';
import { printable } from '../log/maillog.ts';
import { openLmdbStore } from '../queue/lmdb/store.ts';
import { type ServerTlsOptions, serverTlsOptions } from '../tls/server.ts';
import type { SmtpdParts } from './parts.ts';
import { openQmgrLink } from './qmgr-link.ts';
import { PosternServer } from './server.ts';
import { openSite, type Site } from './wiring.ts';

const STORE_WAIT_MS = 10_000;
const KEYS_WAIT_MS = 5_000;

await startService<Site>('smtpd', { prepare, serve });

async function prepare(context: ServiceContext): Promise<Site> {
  const site = openSite(context.config, context.logger, context.loggerFor('cleanup'));
  return site.ok ? site.value : failService(context, site.error.join('; '));
}

async function serve(context: ServiceContext, site: Site): Promise<void> {
  const { config, service, logger } = context;
  const store = await openLmdbStore({
    directory: 'queue',
    minFreeBytes: config.queue_minfree,
    idForm: config.enable_long_queue_ids ? 'long' : 'short',
    logger,
    waitMs: STORE_WAIT_MS,
  });
  if (!store.ok) return failService(context, `queue: ${store.error.reason}`);
  const link = openQmgrLink({ service: service.name, pid: process.pid });
  const auth = config.smtpd_sasl_auth_enable
    ? openAuthClient({
        path: 'private/auth',
        service: service.name,
        deadlineMs: config.smtpd_sasl_request_timeout * 1000,
      })
    : undefined;
  const parts: SmtpdParts = {
    ...site,
    service: service.name,
    logger,
    cleanupLogger: context.loggerFor('cleanup'),
    store: store.value,
    arrived: (entry) => {
      // qmgr writes about it at once, and log readers (pflogsumm) take the lines in order.
      logger.flush();
      link.arrived(entry);
    },
    onBroken: (fault) => {
      logger.fatal(`queue: ${fault.reason}`);
      context.exit(75);
    },
    anvil: link,
    ...(auth ? { auth } : {}),
    nowMs: Date.now,
  };
  const server = await startServer(context, parts);
  context.onDrain(async () => {
    // At once too: a stop does not wait for the last session.
    await site.decisions.flush();
    await server.drain();
    await site.decisions.flush();
    await link.close();
    auth?.close();
    await store.value.close();
  });
  const fault = await server.listenOn(service.listen ?? []);
  if (fault !== undefined) return failService(context, fault);
}

/** With keys where they are configured; later ones replace them for new handshakes. */
async function startServer(context: ServiceContext, parts: SmtpdParts): Promise<PosternServer> {
  const { config, service, logger } = context;
  let server: PosternServer | undefined;
  let first: ((tls: ServerTlsOptions | undefined) => void) | undefined;
  const expected = new Promise<ServerTlsOptions | undefined>((resolve) => {
    first = resolve;
  });
  context.onMaster((message: FromMaster) => {
    if (message.kind === 'stop') server?.dismissIdle();
    if (message.kind !== 'keys') return;
    const tls = serverTlsOptions(config, message.keys, message.ticketKeys, service.name);
    if (!tls.ok) {
      logger.error(printable(tls.error));
      return;
    }
    if (server) server.useKeys(tls.value);
    else first?.(tls.value);
  });
  const timer = setTimeout(() => first?.(undefined), KEYS_WAIT_MS);
  const tls = usesTls(config, parts) ? await expected : undefined;
  clearTimeout(timer);
  if (config.smtpd_tls_wrappermode && !tls) {
    return failService(
      context,
      'smtpd_tls_wrappermode = yes without a certificate: set smtpd_tls_chain_files',
    );
  }
  if (parts.tlsLevel !== 'none' && !tls)
    logger.warning("no server certs available. TLS won't be enabled");
  server = new PosternServer(parts, tls);
  return server;
}

function usesTls(config: Config, { tlsLevel }: SmtpdParts): boolean {
  const files = [
    config.smtpd_tls_chain_files,
    config.smtpd_tls_cert_file,
    config.smtpd_tls_eccert_file,
  ];
  return tlsLevel !== 'none' && files.some((file) => file !== '');
}
