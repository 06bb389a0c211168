/**
 * Envelope command lines, from internal addresses, within what a server offers.
 *
 * Every line is made here and sent as it is. An address that could carry a second command or leave
 * its angle brackets is refused, not repaired.
 *
 * @see RFC 5321 section 4.1.1, RFC 3461 (DSN), RFC 1870 (SIZE), RFC 6152, RFC 6531 (SMTPUTF8)
 */
import { externalAddress, splitAddress } from '../mail/address.ts';
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { DeliveryRequest, Recipient } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';

export type Offer = {
  readonly offers: (keyword: string) => boolean;
  /** 0: no limit. */
  readonly sizeLimit: number;
  /** `host[address]`, for messages. */
  readonly where: string;
};

/** MAIL FROM, or why this server cannot get this message. */
export function mailCommand(request: DeliveryRequest, offer: Offer): Result<string, Dsn> {
  const { content } = request;
  if (offer.sizeLimit > 0 && content.wireBytes > offer.sizeLimit) {
    return err(
      dsn(
        '5.3.4',
        `message size ${content.wireBytes} exceeds size limit ${offer.sizeLimit} of server ${offer.where}`,
      ),
    );
  }
  const needsUtf8 =
    request.smtputf8 ||
    isBeyondAscii(request.sender) ||
    request.recipients.some(({ address }) => isBeyondAscii(address));
  if (needsUtf8 && !offer.offers('SMTPUTF8')) {
    return err(dsn('5.6.7', `SMTPUTF8 is required, but was not offered by host ${offer.where}`));
  }
  if (!isSendable(request.sender)) return err(dsn('5.1.7', 'bad sender address syntax'));
  let line = `MAIL FROM:<${externalAddress(request.sender)}>`;
  if (offer.offers('SIZE')) line += ` SIZE=${content.wireBytes}`;
  if (offer.offers('8BITMIME') && content.has8bit) line += ' BODY=8BITMIME';
  if (needsUtf8) line += ' SMTPUTF8';
  if (offer.offers('DSN')) {
    if (request.ret !== '') line += ` RET=${request.ret}`;
    if (request.envid !== '') line += ` ENVID=${xtext(request.envid)}`;
  }
  return ok(line);
}

/** RCPT TO, or why this address cannot be said. */
export function rcptCommand(recipient: Recipient, offer: Offer): Result<string, Dsn> {
  if (recipient.address === '' || !isSendable(recipient.address)) {
    return err(dsn('5.1.3', 'bad recipient address syntax'));
  }
  let line = `RCPT TO:<${externalAddress(recipient.address)}>`;
  if (offer.offers('DSN')) {
    if (recipient.notify.length > 0) line += ` NOTIFY=${recipient.notify.join(',')}`;
    const semicolon = recipient.orcpt.indexOf(';');
    if (semicolon > 0) {
      const type = recipient.orcpt.slice(0, semicolon);
      line += ` ORCPT=${type};${xtext(recipient.orcpt.slice(semicolon + 1))}`;
    } else if (recipient.original !== '' && isSendable(recipient.original)) {
      line += ` ORCPT=rfc822;${xtext(externalAddress(recipient.original))}`;
    }
  }
  return ok(line);
}

/** RFC 3461 section 4: printable ASCII but `+` and `=` as it is, all else `+XX`. */
export function xtext(text: string): string {
  if (/^[!-*,-<>-~]*$/.test(text)) return text;
  let out = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x2b && byte !== 0x3d;
    out += isPlain
      ? String.fromCharCode(byte)
      : `+${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

const isBeyondAscii = (text: string): boolean => /[^\x00-\x7f]/.test(text);

/** No control anywhere, and a domain that cannot end the brackets early. */
function isSendable(address: string): boolean {
  if (/[\x00-\x1f\x7f\u0085\u2028\u2029]/.test(address)) return false;
  const { domain } = splitAddress(address);
  return domain === undefined || (domain !== '' && !/[\s<>"(),;@\\]/.test(domain));
}
