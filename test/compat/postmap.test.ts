/**
 * Debian's postmap and ours, on the same tables and keys. The seed is printed; POSTMAP_SEED repeats a
 * run, POSTMAP_ROUNDS makes it longer. What differs must be in wanted-differences.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { utimesSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { postmap } from '../../src/cmd/postmap.ts';
import { runTool } from '../cmd/map-tools.ts';
import { bench } from '../lookup/tables.ts';
import { findProgram, needs } from '../support/programs.ts';
import {
  cidrSample,
  mapSample,
  patternSample,
  type Random,
  random,
  type Sample,
} from './table-samples.ts';
import { LOOKUP_DIFFERENCES } from './wanted-differences.ts';

const SEED = Number(process.env['POSTMAP_SEED'] ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env['POSTMAP_ROUNDS'] ?? 8);

type Site = { readonly directory: string; readonly file: (name: string, text: string) => string };

function site(t: TestContext): Site {
  const { directory, file: write } = bench(t);
  // Debian's postmap waits for a text that was written within the last two seconds.
  const file = (name: string, text: string): string => {
    const path = write(name, text);
    utimesSync(path, 1_000_000, 1_000_000);
    return path;
  };
  file(
    'main.cf',
    `compatibility_level = 3.6\nmyhostname = mail.example.org\ndata_directory = ${directory}/data\n`,
  );
  return { directory, file };
}

function theirs(site: Site, argv: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(
    findProgram('postmap') ?? 'postmap',
    ['-c', site.directory, ...argv],
    { input, encoding: 'utf8' },
  );
  return { status, out: stdout, error: stderr };
}

const ours = (site: Site, argv: readonly string[], input = '') =>
  runTool(postmap, argv, site, input);

const answers = (out: string): Map<string, string> =>
  new Map(out.split('\n').flatMap((line) => (line === '' ? [] : [splitAnswer(line)])));

function splitAnswer(line: string): [key: string, value: string] {
  const tab = line.lastIndexOf('\t');
  return [line.slice(0, tab), line.slice(tab + 1)];
}

/** Ask both for every key; the number of keys. */
async function compare(site: Site, table: string, { keys, text }: Sample): Promise<number> {
  const input = keys.map((key) => `${key}\n`).join('');
  const [expected, actual] = [
    theirs(site, ['-q', '-', table], input),
    await ours(site, ['-q', '-', table], input),
  ];
  assert.doesNotMatch(actual.error, /fatal/, `seed ${SEED}, ${table}: ${actual.error}\n${text}`);
  const want = answers(expected.out);
  const have = answers(actual.out);
  for (const key of keys) {
    if (want.get(key) === have.get(key)) continue;
    const difference = { table, text, key, theirs: want.get(key), ours: have.get(key) };
    if (LOOKUP_DIFFERENCES.some(({ applies }) => applies(difference))) continue;
    assert.fail(`seed ${SEED}: ${JSON.stringify(difference)}\n${text}\n${expected.error}`);
  }
  return keys.length;
}

type Case = readonly [name: string, type: string, make: (rand: Random) => Sample];

const FILES: readonly Case[] = [
  ['hash', 'hash', mapSample],
  ['lmdb', 'lmdb', mapSample],
  ['cdb', 'cdb', mapSample],
  ['texthash', 'texthash', mapSample],
  ['cidr', 'cidr', cidrSample],
  ['regexp', 'regexp', (rand) => patternSample('plain', rand)],
  ['regexp, wild', 'regexp', (rand) => patternSample('regexp', rand)],
  ['pcre', 'pcre', (rand) => patternSample('pcre', rand)],
];

let asked = 0;

for (const [index, [name, type, make]] of FILES.entries()) {
  test(`${name}: answers as Debian's postmap (seed ${SEED})`, needs('postmap'), async (t) => {
    const place = site(t);
    const rand = random(SEED + index);
    const rounds = type === 'regexp' || type === 'pcre' ? ROUNDS * 2 : ROUNDS;
    for (let round = 0; round < rounds; round += 1) {
      const sample = make(rand);
      const path = place.file(`${index}-${round}`, sample.text);
      if (['hash', 'lmdb', 'cdb'].includes(type)) theirs(place, [`${type}:${path}`]);
      asked += await compare(place, `${type}:${path}`, sample);
    }
  });
}

test(
  `inline and composed tables answer as Debian's postmap (seed ${SEED})`,
  needs('postmap'),
  async (t) => {
    const place = site(t);
    const rand = random(SEED + 100);
    for (let round = 0; round < ROUNDS; round += 1) {
      const keys = ['a', 'B', 'b', 'c', '"x y"', 'OK', 'one', 'none', 'ab'];
      const inline = () =>
        `inline:{ ${keys
          .map((key) => `{${key}=${rand.pick(['a', 'b', 'OK', 'one two', 'x y'])}}`)
          .filter(() => rand.chance(0.5))
          .join(', ')}${rand.pick([', a=b', ', a=c, a=d', ', {a = x  y }'])} }`;
      const path = place.file(`t${round}`, 'a OK\nOK one two\nx b\n');
      const rules = place.file(`r${round}`, '/^(a|ab)/ <$1>\n/^O(.)$/ $1\n');
      const tables = [
        inline(),
        'static:OK',
        'static:{ one two }',
        'internal:x',
        `unionmap:{${inline()}, static:s, texthash:${path}}`,
        `unionmap:{ ${inline()}, regexp:${rules} }`,
        `pipemap:{${inline()}, ${inline()}}`,
        `pipemap:{texthash:${path}, regexp:${rules}}`,
        `pcre:{ {/^(a)(b)?$/ $1-$2}, {!/x/ no x} }`,
        'cidr:{ {10.0.0.0/8 ten}, {!10.1.0.0/16 other} }',
        'randmap:{same}',
      ];
      const sample = { keys: [...keys, '10.1.2.3', '10.2.3.4'], text: '' };
      for (const table of tables) {
        asked += await compare(place, table, { ...sample, text: table });
      }
    }
  },
);

test('enough has been asked', needs('postmap'), () => {
  assert.ok(asked >= 5000, `${asked} lookups`);
});
