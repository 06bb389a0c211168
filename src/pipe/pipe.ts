/**
 * Delivery to a command of the administrator: the arguments are expanded, never parsed again.
 *
 * An argument with a macro of the recipient is repeated for each recipient. An empty value stays an
 * empty argument. All recipients of a request share the verdict of the command.
 *
 * @see pipe(8)
 */
import type { OpenBody } from '../agent/agent.ts';
import { runCommand } from '../agent/command.ts';
import { copyMessage, deliveryFields, fromLine, isLooping } from '../agent/copy.ts';
import { type Identity, withIdentity } from '../agent/identity.ts';
import { outcomeOf } from '../agent/outcome.ts';
import { externalAddress, splitAddress, splitExtension } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { DeliveryReport, DeliveryRequest, Recipient } from '../mail/stages.ts';
import { splitList } from '../util/text.ts';
import type { PipeSettings } from './settings.ts';

export type PipeParts = {
  readonly settings: PipeSettings;
  readonly identity: Identity | undefined;
  readonly recipient_delimiter: string;
  readonly export_environment: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly timeLimitMs: number;
  readonly service: string;
  readonly nowMs: () => number;
};

const PATH = '/usr/local/bin:/usr/bin:/bin';

export async function deliverPipe(
  request: DeliveryRequest,
  openBody: OpenBody,
  parts: PipeParts,
): Promise<DeliveryReport> {
  const startedMs = parts.nowMs();
  const result = await withIdentity(undefined, () => run(request, openBody, parts));
  const elapsed = parts.nowMs() - startedMs;
  return {
    outcomes: request.recipients.map(({ index }) =>
      outcomeOf(index, result, parts.service, elapsed),
    ),
  };
}

async function run(request: DeliveryRequest, openBody: OpenBody, parts: PipeParts): Promise<Dsn> {
  const { settings, service } = parts;
  const { flags, sizeLimit } = settings;
  const [only, second] = request.recipients;
  if ((flags.has('D') || flags.has('O')) && second) {
    return dsn('4.3.5', `flags D and O require ${service}_destination_recipient_limit = 1`);
  }
  if (sizeLimit > 0 && request.content.sizeBytes > sizeLimit) {
    return dsn(
      '5.3.4',
      `message size ${request.content.sizeBytes} exceeds size limit ${sizeLimit}`,
    );
  }
  const body = await openBody();
  if (!body.ok) return dsn('4.3.0', `cannot read message: ${body.error}`);
  if (flags.has('D') && only && isLooping(body.value, only.address)) {
    return dsn('5.4.6', `mail forwarding loop for ${only.address}`);
  }
  const argv = expandArguments(settings.argv, request, parts);
  const result = await runCommand({
    argv,
    shown: settings.argv[0],
    environment: environmentOf(parts),
    identity: parts.identity,
    ...(settings.directory === undefined ? {} : { directory: settings.directory }),
    input: copyMessage(body.value, {
      prepend: headOf(request, parts),
      quotesFrom: flags.has('>'),
      endsBlank: flags.has('B'),
      stuffsDots: flags.has('.'),
      eol: settings.eol,
    }),
    timeLimitMs: parts.timeLimitMs,
  });
  return result.status === '2.0.0' ? dsn('2.0.0', `delivered via ${service} service`) : result;
}

/** From_ line and header fields that the flags ask for, with the line end of the row. */
function headOf({ sender, recipients }: DeliveryRequest, { settings, nowMs }: PipeParts): string {
  const { flags, eol } = settings;
  const [only] = recipients;
  const [returnPath = '', ...rest] = deliveryFields({
    sender,
    original: flags.has('O') ? (only?.original ?? '') : '',
    deliveredTo: flags.has('D') ? (only?.address ?? '') : '',
  }).split(/(?<=\n)/);
  const lines = [
    flags.has('F') ? fromLine(sender, nowMs()) : '',
    flags.has('R') ? returnPath : '',
    ...rest,
  ].join('');
  return eol === '\n' ? lines : lines.replaceAll('\n', eol);
}

const PER_RECIPIENT =
  /\$(?:\$|[({]?(?:recipient|original_recipient|user|extension|mailbox|domain)\b)/;
const MACRO = /\$(?:\$|\{(\w+)\}|\((\w+)\)|(\w+))/g;

/** The command with its macros replaced. */
export function expandArguments(
  argv: PipeSettings['argv'],
  request: DeliveryRequest,
  parts: PipeParts,
): [string, ...string[]] {
  const common = commonMacros(request, parts);
  const each = request.recipients.map((recipient) => ({
    ...common,
    ...recipientMacros(recipient, parts),
  }));
  const [file, ...args] = argv;
  const expanded = args.flatMap((argument) =>
    PER_RECIPIENT.test(argument.replaceAll('$$', ''))
      ? each.map((values) => replaceMacros(argument, values))
      : [replaceMacros(argument, common)],
  );
  return [file, ...expanded];
}

/** An unknown macro is empty; what a value holds is not expanded again. */
const replaceMacros = (text: string, values: Readonly<Record<string, string>>): string =>
  text.replaceAll(MACRO, (all, braced?: string, round?: string, bare?: string) =>
    all === '$$' ? '$' : (values[braced ?? round ?? bare ?? ''] ?? ''),
  );

function commonMacros(request: DeliveryRequest, parts: PipeParts): Record<string, string> {
  const { client, helo, protocol, login } = request.origin;
  const { flags, nullSender } = parts.settings;
  return {
    sender: request.sender === '' ? nullSender : shaped(request.sender, flags, true),
    nexthop: request.nexthop,
    queue_id: request.id,
    envid: request.envid,
    size: String(request.content.sizeBytes),
    client_address: client.address,
    client_hostname: client.name,
    client_port: String(client.port),
    client_helo: helo,
    client_protocol: protocol,
    sasl_method: login?.method ?? '',
    sasl_username: login?.username ?? '',
    sasl_sender: '',
  };
}

function recipientMacros(
  { address, original }: Recipient,
  { settings, recipient_delimiter }: PipeParts,
): Record<string, string> {
  const { flags } = settings;
  const folded = shaped(address, flags, false);
  const { local, domain = '' } = splitAddress(folded);
  const { user, extension = '' } = splitExtension(local, recipient_delimiter);
  return {
    recipient: flags.has('q') ? externalAddress(folded) : folded,
    original_recipient: shaped(original, flags, true),
    mailbox: local,
    user,
    extension,
    domain,
  };
}

/** Flags h, u and q: domain and local part in lower case, local part quoted. */
function shaped(address: string, flags: ReadonlySet<string>, quotes: boolean): string {
  const { local, domain } = splitAddress(address);
  const user = flags.has('u') ? local.toLowerCase() : local;
  const host = flags.has('h') ? domain?.toLowerCase() : domain;
  const joined = host === undefined ? user : `${user}@${host}`;
  return quotes && flags.has('q') ? externalAddress(joined) : joined;
}

function environmentOf({ export_environment, environment }: PipeParts): Record<string, string> {
  const result: Record<string, string> = { PATH };
  for (const item of splitList(export_environment)) {
    const equals = item.indexOf('=');
    const value = equals < 0 ? environment[item] : item.slice(equals + 1);
    if (value !== undefined) result[equals < 0 ? item : item.slice(0, equals)] = value;
  }
  return result;
}
