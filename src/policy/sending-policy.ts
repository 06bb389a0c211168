/**
 * Sending policies as values, and the file that names them: one logical line a policy.
 *
 *   staff:  offsite=permit senders=own recipients=100
 *   device: offsite=deny destinations=boss@customer.example senders=printer@example.org auth=none
 *
 *   offsite=permit|deny   whether mail may leave for domains that are not ours; default deny
 *   destinations=LIST     narrows `permit`, widens `deny`: domain, .subdomains, address, !except
 *   senders=own|any|LIST  MAIL FROM and the From: header; LIST: addresses, @domains; default any
 *   recipients=N          RCPTs of one message
 *   auth=none             found by the client's address, for devices that cannot log in
 *
 * A file with a fault gives no policies: half a policy would permit what was not meant.
 */
import { readFileSync } from 'node:fs';
import { logicalLines } from '../util/logical-lines.ts';
import { err, ok, type Result } from '../util/result.ts';

export type SendingPolicy = {
  readonly name: string;
  /** `file:line`, for messages. */
  readonly place: string;
  readonly offsite: 'permit' | 'deny';
  readonly destinations: Destinations;
  readonly senders: SenderRule;
  /** Undefined: no limit. */
  readonly recipients: number | undefined;
  /** Holds for clients without a login. */
  readonly withoutLogin: boolean;
};

/** Lower case. A pattern is `domain`, `.domain` (subdomains only) or `user@domain`. */
export type Destinations = {
  readonly listed: readonly string[];
  readonly excepted: readonly string[];
};

export type SenderRule =
  | { readonly kind: 'any' }
  | { readonly kind: 'own' }
  /** Lower case: `user@domain` or `@domain`. */
  | { readonly kind: 'list'; readonly patterns: readonly string[] };

export type PolicyFault = { readonly place: string; readonly text: string };

const LATER: ReadonlySet<string> = new Set([
  'offsite_rate',
  'rate',
  'first_contacts',
  'hours',
  'transport',
  'size',
  'on_exceed',
]);
const KEYS = 'offsite, destinations, senders, recipients, auth';
const MAX_RECIPIENTS = 1_000_000;

/** Read $sending_policies; an empty name gives no policies. */
export function loadPolicies(
  file: string,
): Result<ReadonlyMap<string, SendingPolicy>, readonly PolicyFault[]> {
  if (file === '') return ok(new Map());
  if (/^[a-z]+:/.test(file)) {
    const text = `sending_policies = ${file}: a table is not implemented in this version; name a file`;
    return err([{ place: 'main.cf', text }]);
  }
  try {
    return parsePolicies(readFileSync(file, 'utf8'), file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return err([{ place: file, text: `sending_policies: cannot read the file: ${reason}` }]);
  }
}

export function parsePolicies(
  source: string,
  file: string,
): Result<ReadonlyMap<string, SendingPolicy>, readonly PolicyFault[]> {
  const policies = new Map<string, SendingPolicy>();
  const faults: PolicyFault[] = [];
  for (const { text, line } of logicalLines(source)) {
    const place = `${file}:${line}`;
    const policy = parsePolicy(text, place);
    if (!policy.ok) faults.push({ place, text: policy.error });
    else if (policies.has(policy.value.name)) {
      const before = policies.get(policy.value.name)?.place ?? file;
      const what = `policy ${policy.value.name} is defined twice, first in ${before}; remove one`;
      faults.push({ place, text: what });
    } else policies.set(policy.value.name, policy.value);
  }
  return faults.length > 0 ? err(faults) : ok(policies);
}

/** Whether an off-site recipient is one that the policy lets through. */
export function mayReach(policy: SendingPolicy, recipient: string): boolean {
  const address = recipient.toLowerCase();
  const { listed, excepted } = policy.destinations;
  if (excepted.some((pattern) => matchesDestination(pattern, address))) return false;
  if (listed.length === 0) return policy.offsite === 'permit';
  return listed.some((pattern) => matchesDestination(pattern, address));
}

/** The rule that a refusal of `mayReach` names: `offsite=deny`, `destinations=!rival.example`. */
export function offsiteRule(policy: SendingPolicy, recipient: string): string {
  const address = recipient.toLowerCase();
  const except = policy.destinations.excepted.find((name) => matchesDestination(name, address));
  if (except !== undefined) return `destinations=!${except}`;
  return policy.offsite === 'permit' ? 'destinations' : 'offsite=deny';
}

function matchesDestination(pattern: string, address: string): boolean {
  const domain = address.slice(address.lastIndexOf('@') + 1);
  if (pattern.includes('@')) return pattern === address;
  return pattern.startsWith('.') ? domain.endsWith(pattern) : domain === pattern;
}

type Draft = { -readonly [Key in keyof SendingPolicy]: SendingPolicy[Key] };

function parsePolicy(text: string, place: string): Result<SendingPolicy, string> {
  const { name, rules = '' } =
    /^(?<name>[\w.-]{1,64})\s*:(?:\s+(?<rules>.*))?$/s.exec(text)?.groups ?? {};
  if (name === undefined) return err('not a policy; write "name: key=value ..."');
  const draft: Draft = {
    name,
    place,
    offsite: 'deny',
    destinations: { listed: [], excepted: [] },
    senders: { kind: 'any' },
    recipients: undefined,
    withoutLogin: false,
  };
  const seen = new Set<string>();
  for (const word of rules.split(/\s+/).filter((part) => part !== '')) {
    const { key = '', value = '' } = /^(?<key>[a-z_]+)=(?<value>.+)$/.exec(word)?.groups ?? {};
    if (key === '') return err(`policy ${name}: "${word}" is not key=value without blanks`);
    if (seen.has(key)) return err(`policy ${name}: ${key}= is given twice; join the two`);
    seen.add(key);
    const fault = applyRule(draft, key, value);
    if (fault !== undefined) return err(`policy ${name}: ${fault}`);
  }
  return ok(draft);
}

/** The fault and its remedy, or undefined. */
function applyRule(draft: Draft, key: string, value: string): string | undefined {
  switch (key) {
    case 'offsite':
      if (value !== 'permit' && value !== 'deny') return `offsite=${value}: use permit or deny`;
      draft.offsite = value;
      return undefined;
    case 'destinations':
      return applyDestinations(draft, value);
    case 'senders':
      return applySenders(draft, value);
    case 'recipients':
      if (!/^\d{1,7}$/.test(value) || Number(value) < 1 || Number(value) > MAX_RECIPIENTS) {
        return `recipients=${value}: use a number from 1 to ${MAX_RECIPIENTS}`;
      }
      draft.recipients = Number(value);
      return undefined;
    case 'auth':
      if (value !== 'none') return `auth=${value}: only none is possible`;
      draft.withoutLogin = true;
      return undefined;
    default:
      return LATER.has(key)
        ? `${key}= is not implemented in this version; remove it`
        : `${key}= is unknown; use ${KEYS}`;
  }
}

function applyDestinations(draft: Draft, value: string): string | undefined {
  const listed: string[] = [];
  const excepted: string[] = [];
  for (const item of value.toLowerCase().split(',')) {
    const isExcept = item.startsWith('!');
    const pattern = isExcept ? item.slice(1) : item;
    const isPattern = /^(?:[^@,!\s]+@)?\[?[^@,!\s]+$/.test(pattern) && !/^\.?$|@\./.test(pattern);
    if (!isPattern) {
      return `destinations=${item}: use domain, .subdomains, user@domain, or these after "!"`;
    }
    (isExcept ? excepted : listed).push(pattern);
  }
  draft.destinations = { listed, excepted };
  return undefined;
}

function applySenders(draft: Draft, value: string): string | undefined {
  if (value === 'own' || value === 'any') {
    draft.senders = { kind: value };
    return undefined;
  }
  const patterns = value.toLowerCase().split(',');
  const bad = patterns.find((pattern) => !/^[^@\s]*@[^@\s]+$/.test(pattern));
  if (bad !== undefined) return `senders=${bad}: use own, any, user@domain or @domain`;
  draft.senders = { kind: 'list', patterns };
  return undefined;
}
