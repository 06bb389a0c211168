/**
 * The auth process: listens on private/auth and answers whether a user may log in.
 *
 *   smtpd -- verify {seq, username, secret, clientAddress} --> auth
 *   smtpd <-- verdict {seq, accepted | rejected | unavailable} -- auth
 *
 * Requests of one connection are answered in the order they are decided, told apart by `seq`.
 * Secrets live in memory only, and no line of the log holds one.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { failService, type ServiceContext, startService } from '../daemon/start.ts';
import { openBackends } from './backends.ts';
import { openCache } from './cache.ts';
import { verifyHash } from './hash.ts';
import { openLimiter } from './limiter.ts';
import { openPassdb, type Passdb } from './passdb.ts';
import { serveAuth } from './serve.ts';

const SOCKET = 'private/auth';

function preparePassdb(context: ServiceContext): Promise<Passdb> {
  const { config, logger } = context;
  const backends = openBackends(config, logger);
  if (!backends.ok) {
    return failService(context, backends.error);
  }
  const nowMs = (): number => performance.now();
  const limits = {
    size: config.smtpd_sasl_cache_size,
    ageMs: config.smtpd_sasl_cache_time * 1000,
  };
  return Promise.resolve(
    openPassdb({
      backends: backends.value,
      origin: config.myorigin,
      verifyHash,
      cache: openCache(limits, nowMs),
      limiter: openLimiter(availableParallelism(), config.smtpd_sasl_queue_limit),
      failureDelayMs: config.smtpd_sasl_failure_delay * 1000,
      nowMs,
      sleep: (ms) => sleep(ms),
    }),
  );
}

async function serve(context: ServiceContext, passdb: Passdb): Promise<void> {
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
    serveAuth(socket, { passdb, logger: context.logger });
  });
  context.onDrain(async () => {
    server.close();
    for (const socket of connections) socket.end();
  });
  await listen(server);
}

const listen = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(SOCKET, resolve);
  });

await startService('auth', { prepare: preparePassdb, serve });
