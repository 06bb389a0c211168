/** Opening sessions: the socket, the handshake, the login. Failures are values, nothing rejects. */
import { connect, isIPv6, type Socket } from 'node:net';
import type { MailHost } from '../dns/mx.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { err, ok, type Result } from '../util/result.ts';
import { SmtpClient } from './client.ts';
import type { Deadlines } from './deadline.ts';
import { failureDsn } from './outcome.ts';
import type { DeliverySettings } from './settings.ts';
import type { Failure } from './transaction.ts';

/** `user:password` of smtp_sasl_password_maps. */
export type Credentials = { readonly user: string; readonly pass: string };

export type Endpoint =
  | { readonly kind: 'inet'; readonly host: MailHost; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string; readonly name: string };

export type SessionFault = { readonly dsn: Dsn; readonly isTlsFault: boolean };

export type Plan = {
  readonly endpoint: Endpoint;
  /** As routed: names that certificates must bear. */
  readonly nexthop: string;
  readonly credentials?: Credentials;
  /** A handshake has failed before, and the level allows plaintext. */
  readonly withoutTls: boolean;
};

/** `host[address]:port`, or `name[path]` of a local socket: relay= in the log. */
export const relayOf = (endpoint: Endpoint): string =>
  endpoint.kind === 'inet'
    ? `${endpoint.host.host}[${endpoint.host.address}]:${endpoint.port}`
    : `${endpoint.name}[${endpoint.path}]`;

/** `host[address]`, as in "host H[A] said". */
export const whereOf = (endpoint: Endpoint): string =>
  endpoint.kind === 'inet'
    ? `${endpoint.host.host}[${endpoint.host.address}]`
    : `${endpoint.name}[${endpoint.path}]`;

export const hostOf = (endpoint: Endpoint): string =>
  endpoint.kind === 'inet' ? endpoint.host.host : endpoint.name;

export async function openSession(
  plan: Plan,
  settings: DeliverySettings,
  deadlines: Deadlines,
): Promise<Result<SmtpClient, SessionFault>> {
  const { endpoint } = plan;
  const socket = await openSocket(endpoint, settings, deadlines);
  if (!socket.ok) {
    const reason = `connect to ${relayOf(endpoint)}: ${socket.error}`;
    return err({ dsn: dsn('4.4.1', reason), isTlsFault: false });
  }
  const client = new SmtpClient(socket.value, clientSettings(plan, settings, deadlines));
  const opened = await client.open();
  const failure = opened ?? (await login(client, plan, settings));
  if (!failure) return ok(client);
  client.close();
  const site = { where: whereOf(endpoint), host: hostOf(endpoint), softBounce: true };
  return err({ dsn: failureDsn(failure, site), isTlsFault: failure.kind === 'tls' });
}

function clientSettings(plan: Plan, settings: DeliverySettings, deadlines: Deadlines) {
  const { level, optionsFor } = settings.tls;
  const { endpoint } = plan;
  const host = hostOf(endpoint);
  const isRequired = level !== 'none' && level !== 'may';
  const isLocal = endpoint.kind === 'unix';
  const tls =
    settings.wrapperMode && !isLocal
      ? ('wrapper' as const)
      : level === 'none' || plan.withoutTls || (isLocal && !isRequired)
        ? ('none' as const)
        : isRequired
          ? ('must' as const)
          : ('may' as const);
  return {
    host,
    port: endpoint.kind === 'inet' ? endpoint.port : 0,
    helo: settings.helo,
    lmtp: settings.lmtp,
    sendEhlo: settings.sendEhlo,
    tls,
    tlsOptions: tls === 'none' ? {} : optionsFor({ nexthop: plan.nexthop, host }),
    checkIdentity: level === 'fingerprint' || level === 'verify' || level === 'secure',
    discardKeywords: settings.discardKeywords,
    limits: settings.limits,
    deadlines,
  };
}

async function login(
  client: SmtpClient,
  { credentials }: Plan,
  settings: DeliverySettings,
): Promise<Failure | undefined> {
  if (!credentials || !client.offers('AUTH')) return undefined;
  const allowed = client.secure ? settings.mechanismsTls : settings.mechanismsClear;
  const method = allowed.find((name) => client.mechanisms.includes(name));
  if (method === undefined) {
    const text = '454 4.7.0 SASL authentication failed: no mechanism available';
    return { kind: 'refused', stage: 'AUTH', command: 'AUTH', reply: { code: 454, text } };
  }
  return client.authenticate(credentials.user, credentials.pass, method);
}

function openSocket(
  endpoint: Endpoint,
  settings: DeliverySettings,
  deadlines: Deadlines,
): Promise<Result<Socket, string>> {
  return new Promise((resolve) => {
    let socket: Socket;
    if (endpoint.kind === 'unix') socket = connect({ path: endpoint.path });
    else {
      const { address } = endpoint.host;
      const bind = isIPv6(address) ? settings.bind6 : settings.bind4;
      socket = connect({
        host: address,
        port: endpoint.port,
        noDelay: true,
        ...(bind === '' ? {} : { localAddress: bind }),
      });
    }
    const timed = {
      deadlineMs: deadlines.nowMs() + settings.connectMs,
      expire: () => finish('Connection timed out'),
    };
    const finish = (fault?: string): void => {
      deadlines.remove(timed);
      socket.removeListener('connect', onConnect);
      if (fault === undefined) {
        socket.removeListener('error', onError);
        resolve(ok(socket));
        return;
      }
      socket.destroy();
      resolve(err(fault));
    };
    const onConnect = (): void => finish();
    const onError = (error: Error): void => finish(systemError(error));
    socket.on('error', onError);
    socket.once('connect', onConnect);
    deadlines.add(timed);
  });
}

const ERRORS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'Connection refused'],
  ['ETIMEDOUT', 'Connection timed out'],
  ['EHOSTUNREACH', 'No route to host'],
  ['ENETUNREACH', 'Network is unreachable'],
  ['ECONNRESET', 'Connection reset by peer'],
  ['ENOENT', 'No such file or directory'],
  ['EACCES', 'Permission denied'],
  ['EADDRNOTAVAIL', 'Cannot assign requested address'],
  ['EMFILE', 'Too many open files'],
]);

/** strerror(3)'s words, as Postfix logs them. */
function systemError(error: Error): string {
  const code: unknown = Reflect.get(error, 'code');
  return (typeof code === 'string' ? ERRORS.get(code) : undefined) ?? error.message;
}
