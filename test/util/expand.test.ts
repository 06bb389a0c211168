import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareLevels, parseLevel } from '../../src/util/compat-level.ts';
import { expand, references } from '../../src/util/expand.ts';

const VALUES: ReadonlyMap<string, string> = new Map([
  ['name', 'value'],
  ['empty', ''],
  ['outer', '<$name>'],
  ['hollow', '$empty'],
  ['loop', 'x$loop'],
  ['double', '$double2$double2'],
  ['double2', '$double$double'],
  ['level', '3.6'],
  ['broken', 'a${name'],
  ['raw', '$name'],
]);
const lookup = (name: string): string | undefined => VALUES.get(name);
const run = (text: string): string => expand(text, lookup, (name) => name === 'raw').text;

const CASES: readonly [text: string, expanded: string][] = [
  ['plain', 'plain'],
  ['$name ${name} $(name)', 'value value value'],
  ['$( name) $(name )', 'value value'],
  ['$$name', '$name'],
  ['$$$name', '$value'],
  ['$outer', '<value>'],
  ['$raw', '$name'],
  ['a$undefined.b', 'a.b'],
  ['${name?yes}', 'yes'],
  ['${empty?yes}', ''],
  ['${empty:no}', 'no'],
  ['${name:no}', ''],
  ['${hollow?set}${hollow:unset}', 'set'],
  ['${name?{a}:{b}}', 'a'],
  ['${empty?{a}:{b}}', 'b'],
  ['${name?{ a }:{b}}', ' a '],
  ['${name?{a}:b}', 'a'],
  ['${empty?{a}: b}', ' b'],
  ['${name?{$name}:{b}}', 'value'],
  ['${name?{${empty?{x}:{${level}}}}}', '3.6'],
  ['${{$name} == {value}?{eq}:{ne}}', 'eq'],
  ['${{$name} != {value}?{ne}:{eq}}', 'eq'],
  ['${{a } == {a}?{eq}:{ne}}', 'ne'],
  ['${{9} < {10}?{number}:{text}}', 'number'],
  ['${{9} < {x10}?{text}:{number}}', 'text'],
  ['${{123456789012345678901} > {123456789012345678900}}', 'true'],
  ['${{$level} <level {3.11} ? {old} : {new}}', 'old'],
  ['${{$level} >=level {3.6} ? {new} : {old}}', 'new'],
  ['${{a} == {a}}', 'true'],
  ['${{a} == {b}}', ''],
  ['${{a} == {b}:{different}}', 'different'],
  ['${empty?bug:test}', ''],
  ['${name?bug:test}', 'bug:test'],
  ['${name??foo:{b}ar}', '?foo:{b}ar'],
  ['${domain_to_ascii{ bücher.example }}', 'xn--bcher-kva.example'],
  ['${domain_to_utf8{xn--bcher-kva.example}}', 'bücher.example'],
];

for (const [text, expanded] of CASES) {
  test(`expand() makes ${JSON.stringify(text)} ${JSON.stringify(expanded)}`, () => {
    assert.deepEqual(expand(text, lookup, (name) => name === 'raw').faults, []);
    assert.equal(run(text), expanded);
  });
}

const OPERATORS = '"==" or "!="" or "<"" or "<="" or ">="" or ">"';
const BAD: readonly [text: string, fault: string][] = [
  ['x$', 'empty macro name: "x$"'],
  ['$ x', 'empty macro name: "$ x"'],
  ['${}', 'empty macro name: "${}"'],
  ['$(name', 'truncated macro reference: "$(name"'],
  ['<$broken>', 'truncated macro reference: "a${name"'],
  ['${na me}', 'attribute name syntax error at: "...na>>> me"'],
  ['${a-b}', 'attribute name syntax error at: "...a>>>-b"'],
  ['${{text}}', `${OPERATORS} expected at: "...text}>>>"`],
  ['${{text} = {}}', `${OPERATORS} expected at: "...text}>>>= {}"`],
  ['${{x}==(y)?{a}:{b}}', '"{expression}" expected at: "...{x} ==>>>(y)?{a}:{b}"'],
  ['${{1} <lovel {2}}', 'bad operator suffix at: "...<>>>lovel"'],
  ['${{x} <level {2}}', 'malformed compatibility level syntax: "x"'],
  ['${{a} == {a}x{b}}', '"?" or ":" expected at: "...}>>>x{b}"'],
  ['${name?{a}x}', '":" expected at: "...a}>>>x"'],
  ['${name?{a}?{b}}', '":" expected at: "...a}>>>?{b}"'],
  ['${empty:{a}:{b}}', 'unexpected input at: "...a}>>>:{b}"'],
  ['${name?{a}:{b}x}', 'unexpected input at: "...b}>>>x"'],
  ['${bogus{a}}', 'unknown function "bogus" at"...>>>bogus{a}"'],
  ['$(name?{a)', 'unbalanced {} in attribute expression: "{a"'],
];
for (const [text, fault] of BAD) {
  test(`expand() of ${JSON.stringify(text)} says ${fault}`, () => {
    assert.deepEqual(expand(text, lookup).faults, [fault]);
  });
}

test('expand() names what nests too deeply', () => {
  assert.deepEqual(expand('$loop', lookup).faults, [
    'unreasonable macro call nesting: "x"',
    'unreasonable macro call nesting: "loop"',
  ]);
});

test('expand() ends when values double without end', () => {
  assert.notEqual(expand('$double', lookup).faults.length, 0);
  const wide = new Map(Array.from({ length: 60 }, (_, at) => [`v${at}`, `$v${at + 1}$v${at + 1}`]));
  const result = expand('$v0', (name) => wide.get(name));
  assert.match(result.faults[0] ?? '', /^unreasonable macro expansion: /);
});

test('references() names what every branch mentions', () => {
  const text = '$a ${b?{$c}:{$d}} ${{$e} == {${f}} ? {$g}} $$h ${domain_to_utf8{$i}}';
  assert.equal(references(text).names.join(''), 'abcdefgi');
});

test('compareLevels() knows that 3.6 is below 3.11', () => {
  assert.ok(compareLevels('3.6', '3.11') < 0);
  assert.equal(compareLevels('2', '2.0'), 0);
  assert.ok(compareLevels('3.6.1', '3.6') > 0);
  assert.equal(parseLevel('3.x'), undefined);
  assert.equal(parseLevel('3.1024'), undefined);
});

test('expand() survives any text and always ends', () => {
  const words = ['$', '{', '}', '(', ')', '?', ':', 'name', 'loop', ' == ', '<level', 'x', ' '];
  const piece = fc.oneof(fc.constantFrom(...words), fc.string());
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (parts) => {
      const text = parts.join('');
      assert.equal(typeof run(text), 'string');
      references(text);
    }),
  );
});
