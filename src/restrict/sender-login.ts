/**
 * reject_*_sender_login_mismatch: may this login use this sender address?
 *
 * Owners are listed in smtpd_sender_login_maps. `authenticated` refuses senders that no table
 * lists, `known` lets those pass.
 */
import type { Maps } from '../lookup/maps.ts';
import { reply } from '../mail/reply.ts';
import { splitList } from '../util/text.ts';
import { findAccess } from './access.ts';
import { domainOf } from './host-checks.ts';
import type { RuleContext, RuleVerdict } from './rule.ts';

type Form = 'both' | 'authenticated' | 'known' | 'unauthenticated';

const DUNNO: RuleVerdict = { kind: 'dunno' };
const opened = new WeakMap<object, Maps | string>();

export async function senderLoginMismatch(context: RuleContext, form: Form): Promise<RuleVerdict> {
  const { facts, parts } = context;
  const { sender } = facts;
  if (sender === undefined || sender === '') return DUNNO;
  const login = facts.session.login?.username;
  const concerned = form === 'both' || (form === 'unauthenticated') === (login === undefined);
  if (!concerned) return DUNNO;

  const maps = mapsOf(context);
  if (typeof maps === 'string') return { kind: 'broken', reason: maps };
  const target = await parts.resolver.classify(sender);
  const key = target.kind === 'resolved' ? target.address : sender;
  const local = key.slice(0, Math.max(0, key.lastIndexOf('@')));
  const keys = [key];
  if (target.kind === 'resolved' && target.addressClass === 'local') keys.push(local);
  keys.push(`@${domainOf(key)}`);
  const found = await findAccess(maps, keys, new Set([key]));
  if (found.kind === 'retry' || found.kind === 'misconfigured') {
    const failure = reply(451, '4.3.0', `<${sender}>: Temporary lookup failure`);
    return { kind: 'hard', reply: failure, reason: found.reason };
  }
  const owners = found.kind === 'found' ? splitList(found.value) : undefined;
  const refuse = (text: string): RuleVerdict => ({
    kind: 'refuse',
    reply: reply(553, '5.7.1', `<${sender}>: Sender address rejected: ${text}`),
  });
  if (login === undefined) return owners ? refuse('not logged in') : DUNNO;
  if (!owners) return form === 'known' ? DUNNO : refuse(`not owned by user ${login}`);
  const isOwner = owners.some((owner) => owner.toLowerCase() === login.toLowerCase());
  return isOwner ? DUNNO : refuse(`not owned by user ${login}`);
}

function mapsOf({ parts }: RuleContext): Maps | string {
  const known = opened.get(parts);
  if (known !== undefined) return known;
  const name = 'smtpd_sender_login_maps';
  const made = parts.openMaps(name, parts.config.smtpd_sender_login_maps);
  opened.set(parts, made);
  return made;
}
