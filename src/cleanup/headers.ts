/**
 * What cleanup does to a header block: counts hops, drops fields, adds missing ones.
 *
 * Missing fields are added behind the others, for local clients only.
 *
 * @see cleanup(8), postconf(5) local_header_rewrite_clients
 */
import { externalAddress } from '../mail/address.ts';
import { fieldValue, scanHeader } from '../mail/header.ts';
import { mailDate } from '../mail/received.ts';
import { parseAddressList } from '../mail/tok822.ts';

export type HeaderFacts = {
  readonly hops: number;
  /** Message-ID with its angles; `''` when there is none. */
  readonly messageId: string;
  /** Addresses of the header From, internal form; undefined when it cannot be parsed. */
  readonly from: readonly string[] | undefined;
  readonly deliveredTo: readonly string[];
};

export type MissingFields = {
  readonly queueId: string;
  readonly myhostname: string;
  readonly sender: string;
  readonly atMs: number;
};

/** The header as it will be stored, without the blank line; and where the rest of the text starts. */
export type CleanHeader = HeaderFacts & { readonly header: string; readonly bodyStart: number };

/** `missing`: add what is missing. `text` is latin1 and starts at the first field. */
export function cleanHeader(
  text: string,
  drops: ReadonlySet<string>,
  missing: MissingFields | undefined,
): CleanHeader {
  const { fields, end, isBlankMissing } = scanHeader(text);
  const present = new Set<string>();
  const from: string[] = [];
  const deliveredTo: string[] = [];
  let isFromBad = false;
  let hops = 0;
  let messageId = '';
  let header = '';
  let keptFrom = 0;
  for (const field of fields) {
    present.add(field.name);
    if (field.name === 'received') hops += 1;
    else if (field.name === 'message-id' && messageId === '') messageId = fieldValue(text, field);
    else if (field.name === 'delivered-to') deliveredTo.push(fieldValue(text, field));
    else if (field.name === 'from') {
      const addresses = parseAddressList(fieldValue(text, field));
      if (addresses) from.push(...addresses);
      else isFromBad = true;
    }
    if (!drops.has(field.name)) continue;
    header += text.slice(keptFrom, field.start);
    keptFrom = field.end;
  }
  header += text.slice(keptFrom, end);
  if (missing) {
    const added = missingFields(present, missing);
    if (added.messageId !== '') messageId = added.messageId;
    if (added.text.includes('From: ')) from.push(missing.sender);
    header += added.text;
  }
  const bodyStart = isBlankMissing ? end : end + blankLength(text, end);
  return { hops, messageId, from: isFromBad ? undefined : from, deliveredTo, header, bodyStart };
}

const blankLength = (text: string, at: number): number => (text.startsWith('\r\n', at) ? 2 : 0);

function missingFields(
  present: ReadonlySet<string>,
  { queueId, myhostname, sender, atMs }: MissingFields,
): { readonly text: string; readonly messageId: string } {
  const isResent = ['resent-from', 'resent-date', 'resent-to', 'resent-message-id'].some((name) =>
    present.has(name),
  );
  const prefix = isResent ? 'Resent-' : '';
  const lacks = (name: string) => !present.has(`${prefix}${name}`.toLowerCase());
  let text = '';
  let messageId = '';
  if (lacks('message-id')) {
    const id = `<${stamp(atMs)}.${queueId}@${myhostname}>`;
    if (!isResent) messageId = id;
    text += `${prefix}Message-Id: ${id}\r\n`;
  }
  if (lacks('date')) text += `${prefix}Date: ${mailDate(atMs)}\r\n`;
  if (lacks('from')) {
    const author = sender === '' ? `MAILER-DAEMON@${myhostname}` : externalAddress(sender);
    const bytes = Buffer.from(author.replaceAll(/[\x00-\x1f\x7f]/g, '?'), 'utf8');
    text += `${prefix}From: ${bytes.toString('latin1')}\r\n`;
  }
  return { text, messageId };
}

/** `YYYYMMDDHHMMSS`, UTC. */
const stamp = (atMs: number): string =>
  new Date(atMs).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14);
