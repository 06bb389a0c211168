/** Random table texts and keys for the differential test of postmap, from a seed. */

export type Random = {
  /** A whole number from 0 up to `below`. */
  readonly int: (below: number) => number;
  readonly pick: <T>(values: readonly [T, ...T[]]) => T;
  readonly chance: (probability: number) => boolean;
};

/** Mulberry32: small, and the same everywhere. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (below: number): number => Math.floor(next() * below);
  return {
    int,
    pick: (values) => values[int(values.length)] ?? values[0],
    chance: (probability) => next() < probability,
  };
}

export type Sample = { readonly text: string; readonly keys: readonly string[] };

const repeat = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

/** `key value` lines with what people write between them. */
export function mapSample(rand: Random): Sample {
  const keys = repeat(12, () => mapKey(rand));
  const lines = keys.map((key) => {
    const value = mapValue(rand);
    if (rand.chance(0.06)) return key;
    if (rand.chance(0.04)) return `"${key.replaceAll('"', '')} ${value}`;
    return `${key}${rand.pick([' ', '\t', '   ', ' \t '])}${value}${rand.pick(['', '', ' ', '\t', '\r'])}`;
  });
  if (rand.chance(0.3)) lines.unshift(rand.pick([' indented first', '# comment', '', '\t']));
  const asked = keys.flatMap((key) => [key, swapCase(key), key.slice(0, -1), `${key}x`]);
  return { text: `${lines.join('\n')}${rand.pick(['\n', ''])}`, keys: asked.filter(isKey) };
}

const isKey = (key: string): boolean => key !== '' && !key.includes('\n');

function mapKey(rand: Random): string {
  const local = rand.pick(['user', 'User', 'joe', 'a.b', 'x+y', 'ÄÖ', 'straße', 'ΣΑΣ', 'ij', 'i']);
  const domain = rand.pick(['example.com', 'Example.COM', 'b.test', '.b.test', 'bücher.test']);
  const form = rand.int(8);
  if (form === 0) return local;
  if (form === 1) return `@${domain}`;
  if (form === 2) return `"${local} q"@${domain}`;
  if (form === 3) return `${local}\\ x@${domain}`;
  if (form === 4) return domain;
  if (form === 5) return `"${local}"@${domain}`;
  return `${local}${rand.int(4)}@${domain}`;
}

function mapValue(rand: Random): string {
  const words = repeat(1 + rand.int(3), () =>
    rand.pick(['OK', 'REJECT', 'a@b.test,', '#not', 'smtp:[x]:25', '"q v"', 'Ünï', '550 5.7.1 no']),
  );
  const joint = rand.pick([' ', '  ', '\n   ', '\n# comment\n\t', '\n\n ']);
  return words.join(joint);
}

const swapCase = (text: string): string =>
  [...text]
    .map((char) => (char === char.toUpperCase() ? char.toLowerCase() : char.toUpperCase()))
    .join('');

export function cidrSample(rand: Random): Sample {
  const lines: string[] = [];
  for (let at = 0; at < 14; at += 1) {
    const bang = rand.pick(['', '', '', '!', '! ', '!!']);
    const kind = rand.int(10);
    if (kind === 0) lines.push(`if ${bang}${network(rand)}`);
    else if (kind === 1) lines.push(rand.pick(['endif', 'ENDIF', 'endif x']));
    else if (kind === 2) lines.push(`${bang}${network(rand)}`);
    else if (kind === 3) lines.push(`${rand.pick(['name', '10.0.0', '1.2.3.4.5', '::x'])} v${at}`);
    else lines.push(`${bang}${network(rand)}${rand.pick([' ', '\t'])}v${at} $1 x`);
  }
  return {
    text: `${lines.join('\n')}\n`,
    keys: [...repeat(80, () => address(rand)), 'name', '1.2'],
  };
}

function address(rand: Random): string {
  if (rand.chance(0.3)) return `2001:db8:${rand.int(3)}::${rand.int(4)}`;
  return `10.${rand.int(3)}.${rand.int(3)}.${rand.int(4)}`;
}

function network(rand: Random): string {
  const text = rand.chance(0.3)
    ? rand.pick(['2001:db8::/32', '2001:db8:1::/48', '::/0', '2001:db8::1', '2001:db8:2::2/127'])
    : rand.pick([
        '10.0.0.0/8',
        '10.1.0.0/16',
        '10.2.1.0/24',
        '10.0.0.1',
        '0.0.0.0/0',
        '10.1.1.2/31',
      ]);
  return rand.chance(0.06) ? rand.pick([`${text}/3`, `[${text}]`, text.replace('0/', '1/')]) : text;
}

/** How deep groups nest. */
const DEPTH = 3;

/**
 * Rules of a regexp or pcre table, and keys over the same few letters. `plain` POSIX rules are those
 * whose groups the C library fills as the standard says: neither repeated groups nor alternatives
 * of the whole pattern.
 */
export function patternSample(type: 'regexp' | 'plain' | 'pcre', rand: Random): Sample {
  const lines = type === 'plain' ? [] : ['# wild'];
  let depth = 0;
  for (let at = 0; at < 10; at += 1) {
    const groups = { count: 0 };
    const pattern = `/${alternatives(type, rand, DEPTH, groups)}/${patternFlags(type, rand)}`;
    const bang = rand.pick(['', '', '', '', '!']);
    if (rand.chance(0.12)) {
      lines.push(`if ${bang}${pattern}`);
      depth += 1;
    } else if (depth > 0 && rand.chance(0.3)) {
      lines.push('endif');
      depth -= 1;
    } else
      lines.push(`${bang}${pattern} v${at} ${bang === '' ? references(rand, groups.count) : ''}`);
  }
  const keys = repeat(80, () =>
    repeat(rand.int(7), () => rand.pick(['a', 'b', 'A', 'x', '.', 'b', ' ', '-', '_', '1'])).join(
      '',
    ),
  );
  return { text: `${lines.join('\n')}\n`, keys: keys.filter(isKey) };
}

function references(rand: Random, count: number): string {
  const numbers = Array.from({ length: count }, (_, at) => at + 1);
  return numbers.map((n) => rand.pick([`<$${n}>`, `<\${${n}}>`, `<$(${n})>`])).join('');
}

function patternFlags(type: string, rand: Random): string {
  if (rand.chance(0.7)) return '';
  return type !== 'pcre'
    ? rand.pick(['i', 'm', 'im', 'ii'])
    : rand.pick(['i', 's', 'x', 'A', 'U', 'E', 'm']);
}

type Groups = { count: number };

function alternatives(type: string, rand: Random, depth: number, groups: Groups): string {
  const isWhole = type === 'plain' && depth === DEPTH;
  const count = rand.chance(0.3) && !isWhole ? 2 + rand.int(2) : 1;
  const options = repeat(count, () => branch(type, rand, depth, groups));
  // The C library errs with anchors elsewhere (see wanted-differences.ts).
  const isEdged = type !== 'pcre' && depth === DEPTH;
  return options
    .map((option) =>
      isEdged ? `${rand.pick(['', '', '^'])}${option}${rand.pick(['', '', '$'])}` : option,
    )
    .join('|');
}

function branch(type: string, rand: Random, depth: number, groups: Groups): string {
  return repeat(1 + rand.int(3), () => piece(type, rand, depth, groups)).join('');
}

function piece(type: string, rand: Random, depth: number, groups: Groups): string {
  const roll = rand.int(20);
  if (roll === 0 && type === 'pcre') return '^';
  if (roll === 1 && type === 'pcre') return '$';
  if (roll === 2 && type === 'pcre') return rand.pick(['\\b', '\\B', '\\A', '\\Z', '\\z']);
  if (roll === 3 && type === 'pcre' && depth > 0) {
    const opening = rand.pick(['(?=', '(?!', '(?:', '(?>', '(?i:', '(?-i:']);
    return `${opening}${alternatives(type, rand, depth - 1, groups)})`;
  }
  if (roll === 4 && type === 'pcre')
    return rand.pick(['(?<=a)', '(?<!b)', '(?<=a|bb)', '(?<!\\w)']);
  const repeated = atom(type, rand, depth, groups);
  // What its groups hold after {n,m} of a group is the C library's own choice.
  if (repeated.startsWith('(') && type === 'plain') return repeated;
  const isGroup = type === 'regexp' && repeated.startsWith('(');
  return repeated + (isGroup ? rand.pick(['', '', '*', '+', '?']) : quantifier(type, rand));
}

function atom(type: string, rand: Random, depth: number, groups: Groups): string {
  const roll = rand.int(12);
  if (roll < 3 && depth > 0) {
    groups.count += 1;
    return `(${alternatives(type, rand, depth - 1, groups)})`;
  }
  if (roll === 3) return '.';
  if (roll === 4)
    return rand.pick(['[ab]', '[^a]', '[a-c]', '[]x]', '[^]b]', '[[:alpha:]]', '[[:space:]_]']);
  if (roll === 5) return rand.pick(['\\.', '\\w', '\\W', '\\s', '\\S']);
  if (roll === 6 && type === 'pcre')
    return rand.pick(['\\d', '\\D', '\\x61', '\\Qa.\\E', '\\h', '[\\w.]', '\\x{62}']);
  return rand.pick(['a', 'b', 'A', 'x', 'a', 'b', '1']);
}

function quantifier(type: string, rand: Random): string {
  if (rand.chance(0.55)) return '';
  const base = rand.pick(['*', '+', '?', '{2}', '{1,2}', '{0,2}', '{1,}']);
  return type === 'pcre' && rand.chance(0.3) ? base + rand.pick(['?', '+']) : base;
}
