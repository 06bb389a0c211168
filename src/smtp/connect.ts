/** Opening sessions: the socket, the handshake, the login. Failures are values, nothing rejects. */
import { connect, isIPv6, type Socket } from 'node:net';
import type { MailHost } from '../dns/mx.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { EnhancedStatus } from '../mail/reply.ts';
import type { ClientTls } from '../tls/client.ts';
import { err, ok, type Result } from '../util/result.ts';
import { SmtpClient } from './client.ts';
import type { Deadlines } from './deadline.ts';
import { failureDsn, statusOf } from './outcome.ts';
import type { ClientSettings } from './session.ts';
import type { DeliverySettings } from './settings.ts';
import type { Failure, RemoteReply } from './transaction.ts';

/** `user:password` of smtp_sasl_password_maps. */
export type Credentials = { readonly user: string; readonly pass: string };

export type Endpoint =
  | { readonly kind: 'inet'; readonly host: MailHost; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string; readonly name: string };

export type SessionFault = {
  readonly dsn: Dsn;
  /** relay= in the log: none when there was no connection. */
  readonly relay: string;
  /** A TLS handshake failed: at level `may` plaintext is worth a try. */
  readonly isHandshakeFault: boolean;
  /** The destination as a whole is to be spared for a while. */
  readonly isSiteFailure: boolean;
};

export type Plan = {
  readonly endpoint: Endpoint;
  /** As routed: for messages. */
  readonly nexthop: string;
  /** The domain or host of the next hop: a name that certificates must bear. */
  readonly domain: string;
  readonly tls: ClientTls;
  readonly credentials?: Credentials;
  /** A handshake has failed before, and the level allows plaintext. */
  readonly withoutTls: boolean;
  /** No other host is preferred to this one. */
  readonly isBestHost: boolean;
};

export type ConnectParts = {
  readonly settings: DeliverySettings;
  readonly deadlines: Deadlines;
  readonly logger: ClientSettings['logger'];
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
  parts: ConnectParts,
): Promise<Result<SmtpClient, SessionFault>> {
  const { endpoint } = plan;
  const socket = await openSocket(endpoint, parts.settings, parts.deadlines);
  if (!socket.ok) {
    const reason = `connect to ${relayOf(endpoint)}: ${socket.error}`;
    parts.logger.info(reason);
    const fault = dsn('4.4.1', reason);
    return err({ dsn: fault, relay: 'none', isHandshakeFault: false, isSiteFailure: true });
  }
  const client = new SmtpClient(socket.value, clientSettings(plan, parts));
  const opened = await client.open();
  const failure = opened ?? (await login(client, plan, parts.settings));
  if (!failure) return ok(client);
  client.close();
  const site = { where: whereOf(endpoint), host: hostOf(endpoint), softBounce: false };
  const isHandshakeFault = failure.kind === 'handshake';
  return err({
    dsn: failureDsn(failure, site),
    relay: relayOf(endpoint),
    isHandshakeFault,
    // Opportunistic TLS that fails says nothing about the host.
    isSiteFailure: !(isHandshakeFault && plan.tls.level === 'may'),
  });
}

function clientSettings(plan: Plan, { settings, deadlines, logger }: ConnectParts): ClientSettings {
  const { endpoint, tls, isBestHost } = plan;
  const host = hostOf(endpoint);
  const mode = tlsMode(plan, settings);
  const target = { nexthop: plan.domain, host };
  const port = endpoint.kind === 'inet' ? endpoint.port : 0;
  const { myhostname } = settings;
  return {
    host,
    port,
    where: whereOf(endpoint),
    relay: relayOf(endpoint),
    helo: settings.helo,
    lmtp: settings.lmtp,
    hello: settings.hello,
    isGreetingSoft: settings.isGreetingSoft,
    ...(port === 25 && !settings.lmtp
      ? { loop: { myhostname, nexthop: plan.nexthop, isBestHost } }
      : {}),
    tls: mode,
    tlsOptions: mode === 'none' ? {} : tls.optionsFor(target),
    judge: (socket) => tls.judge(socket, target),
    tlsLogLevel: settings.tlsLogLevel,
    notesStarttlsOffer: settings.notesStarttlsOffer && tls.level === 'none',
    discardKeywords: settings.discardKeywords,
    limits: settings.limits,
    waitsForQuit: settings.waitsForQuit,
    deadlines,
    logger,
  };
}

/** Opportunistic TLS has no place on a local socket. */
function tlsMode({ endpoint, tls, withoutTls }: Plan, settings: DeliverySettings) {
  const isRequired = tls.level !== 'none' && tls.level !== 'may';
  const isLocal = endpoint.kind === 'unix';
  if (settings.wrapperMode && !isLocal) return 'wrapper' as const;
  if (isRequired) return 'must' as const;
  return tls.level === 'none' || withoutTls || isLocal ? ('none' as const) : ('may' as const);
}

async function login(
  client: SmtpClient,
  { credentials, endpoint }: Plan,
  settings: DeliverySettings,
): Promise<Failure | undefined> {
  if (!credentials || !client.offers('AUTH')) return undefined;
  const where = whereOf(endpoint);
  const fail = (status: EnhancedStatus, text: string, reply?: RemoteReply): Failure => ({
    kind: 'diagnosed',
    stage: 'AUTH',
    dsn: {
      ...dsn(status, `SASL authentication failed${text}`),
      ...(reply ? { remote: { mta: hostOf(endpoint), reply: reply.text } } : {}),
    },
  });
  const allowed = client.secure ? settings.mechanismsTls : settings.mechanismsClear;
  const method = allowed.find((name) => client.mechanisms.includes(name));
  if (method === undefined) {
    const text = `: server ${where} offered no compatible authentication mechanisms for this type of connection security`;
    return fail('4.7.0', text);
  }
  const failure = await client.authenticate(credentials.user, credentials.pass, method);
  if (failure?.kind !== 'refused' || !failure.reply) return failure;
  const { reply } = failure;
  return fail(
    statusOf(reply, settings.isLoginSoft),
    `; server ${where} said: ${reply.text}`,
    reply,
  );
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
