import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareLevels, expand } from '../../src/util/expand.ts';

const VALUES: ReadonlyMap<string, string> = new Map([
  ['name', 'value'],
  ['empty', ''],
  ['outer', '<$name>'],
  ['loop', 'x$loop'],
  ['level', '3.6'],
]);
const run = (text: string): string => expand(text, (name) => VALUES.get(name)).text;

const CASES: readonly [text: string, expanded: string][] = [
  ['plain', 'plain'],
  ['$name ${name} $(name)', 'value value value'],
  ['$$name', '$name'],
  ['$outer', '<value>'],
  ['a$undefined.b', 'a.b'],
  ['${name?yes}', 'yes'],
  ['${empty?yes}', ''],
  ['${empty:no}', 'no'],
  ['${name:no}', ''],
  ['${name?{a}:{b}}', 'a'],
  ['${empty?{a}:{b}}', 'b'],
  ['${name?{$name}:{b}}', 'value'],
  ['${{$name} == {value}?{eq}:{ne}}', 'eq'],
  ['${{$name} != {value}?{ne}:{eq}}', 'eq'],
  ['${{9} < {10}?{number}:{text}}', 'number'],
  ['${{9} < {x10}?{text}:{number}}', 'text'],
  ['${{$level} <level {3.11} ? {old} : {new}}', 'old'],
  ['${{$level} >=level {3.6} ? {new} : {old}}', 'new'],
  ['${{a} == {a}}', 'true'],
  ['${{a} == {b}}', ''],
  ['${empty?bug:test}', ''],
  ['${name?bug:test}', 'bug:test'],
];

for (const [text, expanded] of CASES) {
  test(`expand() makes ${JSON.stringify(text)} ${JSON.stringify(expanded)}`, () =>
    assert.equal(run(text), expanded));
}

test('expand() ends on a loop and says so', () => {
  const result = expand('$loop', (name) => VALUES.get(name));
  assert.ok(result.faults.some((fault) => fault.includes('nesting')));
});

test('compareLevels() knows that 3.6 is below 3.11', () => {
  assert.ok(compareLevels('3.6', '3.11') < 0);
  assert.equal(compareLevels('2', '2.0'), 0);
});

test('expand() survives any text and always ends', () => {
  const piece = fc.constantFrom(
    '$',
    '{',
    '}',
    '(',
    ')',
    '?',
    ':',
    'name',
    'loop',
    ' == ',
    '<level',
    'x',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (parts) => {
      assert.equal(typeof run(parts.join('')), 'string');
    }),
  );
});
