/**
 * Every restriction by name: which question it asks and what it says. One entry a rule, no state.
 *
 * @see postconf(5) smtpd_recipient_restrictions
 */
import { reply } from '../mail/reply.ts';
import {
  checkDomain,
  checkFqdn,
  checkMail,
  checkRelay,
  isAuthDestination,
  recipientSubject,
  senderSubject,
  unlisted,
} from './address-rules.ts';
import {
  checkClient,
  checkHelo,
  checkNetworks,
  checkRbl,
  invalidHelo,
  nonFqdnHelo,
  unknownClient,
  unknownHelo,
} from './client-rules.ts';
import { DUNNO, OK, okIf, plain, type Rule, refuse, subjectOf, tableVerdict } from './rule.ts';
import { senderLoginMismatch } from './sender-login.ts';

const access = (check: Rule['check']): Rule => ({ takesArgument: true, isAccess: true, check });
const withWord = (check: Rule['check']): Rule => ({ takesArgument: true, isAccess: false, check });

export const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['permit', plain(() => OK)],
  [
    'reject',
    plain((c) => refuse(c.parts.config.reject_code, '7.1', `${subjectOf(c)}: Access denied`)),
  ],
  [
    'defer',
    plain((c) => refuse(c.parts.config.defer_code, '3.2', `${subjectOf(c)}: Try again later`)),
  ],
  [
    'defer_if_permit',
    plain((c) => ({
      kind: 'defer_if_permit',
      reply: reply(
        c.parts.config.defer_code,
        '4.3.2',
        `${subjectOf(c)}: defer_if_permit requested`,
      ),
    })),
  ],
  [
    'defer_if_reject',
    plain((c) => ({
      kind: 'defer_if_reject',
      reply: reply(
        c.parts.config.defer_code,
        '4.3.2',
        `${subjectOf(c)}: defer_if_reject requested`,
      ),
    })),
  ],
  ['warn_if_reject', plain(() => DUNNO)],
  ['permit_mynetworks', plain(checkNetworks)],
  [
    'permit_inet_interfaces',
    plain((c) => okIf(c.parts.ownAddresses.has(c.facts.session.peer.address))),
  ],
  ['permit_sasl_authenticated', plain((c) => okIf(c.facts.session.login !== undefined))],
  [
    'reject_plaintext_session',
    plain((c) =>
      c.facts.session.tls
        ? DUNNO
        : refuse(c.parts.config.plaintext_reject_code, '7.1', 'Session encryption is required'),
    ),
  ],
  [
    'reject_unauth_pipelining',
    plain((c) =>
      c.facts.hasPipelined
        ? refuse(503, '5.0', `${subjectOf(c)}: Improper use of SMTP command pipelining`)
        : DUNNO,
    ),
  ],
  [
    'reject_unauth_destination',
    plain((c) => checkRelay(c, c.parts.config.relay_domains_reject_code)),
  ],
  ['defer_unauth_destination', plain((c) => checkRelay(c, 454))],
  ['permit_auth_destination', plain(isAuthDestination)],
  ['reject_unlisted_recipient', plain(unlisted)],
  ['check_recipient_maps', plain(unlisted)],
  ['reject_non_fqdn_sender', plain((c) => checkFqdn(c, c.facts.sender, 'Sender'))],
  ['reject_non_fqdn_recipient', plain((c) => checkFqdn(c, c.facts.recipient, 'Recipient'))],
  ['reject_unknown_sender_domain', plain((c) => checkDomain(c, c.facts.sender, 'Sender'))],
  ['reject_unknown_recipient_domain', plain((c) => checkDomain(c, c.facts.recipient, 'Recipient'))],
  ['reject_unknown_client_hostname', unknownClient('name', 'hostname')],
  ['reject_unknown_client', unknownClient('name', 'hostname')],
  ['reject_unknown_reverse_client_hostname', unknownClient('reverseName', 'reverse hostname')],
  ['reject_invalid_helo_hostname', invalidHelo],
  ['reject_invalid_hostname', invalidHelo],
  ['reject_non_fqdn_helo_hostname', nonFqdnHelo],
  ['reject_non_fqdn_hostname', nonFqdnHelo],
  ['reject_unknown_helo_hostname', plain(unknownHelo)],
  ['reject_unknown_hostname', plain(unknownHelo)],
  [
    'reject_multi_recipient_bounce',
    plain((c) =>
      c.facts.sender === '' && c.facts.recipientCount > 1
        ? refuse(
            c.parts.config.multi_recipient_bounce_reject_code,
            '5.3',
            `${recipientSubject(c)}: Multi-recipient bounce`,
          )
        : DUNNO,
    ),
  ],
  ['reject_sender_login_mismatch', plain((c) => senderLoginMismatch(c, 'both'))],
  [
    'reject_authenticated_sender_login_mismatch',
    plain((c) => senderLoginMismatch(c, 'authenticated')),
  ],
  ['reject_known_sender_login_mismatch', plain((c) => senderLoginMismatch(c, 'known'))],
  [
    'reject_unauthenticated_sender_login_mismatch',
    plain((c) => senderLoginMismatch(c, 'unauthenticated')),
  ],
  ['check_client_access', access(checkClient)],
  ['check_helo_access', access(checkHelo)],
  [
    'check_sender_access',
    access((c) =>
      c.facts.sender === undefined ? DUNNO : checkMail(c, c.facts.sender, senderSubject(c)),
    ),
  ],
  [
    'check_recipient_access',
    access((c) =>
      c.facts.recipient === undefined
        ? DUNNO
        : checkMail(c, c.facts.recipient, recipientSubject(c)),
    ),
  ],
  [
    'check_sasl_access',
    access(async ({ facts, maps }) => {
      const { login } = facts.session;
      if (!login || !maps) return DUNNO;
      return tableVerdict(
        await maps.find(login.username),
        maps,
        `<${login.username}>: SASL login name rejected`,
      );
    }),
  ],
  ['reject_rbl_client', withWord(checkRbl)],
]);
