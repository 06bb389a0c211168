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

/** What this message needs of this server. */
export type Needs = {
  /** An address or a header holds UTF-8: without SMTPUTF8 it cannot go there. */
  readonly utf8: boolean;
  /** It will be converted: its size is not known yet. */
  readonly isConverted: boolean;
};

/** MAIL FROM, or why this server cannot get this message. */
export function mailCommand(
  request: DeliveryRequest,
  offer: Offer,
  needs: Needs,
): Result<string, Dsn> {
  const { content } = request;
  if (needs.utf8 && !offer.offers('SMTPUTF8')) {
    return err(
      dsn(
        '5.6.7',
        `message requires SMTPUTF8, but no server was found that supports SMTPUTF8. The last attempted server was ${offer.where}`,
      ),
    );
  }
  if (offer.sizeLimit > 0 && content.wireBytes > offer.sizeLimit) {
    return err(
      dsn(
        '5.3.4',
        `message size ${content.wireBytes} exceeds size limit ${offer.sizeLimit} of server ${offer.where}`,
      ),
    );
  }
  if (!isSendable(request.sender)) return err(dsn('5.1.7', 'bad sender address syntax'));
  let line = `MAIL FROM:<${externalAddress(request.sender)}>`;
  if (offer.offers('SIZE') && !needs.isConverted) line += ` SIZE=${content.wireBytes}`;
  if (takes8bit(offer) && content.has8bit) line += ' BODY=8BITMIME';
  if (offer.offers('DSN')) {
    if (request.envid !== '') line += ` ENVID=${xtext(request.envid)}`;
    if (request.ret !== '') line += ` RET=${request.ret}`;
  }
  if ((needs.utf8 || request.smtputf8) && offer.offers('SMTPUTF8')) line += ' SMTPUTF8';
  return ok(line);
}

/** A server that offers SMTPUTF8 alone is taken to mean 8BITMIME too, as RFC 6531 demands. */
export const takes8bit = ({ offers }: Pick<Offer, 'offers'>): boolean =>
  offers('8BITMIME') || offers('SMTPUTF8');

/** RCPT TO, or why this address cannot be said. */
export function rcptCommand(recipient: Recipient, offer: Offer): Result<string, Dsn> {
  if (recipient.address === '' || !isSendable(recipient.address)) {
    return err(dsn('5.1.3', 'bad recipient address syntax'));
  }
  let line = `RCPT TO:<${externalAddress(recipient.address)}>`;
  if (offer.offers('DSN')) {
    const orcpt = orcptOf(recipient);
    if (orcpt !== '') line += ` ORCPT=${orcpt}`;
    if (recipient.notify.length > 0) line += ` NOTIFY=${recipient.notify.join(',')}`;
  }
  return ok(line);
}

/** As the client gave it, or the address as first given. */
function orcptOf({ orcpt, original }: Recipient): string {
  const semicolon = orcpt.indexOf(';');
  if (semicolon > 0) {
    const type = orcpt.slice(0, semicolon);
    const address = orcpt.slice(semicolon + 1);
    return `${type};${type.toLowerCase() === 'utf-8' ? unicodeXtext(address) : xtext(address)}`;
  }
  if (original === '' || !isSendable(original)) return '';
  const address = externalAddress(original);
  return isBeyondAscii(address) ? `utf-8;${unicodeXtext(address)}` : `rfc822;${xtext(address)}`;
}

/** RFC 6533 section 3, in the form that is ASCII throughout: `\x{E9}`. */
function unicodeXtext(text: string): string {
  return Array.from(text, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const isPlain = code > 0x20 && code < 0x7f && char !== '+' && char !== '=' && char !== '\\';
    return isPlain ? char : `\\x{${code.toString(16).toUpperCase().padStart(2, '0')}}`;
  }).join('');
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

export const isBeyondAscii = (text: string): boolean => /[^\x00-\x7f]/.test(text);

/** No control anywhere, and a domain that cannot end the brackets early. */
function isSendable(address: string): boolean {
  if (/[\x00-\x1f\x7f\u0085\u2028\u2029]/.test(address)) return false;
  const { domain } = splitAddress(address);
  return domain === undefined || (domain !== '' && !/[\s<>"(),;@\\]/.test(domain));
}
