/** ldap: tables against a real OpenLDAP server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkPassword, loadLdap } from '../../../src/lookup/client/ldap.ts';
import { needs } from '../../support/programs.ts';
import { ADMIN, SLAPD, type Slapd, SUFFIX, startSlapd } from '../../support/slapd.ts';
import {
  ask,
  askOrFault,
  HOSTILE_TEXTS,
  IMPOSSIBLE_TEXTS,
  remoteBench,
  type Settings,
} from './bench.ts';

const options = needs(...SLAPD);
let server: Slapd;
let second: Slapd;

type Attributes = Readonly<Record<string, string | readonly string[]>>;

/** Any value in base64, so that no character needs care. */
function person(name: string, attributes: Attributes = {}): string {
  const all: Attributes = { cn: name, sn: name, ...attributes };
  const lines = Object.entries(all).flatMap(([attribute, values]) =>
    [values].flat().map((value) => `${attribute}:: ${Buffer.from(value).toString('base64')}`),
  );
  const classes = 'objectClass: inetOrgPerson\nobjectClass: mailRecipient';
  return `dn:: ${Buffer.from(`cn=${name},ou=people,${SUFFIX}`).toString('base64')}\n${classes}\n${lines.join('\n')}\n`;
}

const dn = (name: string): string => `cn=${name},ou=people,${SUFFIX}`;
const unit = (name: string): string =>
  `dn: ou=${name},${SUFFIX}\nobjectClass: organizationalUnit\nou: ${name}\n`;

before(async () => {
  if (options.skip) return;
  second = await startSlapd();
  server = await startSlapd({
    global: 'sizelimit 20\nreferral ldap://127.0.0.1:1/',
    database: 'index mail,maildrop,uid,mailacceptinggeneralid eq',
  });
  await second.add(
    [
      unit('away'),
      `dn: cn=far,ou=away,${SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: mailRecipient\ncn: far\nsn: far\nmail: far@example.org\nmaildrop: far-away\n`,
    ].join('\n'),
  );
  await server.add(
    [
      unit('people'),
      unit('example'),
      person('joe', { mail: 'joe@example.org', maildrop: 'joe', uid: 'joe', userPassword: 'pass' }),
      person('two', { mail: 'two@example.org', maildrop: ['a@b.example', 'c@d.example'] }),
      person('twin1', { mail: 'twin@example.org', maildrop: 'one' }),
      person('twin2', { mail: 'twin@example.org', maildrop: 'two' }),
      person('general', { mailacceptinggeneralid: 'general@example.org', maildrop: 'gen' }),
      person('plain', { mail: 'plain@example.org' }),
      person('lang', { 'mail;lang-en': 'lang@example.org', 'maildrop;lang-en': 'english' }),
      person('h\u00e9', { mailacceptinggeneralid: 'h\u00e9@example.org', maildrop: 'accent' }),
      person('group', { mail: 'group@example.org', member: [dn('joe'), dn('two')] }),
      person('outer', {
        mail: 'outer@example.org',
        member: [dn('group'), dn('plain'), dn('gone')],
      }),
      person('stop', { mail: 'stop@example.org', maildrop: 'stopped', member: [dn('joe')] }),
      person('loop', { mail: 'loop@example.org', member: [dn('loop')] }),
      person('url', {
        mail: 'url@example.org',
        memberurl: `ldap:///ou=people,${SUFFIX}?maildrop?sub?(mail=two@example.org)`,
      }),
      person('url2', { mail: 'url2@example.org', memberurl: `ldap:///${dn('two')}?cn?base` }),
      person('url3', { mail: 'url3@example.org', memberurl: 'ldap://[bad' }),
      ...Array.from({ length: 25 }, (_, at) =>
        person(`many${at}`, { uid: at < 5 ? ['many', 'few'] : 'many', maildrop: `m${at}` }),
      ),
      `dn: cn=alias,ou=people,${SUFFIX}\nobjectClass: alias\nobjectClass: extensibleObject\ncn: alias\naliasedObjectName: ${dn('joe')}\n`,
      `dn: dc=sub,${SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: sub\n`,
    ].join('\n'),
  );
  const { runProgram } = await import('../../support/instance.ts');
  const referral = `dn: ou=away,${SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\nou: away\nref: ldap://127.0.0.1:${second.port}/ou=away,${SUFFIX}\n`;
  const argv = ['-M', '-x', '-H', `ldap://127.0.0.1:${server.port}`, '-D', ADMIN, '-w', 'secret'];
  assert.equal((await runProgram('ldapadd', argv, { input: referral })).code, 0);
});
after(async () => {
  await server?.stop();
  await second?.stop();
});

const settings = (more: Settings = {}): Settings => ({
  server_host: `127.0.0.1:${server.port}`,
  search_base: `ou=people,${SUFFIX}`,
  query_filter: '(mail=%s)',
  result_attribute: 'maildrop',
  version: 3,
  timeout: 5,
  ...more,
});
const groups = {
  special_result_attribute: 'member, memberurl',
  leaf_result_attribute: 'mail',
  result_attribute: '',
};

const CASES: readonly (readonly [Settings, string, string])[] = [
  [{}, 'joe@example.org', 'joe'],
  [{}, 'nobody@example.org', '<absent>'],
  [{}, 'plain@example.org', '<absent>'],
  [{}, 'two@example.org', 'a@b.example,c@d.example'],
  [{}, 'twin@example.org', 'one,two'],
  [{ query_filter: '(mailacceptinggeneralid=%s)' }, 'h\u00e9@example.org', 'accent'],
  [{ query_filter: 'mailacceptinggeneralid=%s' }, 'general@example.org', 'gen'],
  [{ query_filter: '(mailacceptinggeneralid=h\\c3\\a9@%d)' }, 'x@example.org', 'accent'],
  [{ query_filter: 'mail=%s' }, 'joe@example.org', 'joe'],
  [{ query_filter: '(&(mail=%s)(!(cn=x))(|(uid=*)(sn=j*)))' }, 'joe@example.org', 'joe'],
  [{ query_filter: '(mail=%u@%2.%1)' }, 'joe@example.org', 'joe'],
  [{ query_filter: '(mail=%u@%3.%2.%1)' }, 'joe@example.org', '<absent>'],
  [{ result_attribute: 'maildrop, cn' }, 'joe@example.org', 'joe,joe'],
  [{ result_attribute: 'MailDrop' }, 'joe@example.org', 'joe'],
  [{}, 'lang@example.org', 'english'],
  [{ result_format: 'smtp:[%s] %U' }, 'joe@example.org', 'smtp:[joe] joe'],
  [{ result_filter: 'old:%s' }, 'joe@example.org', 'old:joe'],
  [{ result_format: '%d' }, 'two@example.org', 'b.example,d.example'],
  [{ domain: 'example.net' }, 'joe@example.org', '<absent>'],
  [{ domain: 'example.org' }, 'joe@example.org', 'joe'],
  [{ scope: 'base' }, 'joe@example.org', '<absent>'],
  [{ scope: 'one' }, 'joe@example.org', 'joe'],
  [{ search_base: SUFFIX, scope: 'one' }, 'joe@example.org', '<absent>'],
  [{ search_base: `cn=%u,ou=people,${SUFFIX}`, scope: 'base' }, 'joe@example.org', 'joe'],
  [{ search_base: `ou=%2,${SUFFIX}` }, 'joe@example.org', '<absent>'],
  [{ search_base: `ou=%2,${SUFFIX}` }, 'joe@none.org', '<absent>'],
  [{ search_base: `ou=none,${SUFFIX}` }, 'joe@example.org', '<retry>'],
  [{ search_base: 'nonsense' }, 'joe@example.org', '<retry>'],
  [{ query_filter: '(mail=%s' }, 'joe@example.org', '<retry>'],
  [{ query_filter: '(mail=%x)' }, 'joe@example.org', '<fault>'],
  [{ expansion_limit: 1 }, 'two@example.org', '<retry>'],
  [{ expansion_limit: 2 }, 'two@example.org', 'a@b.example,c@d.example'],
  [{ size_limit: 1 }, 'twin@example.org', '<retry>'],
  [{ size_limit: 1 }, 'two@example.org', 'a@b.example,c@d.example'],
  [{ query_filter: '(uid=%s)', size_limit: 5 }, 'few', 'm0,m1,m2,m3,m4'],
  [{ query_filter: '(uid=%s)' }, 'many', '<retry>'],
  // The server's own limit of 20 is below ours: a list cut short is no answer.
  [{ query_filter: '(uid=%s)', size_limit: 24 }, 'many', '<retry>'],
  [{ query_filter: '(uid=%s)', size_limit: 100 }, 'many', '<retry>'],
  [groups, 'joe@example.org', 'joe@example.org'],
  [groups, 'group@example.org', 'joe@example.org,two@example.org'],
  [groups, 'outer@example.org', 'joe@example.org,two@example.org,plain@example.org'],
  [
    { ...groups, leaf_result_attribute: '', result_attribute: 'mail' },
    'group@example.org',
    'group@example.org,joe@example.org,two@example.org',
  ],
  [{ ...groups, terminal_result_attribute: 'maildrop' }, 'stop@example.org', 'stopped'],
  [
    { ...groups, terminal_result_attribute: 'maildrop' },
    'group@example.org',
    'joe,a@b.example,c@d.example',
  ],
  [{ ...groups, recursion_limit: 2 }, 'outer@example.org', '<retry>'],
  [
    { ...groups, recursion_limit: 3 },
    'outer@example.org',
    'joe@example.org,two@example.org,plain@example.org',
  ],
  [{ ...groups, expansion_limit: 1 }, 'group@example.org', '<retry>'],
  [{ ...groups, recursion_limit: 30 }, 'loop@example.org', '<retry>'],
  [{ ...groups, leaf_result_attribute: 'maildrop' }, 'url@example.org', 'a@b.example,c@d.example'],
  [{ ...groups, leaf_result_attribute: 'maildrop' }, 'url2@example.org', '<absent>'],
  [groups, 'url3@example.org', '<retry>'],
  [{ bind: 'no' }, 'joe@example.org', 'joe'],
  [{ bind: 'none' }, 'joe@example.org', 'joe'],
  [{ bind_dn: ADMIN, bind_pw: 'secret', bind: 'simple' }, 'joe@example.org', 'joe'],
  [{ bind_dn: ADMIN, bind_pw: 'wrong' }, 'joe@example.org', '<retry>'],
  [{ bind_dn: ADMIN }, 'joe@example.org', '<fault>'],
  [{ bind: 'sasl' }, 'joe@example.org', '<fault>'],
  [{ bind: 'perhaps' }, 'joe@example.org', '<fault>'],
  [{ version: 2 }, 'joe@example.org', 'joe'],
  [
    { dereference: 0, search_base: `cn=alias,ou=people,${SUFFIX}`, query_filter: '(cn=%s)' },
    'joe',
    '<absent>',
  ],
  [
    { dereference: 1, search_base: `cn=alias,ou=people,${SUFFIX}`, query_filter: '(cn=%s)' },
    'joe',
    '<absent>',
  ],
  [
    { dereference: 2, search_base: `cn=alias,ou=people,${SUFFIX}`, query_filter: '(cn=%s)' },
    'joe',
    'joe',
  ],
  [
    { dereference: 3, search_base: `cn=alias,ou=people,${SUFFIX}`, query_filter: '(cn=%s)' },
    'joe',
    'joe',
  ],
  [{ search_base: SUFFIX }, 'far@example.org', '<absent>'],
  [{ search_base: SUFFIX, chase_referrals: 'yes' }, 'far@example.org', 'far-away'],
  [{ search_base: SUFFIX, chase_referrals: 'yes' }, 'joe@example.org', 'joe'],
  [{ search_base: 'dc=elsewhere' }, 'joe@example.org', '<retry>'],
  [{ server_host: 'ldap://' }, 'x', '<retry>'],
  [{ server_host: '127.0.0.1', server_port: 1 }, 'x@example.org', '<retry>'],
];

test('settings, keys and what they give', options, async (t) => {
  const bench = remoteBench(t);
  for (const [more, key, want] of CASES) {
    const got = await askOrFault(bench, 'ldap', settings(more), key);
    const sorted = got.split(',').sort().join();
    assert.equal(sorted, want.split(',').sort().join(), `${JSON.stringify(more)} ${key}`);
  }
});

test('servers by host, port, URL and socket; the next one when one is down', options, async (t) => {
  const bench = remoteBench(t);
  const { port, ldapi } = server;
  for (const hosts of [
    `ldap://127.0.0.1:${port}`,
    `ldap://127.0.0.1:${port}/`,
    `ldapi://${ldapi}`,
    `ldapi://${ldapi}/`,
    `127.0.0.1:1 127.0.0.1:${port}`,
    `ldap://127.0.0.1:1, ldap://127.0.0.1:2 ldap://127.0.0.1:${port}`,
  ]) {
    const table = bench.table('ldap', settings({ server_host: hosts }));
    assert.equal(await ask(table, 'joe@example.org'), 'joe', hosts);
  }
  const alone = bench.table('ldap', settings({ server_host: '127.0.0.1', server_port: port }));
  assert.equal(await ask(alone, 'joe@example.org'), 'joe');
  assert.match(
    bench.warnings.join('\n'),
    /ldap:.*\.cf: connect to ldap server ldap:\/\/127\.0\.0\.1:1: connect ECONNREFUSED/,
  );
  assert.match(
    bench.fault('ldap', settings({ server_host: 'http://x' })),
    /server_host; write host/,
  );
});

test('parameters from main.cf', options, async (t) => {
  const main = new Map(
    Object.entries(settings()).map(([name, value]) => [`dir_${name}`, `${value}`]),
  );
  const table = remoteBench(t).named('ldap', 'dir', (name) => main.get(name));
  assert.equal(await ask(table, 'joe@example.org'), 'joe');
});

test('what has no effect is said', options, (t) => {
  const bench = remoteBench(t);
  bench.table(
    'ldap',
    settings({ debuglevel: 1, cache: 'yes', cache_size: 0, query_filter: '(cn=x)', typo: 1 }),
  );
  const said = bench.warnings.map((text) => text.replace(/^\S+: /, ''));
  assert.deepEqual(said.sort(), [
    'Fixed query_filter (cn=x) is probably useless',
    'ignoring cache',
    'ignoring debuglevel',
    'unused parameter: typo',
  ]);
});

test('nothing but the literal key is looked up', options, async (t) => {
  const bench = remoteBench(t);
  const named = bench.table('ldap', settings({ query_filter: '(cn=%s)', result_attribute: 'sn' }));
  const based = bench.table(
    'ldap',
    settings({
      search_base: `cn=%s,ou=people,${SUFFIX}`,
      scope: 'base',
      query_filter: '(|(sn=%s)(sn=*))',
      result_attribute: 'sn',
    }),
  );
  const { escapeDn } = await import('../../../src/lookup/types/ldap.ts');
  // LDAP compares names without regard to blanks around and between, and to some controls.
  const kept = HOSTILE_TEXTS.filter((text) => !/[\s]/.test(text));
  const people = kept.map((text) =>
    person('x', { cn: text, sn: text }).replace(
      /^dn:.*\n/,
      `dn:: ${Buffer.from(`cn=${escapeDn(text)},ou=people,${SUFFIX}`).toString('base64')}\n`,
    ),
  );
  await server.add([...new Set(people)].join('\n'));
  for (const text of kept) {
    for (const [which, table] of Object.entries({ named, based })) {
      assert.equal(await ask(table, text), text, `${which} ${JSON.stringify(text)}`);
      const other = await ask(table, `${text}@${text}`);
      assert.equal(other, '<absent>', `${which} ${JSON.stringify(text)}@`);
    }
  }
  for (const text of HOSTILE_TEXTS.filter((each) => /[\s]/.test(each))) {
    assert.equal(await ask(named, `${text}@example.org`), '<absent>', JSON.stringify(text));
    assert.equal(await ask(based, `${text}@example.org`), '<absent>', JSON.stringify(text));
  }
  for (const key of IMPOSSIBLE_TEXTS) assert.equal(await ask(named, key), '<absent>');
  assert.deepEqual(bench.warnings, []);
});

test('many lookups at once share few connections', options, async (t) => {
  const table = remoteBench(t).table('ldap', settings({ connection_limit: 2 }));
  const keys = Array.from({ length: 200 }, (_, at) =>
    at % 2 ? 'joe@example.org' : 'no@example.org',
  );
  const answers = await Promise.all(keys.map((key) => ask(table, key)));
  assert.deepEqual(
    answers,
    keys.map((key) => (key.startsWith('joe') ? 'joe' : '<absent>')),
  );
});

test('passwords: right, wrong, and none', options, async () => {
  const driver = loadLdap();
  const place = { kind: 'ldap', host: '127.0.0.1', port: server.port } as const;
  const login = { startTls: false, tls: {}, dereference: 'never', timeoutMs: 5_000 } as const;
  const check = (name: string, password: string) =>
    checkPassword(driver, place, login, name, password);
  assert.equal(await check(dn('joe'), 'pass'), 'yes');
  assert.equal(await check(dn('joe'), 'wrong'), 'no');
  assert.equal(await check(dn('joe'), ''), 'no');
  assert.equal(await check('', 'pass'), 'no');
  assert.equal(await check(dn('nobody'), 'pass'), 'no');
  const gone = await checkPassword(driver, { ...place, port: 1 }, login, dn('joe'), 'pass');
  assert.match(typeof gone === 'string' ? gone : gone.reason, /ECONNREFUSED/);
});
