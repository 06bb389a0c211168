/**
 * Address rewriting and routing side by side with Debian's Postfix: the same addresses through its
 * trivial-rewrite(8) and through src/rewrite/, under twelve configurations.
 *
 * Addresses are made from parts, then mutated by a seeded generator; COMPAT_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { lookupContext } from '../../src/lookup/open.ts';
import { internalAddress } from '../../src/mail/address.ts';
import { openResolver, type Resolution } from '../../src/rewrite/resolve.ts';
import { rewriteExternal } from '../../src/rewrite/rewrite.ts';
import { SILENT } from '../rewrite/parts.ts';
import { testConfig } from '../support/config.ts';
import { startPostfix } from '../support/instance.ts';
import {
  CLASS_BITS,
  FLAG_ERROR,
  FLAG_FAIL,
  FLAG_ROUTED,
  type OracleRoute,
  openRewriteOracle,
  type RewriteOracle,
} from '../support/postfix-rewrite.ts';
import { needs, needsRoot } from '../support/programs.ts';
import { ROUTE_DIFFERENCES } from './wanted-differences.ts';

const SITE = {
  compatibility_level: '3.6',
  myhostname: 'mail.here.example',
  mydomain: 'here.example',
  myorigin: 'here.example',
  mydestination: 'here.example, mail.here.example, localhost',
  inet_interfaces: '127.0.0.1',
  inet_protocols: 'ipv4',
  relay_domains: 'relay.example',
  virtual_alias_domains: 'alias.example',
  virtual_mailbox_domains: 'boxes.example',
  recipient_delimiter: '+',
};

const ROUTES =
  'inline:{ {far.example=slow:}, {.far.example=:[gate.example]}, {u@relay.example=error:5.7.1 go away}, ' +
  '{box@boxes.example=lmtp:unix:/run/lmtp}, {here.example=:}, {dot.example=}, {bare.example=uucp}, ' +
  '{err.example=error:}, {retry.example=retry:later}, {drop.example=discard:}, {"a b"@q.example=smtp:[q]}, ' +
  '{mail.here.example=smtp:[inside]:26}, {alias.example=smtp:[never]} }';

/** Twelve ways to set up a site; each overrides SITE. */
const SETUPS: readonly (readonly [what: string, settings: Readonly<Record<string, string>>])[] = [
  ['plain', {}],
  ['old defaults', { append_dot_mydomain: 'yes' }],
  ['no completion', { append_at_myorigin: 'no', append_dot_mydomain: 'yes' }],
  ['no bang, no percent', { swap_bangpath: 'no', allow_percent_hack: 'no' }],
  ['no percent, quotes kept', { allow_percent_hack: 'no', resolve_dequoted_address: 'no' }],
  [
    'null and numeric domains',
    { resolve_null_domain: 'yes', resolve_numeric_domain: 'yes', allow_min_user: 'yes' },
  ],
  ['relayhost', { relayhost: '[hub.example]:587', append_dot_mydomain: 'yes' }],
  [
    'transports with a next hop',
    {
      default_transport: 'smtp:[out.example]',
      relay_transport: 'relay:[in.example]:24',
      local_transport: 'lmtp:inet:lists',
      virtual_transport: 'virtual:x',
      relayhost: '[hub.example]',
    },
  ],
  ['transport_maps', { transport_maps: ROUTES, relayhost: '[hub.example]' }],
  [
    'transport_maps with a wildcard, parents without dot',
    {
      transport_maps: 'inline:{ {far.example=slow:}, {*=uucp:hub}, {u+ext@here.example=ext:} }',
      parent_domain_matches_subdomains: 'relay_domains, transport_maps',
      recipient_delimiter: '+-',
    },
  ],
  [
    'by sender, relocated',
    {
      relayhost: '[hub.example]',
      sender_dependent_relayhost_maps:
        'inline:{ {me@here.example=[one.example]}, {@there.example=[two.example]}, {not@here.example=DUNNO}, {<>=[null.example]} }',
      sender_dependent_default_transport_maps:
        'inline:{ {x@there.example=slow:}, {y@there.example=fast:[f.example]}, {<>=dunno} }',
      relocated_maps:
        'inline:{ {gone=new@far.example}, {u@alias.example=elsewhere}, {@moved.example=nowhere} }',
    },
  ],
  [
    'no subdomains, tables down',
    {
      parent_domain_matches_subdomains: '',
      relay_domains: 'relay.example, .sub.example',
      virtual_mailbox_domains: 'boxes.example, fail:boxes',
      show_user_unknown_table_name: 'no',
    },
  ],
];

const SENDERS = ['me@here.example', 'x@there.example', 'y@there.example', 'not@here.example', ''];

const LOCALS = [
  'u',
  'U.Ser',
  'u+ext',
  'u-ext',
  'gone',
  'gone+x',
  'box',
  '',
  '.u',
  'u.',
  'a..b',
  'a b',
  'a"b',
  'a\\b',
  '-foo',
  '"',
  'postmaster',
  'MAILER-DAEMON',
  'u%far.example',
  'u%here.example',
  'u%a%b',
  'far.example!u',
  'here.example!far.example!u',
  'a!b%c',
  'u@far.example',
  'u@here.example',
  '@',
  '@x',
  '!',
  '%',
  'u!',
  '!u',
  'u%',
  '%u',
  'jürgen',
  'a,b',
  'a;b',
  'a:b',
  '(a)',
  '[a]',
  '<a>',
  'a|b',
  '@a:b',
  'u%[192.0.2.1]',
];
const DOMAINS = [
  undefined,
  'here.example',
  'HERE.example',
  'mail.here.example',
  'localhost',
  'far.example',
  'a.b.far.example',
  'relay.example',
  'sub.relay.example',
  'x.sub.example',
  'sub.example',
  'alias.example',
  'boxes.example',
  'moved.example',
  'dot.example',
  'bare.example',
  'err.example',
  'retry.example',
  'drop.example',
  'q.example',
  'host',
  'here.example.',
  'far.example..',
  '',
  '.',
  '.far.example',
  'a..example',
  '[127.0.0.1]',
  '[192.0.2.1]',
  '[IPv6:::1]',
  '[ipv6:2001:db8::1]',
  '[bad]',
  '[]',
  '192.0.2.1',
  '127.0.0.1',
  'under_score.example',
  '-a.example',
  'a-.example',
  'bücher.example',
  'a b',
  '123.example',
];

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function addresses(seed: number): string[] {
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const found = new Set<string>();
  for (const local of LOCALS)
    found.add(`${local}@here.example`).add(local).add(`${local}@far.example`);
  for (const domain of DOMAINS)
    if (domain !== undefined) found.add(`u@${domain}`).add(`@${domain}`);
  while (found.size < 450) {
    const domain = pick(DOMAINS);
    found.add(domain === undefined ? pick(LOCALS) : `${pick(LOCALS)}@${domain}`);
  }
  while (found.size < 560) {
    const chars = [...pick([...found])];
    chars.splice(
      Math.floor(next() * (chars.length + 1)),
      Math.round(next()),
      pick([...'@%!."\\[]:+-ax ']),
    );
    found.add(chars.join(''));
  }
  found.delete('');
  return [...found];
}

const seed = Number(process.env['COMPAT_SEED'] ?? Date.now() % 1_000_000);
const skip = { ...needs('postfix'), ...needsRoot() };
let postfix: Awaited<ReturnType<typeof startPostfix>> | undefined;

before(async () => {
  if ('skip' in skip) return;
  console.log(`COMPAT_SEED=${seed}`);
  const rows = SETUPS.map(([, settings], at) => {
    const options = Object.entries(settings).map(([name, value]) => ` -o { ${name} = ${value} }`);
    return `rw${at} unix - - n - - trivial-rewrite${options.join('')}\n`;
  });
  postfix = await startPostfix({ main: SITE, master: rows.join('') });
});

after(() => postfix?.stop());

const oracle = (at: number): Promise<RewriteOracle> =>
  openRewriteOracle(join(postfix?.directory ?? '', `spool/private/rw${at}`));

/** `inline:` keys of the oracle are read by itself: the same text configures both. */
function ours(settings: Readonly<Record<string, string>>) {
  const config = testConfig({ ...SITE, ...settings });
  const resolver = openResolver(config, lookupContext(config, SILENT));
  if (!resolver.ok) throw new Error(resolver.error[0]?.reason);
  return { config, resolver: resolver.value };
}

function describeOurs(found: Resolution): string {
  if (found.kind === 'retry') return 'fail';
  if (found.kind === 'invalid') return 'error';
  const { addressClass, transport, nexthop, recipient, routed } = found;
  return `${addressClass} ${transport}:${nexthop} ${recipient}${routed ? ' routed' : ''}`;
}

function describeOracle({ transport, nexthop, recipient, flags }: OracleRoute): string {
  if (flags & FLAG_FAIL) return 'fail';
  if (flags & FLAG_ERROR) return 'error';
  const named = Object.entries(CLASS_BITS).find(([, bit]) => flags & bit)?.[0];
  return `${named} ${transport}:${nexthop} ${recipient}${flags & FLAG_ROUTED ? ' routed' : ''}`;
}

const isWanted = (what: string, address: string): boolean =>
  ROUTE_DIFFERENCES.some(({ applies }) => applies(what, address));

for (const [at, [what, settings]] of SETUPS.entries()) {
  test(`rewriting and routing are Postfix's: ${what}`, skip, async () => {
    const { config, resolver } = ours(settings);
    const postfixSays = await oracle(at);
    const list = addresses(seed);
    assert.ok(list.length >= 500);
    const different: string[] = [];
    for (const [number, address] of list.entries()) {
      const rewritten = rewriteExternal(address, config);
      const expected = await postfixSays.rewrite('local', address);
      if (rewritten !== expected && !isWanted(what, address)) {
        different.push(`rewrite ${address}: ${rewritten}, Postfix: ${expected}`);
      }
      const recipient = internalAddress(expected);
      const sender = SENDERS[number % SENDERS.length] ?? '';
      const found = describeOurs(await resolver.route(sender, recipient));
      const wanted = describeOracle(await postfixSays.resolve(sender, recipient));
      if (found !== wanted && !isWanted(what, recipient)) {
        different.push(`resolve <${sender}> ${recipient}: ${found}, Postfix: ${wanted}`);
      }
    }
    postfixSays.close();
    assert.deepEqual(different, []);
  });
}
