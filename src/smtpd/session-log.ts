/**
 * The log lines of a session that name its client, its command and its envelope, in Postfix's words.
 */
import { printable } from '../log/maillog.ts';
import type { Reply } from '../mail/reply.ts';
import type { Peer, Session, TlsSummary } from '../mail/stages.ts';

/** `name[address]`, with the port where it is wanted. */
export const clientText = ({ name, address, port }: Peer, showsPort: boolean): string =>
  `${name}[${address}]${showsPort ? `:${port}` : ''}`;

/** `from=<> to=<> proto=ESMTP helo=<x>`, with what is known. */
export function contextText(
  { helo, protocol, login }: Session,
  { sender, recipient }: { readonly sender?: string; readonly recipient?: string },
): string {
  const words: string[] = [];
  if (sender !== undefined) words.push(`from=<${sender}>`);
  if (recipient !== undefined) words.push(`to=<${recipient}>`);
  words.push(`proto=${protocol}`);
  if (helo !== '') words.push(`helo=<${helo}>`);
  if (login) words.push(`sasl_username=<${login.username}>`);
  return printable(words.join(' '));
}

/** What a `reject:` line says of a reply. */
export const replyText = ({ code, status, lines }: Reply): string =>
  printable(`${code} ${status ?? ''} ${lines.join(' ')}`);

export const tlsText = (client: string, { protocol, cipher, cipherBits }: TlsSummary): string =>
  `Anonymous TLS connection established from ${client}: ${protocol} with cipher ${cipher} (${cipherBits}/${cipherBits} bits)`;
