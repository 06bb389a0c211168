/**
 * The policy gate of the SMTP server: may this user send this, from this address, to there?
 *
 *   checkRecipient   at RCPT: the sender, the number of recipients, off-site or not
 *   checkHeader      at the end of data: the addresses of the header From
 *
 * With none of sending_policies, sending_policy_maps and sending_policy_default set it lets
 * everything pass, as Postfix would. A table that cannot answer is 451 4.3.0, a policy that is
 * named and not defined 451 4.3.5. Refusals name user, policy and rule, and an id that
 * `postern explain ID` replays. The verdict is about the recipient as addressed: what the
 * administrator's alias tables make of it is not refused.
 */
import type { Config } from '../conf/params.ts';
import { type Logger, printable } from '../log/maillog.ts';
import type { Lookup } from '../lookup/table.ts';
import { type Reply, reply } from '../mail/reply.ts';
import type { Envelope, PolicyVerdict, Route, Session } from '../mail/stages.ts';
import { err, ok, type Result } from '../util/result.ts';
import type { Decision, DecisionRecord } from './decision-record.ts';
import { type FindParts, type Found, findPolicy, type PolicyMaps } from './find-policy.ts';
import { type OwnParts, ownsSender } from './own-sender.ts';
import { loadPolicies, mayReach, offsiteRule, type SendingPolicy } from './sending-policy.ts';

type MaybePromise<T> = T | Promise<T>;
type DomainMatch =
  | { readonly kind: 'yes' }
  | { readonly kind: 'no' }
  | { readonly kind: 'error'; readonly reason: string };

export type Classified =
  | {
      readonly kind: 'resolved';
      readonly address: string;
      readonly addressClass: Route['addressClass'];
    }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'retry'; readonly reason: string };

export type PolicyAnswer = {
  /** Absent: the policy lets it pass. */
  readonly refusal?: Reply;
  /** Kept with the message; absent when no policy applies to this session. */
  readonly verdict?: PolicyVerdict;
};

export type PolicyGate = {
  /** `recipient` is in internal form; `envelope` holds the recipients accepted before it. */
  readonly checkRecipient: (
    session: Session,
    groups: readonly string[],
    envelope: Pick<Envelope, 'sender' | 'recipients'>,
    recipient: string,
  ) => Promise<PolicyAnswer>;
  /** `from` is undefined when the header From cannot be read. Undefined: let it pass. */
  readonly checkHeader: (
    session: Session,
    groups: readonly string[],
    verdict: PolicyVerdict,
    from: readonly string[] | undefined,
  ) => Promise<Reply | undefined>;
};

export type GateDeps = {
  readonly logger: Logger;
  readonly record: DecisionRecord;
  readonly nowMs: () => number;
  /** sending_policy_maps */
  readonly policyMaps: PolicyMaps;
  /** rewrite/resolve: the class of a recipient, routing tricks undone. */
  readonly classify: (address: string) => MaybePromise<Classified>;
  /** mydestination */
  readonly isLocal: (domain: string) => MaybePromise<DomainMatch>;
  /** Tables that say whose an address is, in Postfix's order of keys. */
  readonly senderLogins: (address: string) => MaybePromise<Lookup>;
  readonly virtualAliases: (address: string) => MaybePromise<Lookup>;
  readonly localAliases: (local: string) => MaybePromise<Lookup>;
};

type GateConfig = Pick<
  Config,
  | 'sending_policies'
  | 'sending_policy_maps'
  | 'sending_policy_default'
  | 'myorigin'
  | 'recipient_delimiter'
>;

/** Undefined instead of a gate: no sending policies here. Faults are ready for the log. */
export function openPolicyGate(
  config: GateConfig,
  deps: GateDeps,
): Result<PolicyGate | undefined, readonly string[]> {
  const { sending_policies, sending_policy_maps, sending_policy_default } = config;
  if (`${sending_policies}${sending_policy_maps}${sending_policy_default}` === '') {
    return ok(undefined);
  }
  const policies = loadPolicies(sending_policies);
  if (!policies.ok) return err(policies.error.map(({ place, text }) => `${place}: ${text}`));
  return ok(gateOf(config, deps, policies.value));
}

/** One question, its steps so far, and how it ends. */
type Case = {
  readonly id: string;
  readonly session: Session;
  readonly sender: string;
  readonly about: string;
  readonly found: Exclude<Found, { kind: 'none' }>;
  readonly steps: string[];
};

type Refusal = { readonly outcome: 'refuse' | 'retry'; readonly reply: Reply };

function gateOf(
  config: GateConfig,
  deps: GateDeps,
  policies: ReadonlyMap<string, SendingPolicy>,
): PolicyGate {
  const isLocal = async (domain: string): Promise<boolean | undefined> => {
    const match = await deps.isLocal(domain);
    return match.kind === 'error' ? undefined : match.kind === 'yes';
  };
  const find: FindParts = {
    maps: deps.policyMaps,
    policies,
    defaultName: config.sending_policy_default,
    origin: config.myorigin,
    isLocal: async (domain) => domain === config.myorigin.toLowerCase() || (await isLocal(domain)),
  };
  const own: OwnParts = {
    origin: config.myorigin,
    recipientDelimiter: config.recipient_delimiter,
    isLocal,
    senderLogins: deps.senderLogins,
    virtualAliases: deps.virtualAliases,
    localAliases: deps.localAliases,
  };

  const begin = async (
    session: Session,
    groups: readonly string[],
    sender: string,
    about: string,
  ): Promise<Case | undefined> => {
    const found = await findPolicy(find, session, groups);
    if (found.kind === 'none') return undefined;
    return { id: deps.record.newId(), session, sender, about, found, steps: [...found.steps] };
  };

  return {
    checkRecipient: async (session, groups, envelope, recipient) => {
      const one = await begin(session, groups, envelope.sender, recipient);
      if (!one) return {};
      const refusal = await decideRecipient(one, envelope, { deps, own });
      settle(one, refusal, deps);
      return refusal ? { refusal: refusal.reply } : { verdict: verdictOf(one) };
    },
    checkHeader: async (session, groups, _verdict, from) => {
      const one = await begin(session, groups, 'header From', from?.join(', ') ?? '(unreadable)');
      if (!one) return undefined;
      const refusal = await decideHeader(one, from, { deps, own });
      if (refusal) settle(one, refusal, deps);
      return refusal?.reply;
    },
  };
}

type Parts = { readonly deps: GateDeps; readonly own: OwnParts };

async function decideRecipient(
  one: Case,
  envelope: Pick<Envelope, 'sender' | 'recipients'>,
  { deps, own }: Parts,
): Promise<Refusal | undefined> {
  const { found, steps, about: recipient } = one;
  const about = `<${recipient}>: Recipient address rejected`;
  const unusable = lookupRefusal(one, about, deps.logger);
  if (unusable) return unusable;
  if (found.kind === 'policy') {
    const { policy } = found;
    if (envelope.sender !== '') {
      const wrong = await senderRefusal(one, policy, envelope.sender, 'Sender address', own);
      if (wrong) return wrong;
    }
    const count = envelope.recipients.length + 1;
    if (policy.recipients !== undefined && count > policy.recipients) {
      steps.push(`recipients=${policy.recipients}: this is number ${count}`);
      const text = `user ${found.user} may send to ${policy.recipients} recipients at once`;
      return refuse(
        554,
        '5.5.3',
        `${about}: ${text} ${ruleText(one, `recipients=${policy.recipients}`)}`,
      );
    }
  }
  const classified = await deps.classify(recipient);
  if (classified.kind === 'retry') {
    steps.push(`class of ${recipient}: ${classified.reason}`);
    return retry('4.3.0', `${about}: Temporary lookup failure [${one.id}]`);
  }
  const isInside = classified.kind === 'resolved' && classified.addressClass !== 'default';
  const address = classified.kind === 'resolved' ? classified.address : recipient;
  steps.push(`${address} is ${isInside ? `inside (${classified.addressClass})` : 'off-site'}`);
  if (isInside) return undefined;
  if (found.kind !== 'policy') {
    steps.push('no policy for this user: off-site mail is refused');
    const text = `user ${found.user} may not send off-site (no sending policy for this user)`;
    return refuse(554, '5.7.1', `${about}: ${text} [${one.id}]`);
  }
  if (mayReach(found.policy, address)) {
    steps.push(`offsite=${found.policy.offsite}, destinations= let ${address} pass`);
    return undefined;
  }
  const rule = offsiteRule(found.policy, address);
  steps.push(`${rule} refuses ${address}`);
  const what = rule === 'offsite=deny' ? 'off-site' : 'to this destination';
  return refuse(
    554,
    '5.7.1',
    `${about}: user ${found.user} may not send ${what} ${ruleText(one, rule)}`,
  );
}

async function decideHeader(
  one: Case,
  from: readonly string[] | undefined,
  { deps, own }: Parts,
): Promise<Refusal | undefined> {
  const unusable = lookupRefusal(one, '<END-OF-MESSAGE>: End-of-data rejected', deps.logger);
  if (unusable) return unusable;
  const { found } = one;
  if (found.kind !== 'policy' || found.policy.senders.kind === 'any') return undefined;
  if (from === undefined) {
    one.steps.push('the header From cannot be read');
    const rule = ruleText(one, senderRuleName(found.policy));
    return refuse(554, '5.7.1', `From address rejected: the header From cannot be read ${rule}`);
  }
  for (const address of from) {
    const wrong = await senderRefusal(one, found.policy, address, 'From address', own);
    if (wrong) return wrong;
  }
  return undefined;
}

async function senderRefusal(
  one: Case,
  policy: SendingPolicy,
  sender: string,
  what: 'Sender address' | 'From address',
  own: OwnParts,
): Promise<Refusal | undefined> {
  const rule = senderRuleName(policy);
  const { senders } = policy;
  if (senders.kind === 'any') return undefined;
  if (senders.kind === 'list') {
    const address = sender.toLowerCase();
    const domain = address.slice(address.lastIndexOf('@'));
    const isListed = senders.patterns.some((pattern) => pattern === address || pattern === domain);
    one.steps.push(`${rule}: ${sender} is ${isListed ? '' : 'not '}listed`);
    if (isListed) return undefined;
  } else {
    const ownership = await ownsSender(own, one.found.user, sender);
    if (ownership.kind === 'retry') {
      one.steps.push(`${rule}: ${sender}: ${ownership.reason}`);
      return retry('4.3.0', `<${sender}>: ${what} rejected: Temporary lookup failure [${one.id}]`);
    }
    const because = ownership.kind === 'own' ? ` own: ${ownership.because}` : ' not own';
    one.steps.push(`${rule}: ${sender} is${because}`);
    if (ownership.kind === 'own') return undefined;
  }
  const code = what === 'Sender address' ? 553 : 554;
  const text = `<${sender}>: ${what} rejected: not owned by user ${one.found.user}`;
  return refuse(code, '5.7.1', `${text} ${ruleText(one, rule)}`);
}

/** For tables that are down and policies that do not exist; both want an administrator. */
function lookupRefusal(
  { found, id, steps }: Case,
  about: string,
  logger: Logger,
): Refusal | undefined {
  switch (found.kind) {
    case 'undefined':
      steps.push(`policy ${found.name} is not defined`);
      logger.warning(
        printable(
          `sending policy "${found.name}" of ${found.user} (${found.credential}) is not defined in sending_policies; add it there`,
        ),
      );
      return retry('4.3.5', `${about}: Server configuration error [${id}]`);
    case 'misconfigured':
    case 'retry':
      logger.warning(printable(`sending policy of ${found.user}: ${found.reason}`));
      return found.kind === 'retry'
        ? retry('4.3.0', `${about}: Temporary lookup failure [${id}]`)
        : retry('4.3.5', `${about}: Server configuration error [${id}]`);
    case 'policy':
    case 'unnamed':
      return undefined;
  }
}

function settle(one: Case, refusal: Refusal | undefined, { record, nowMs }: GateDeps): void {
  const { found, session } = one;
  const decision: Decision = {
    id: one.id,
    timeMs: nowMs(),
    client: `${session.peer.name}[${session.peer.address}]`,
    user: found.user,
    sender: one.sender,
    about: one.about,
    policy: found.kind === 'policy' ? found.policy.name : '',
    place: found.kind === 'policy' ? found.policy.place : '',
    outcome: refusal?.outcome ?? 'pass',
    steps: refusal
      ? [...one.steps, `reply: ${refusal.reply.code} ${refusal.reply.lines[0]}`]
      : one.steps,
  };
  record.add(decision);
}

/** The verdict names the policy; a user without one carries the empty name. */
const verdictOf = ({ id, found }: Case): PolicyVerdict => ({
  login: found.user,
  policy: found.kind === 'policy' ? found.policy.name : '',
  credential: found.kind === 'policy' ? found.credential : 'sending_policy_default',
  id,
});

const ruleText = ({ found, id }: Case, rule: string): string =>
  `(policy ${found.kind === 'policy' ? found.policy.name : ''}, rule ${rule}) [${id}]`;

const senderRuleName = ({ senders }: SendingPolicy): string =>
  senders.kind === 'list' ? 'senders' : `senders=${senders.kind}`;

const refuse = (code: 553 | 554, status: '5.7.1' | '5.5.3', text: string): Refusal => ({
  outcome: 'refuse',
  reply: reply(code, status, text),
});

const retry = (status: '4.3.0' | '4.3.5', text: string): Refusal => ({
  outcome: 'retry',
  reply: reply(451, status, text),
});
