/** %-templates and SQL quoting by themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { escapeDn, escapeFilter } from '../../../src/lookup/types/ldap.ts';
import {
  expandKey,
  expandResult,
  isComplete,
  needsOf,
  parseTemplate,
  type Template,
} from '../../../src/lookup/types/remote-template.ts';
import { queryText } from '../../../src/lookup/types/sql.ts';
import { plainQuotes, type SqlDialect } from '../../../src/lookup/types/sql-quotes.ts';

function template(source: string): Template {
  const parsed = parseTemplate(source);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

test('parseTemplate() and expandKey() take any text', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (source, key) => {
      const parsed = parseTemplate(source);
      if (!parsed.ok || !isComplete(needsOf([parsed.value]), key)) return;
      const text = expandKey(parsed.value, key, (value) => value);
      assert.equal(
        text.includes('undefined'),
        source.includes('undefined') || key.includes('undefined'),
      );
      expandResult(parsed.value, needsOf([], [parsed.value]), key, key);
    }),
  );
});

test('literal texts come out as they are, %% as %', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const source = text.replaceAll('%', '%%');
      assert.equal(
        expandKey(template(source), 'k', (value) => value),
        text,
      );
    }),
  );
});

/** Reads one SQL constant from its first quote, as the server would; what it means and what follows. */
function readConstant(text: string, escapes: boolean): readonly [value: string, rest: string] {
  let value = '';
  for (let at = 1; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\' && escapes) {
      at += 1;
      const next = text[at] ?? '';
      value += { 0: '\0', n: '\n', r: '\r', Z: '\x1a' }[next] ?? next;
    } else if (char !== text[0]) value += char;
    else if (text[at + 1] === char) {
      at += 1;
      value += char;
    } else return [value, text.slice(at + 1)];
  }
  return [value, '(no end)'];
}

const hostile = fc.string({
  unit: fc.constantFrom("'", '"', '\\', '`', '%', 'x', '-', ';', '\n', '\x1a', '\u4e2d', ' '),
});

test('a quoted key is one constant, and the key, in every dialect and mode', () => {
  const cases: readonly (readonly [SqlDialect, string, boolean, boolean])[] = [
    ['mysql', "'%s'", true, true],
    ['mysql', "'%s'", false, false],
    ['mysql', '"%s"', true, true],
    ['pgsql', "'%s'", false, false],
    ['pgsql', "'%s'", true, true],
    ['pgsql', "E'%s'", false, true],
    ['sqlite', "'%s'", false, false],
    ['sqlite', "'a''b' || '%s'", false, false],
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...cases),
      hostile,
      ([dialect, source, backslash, escapes], key) => {
        const session = { backslash, ansiQuotes: false };
        const text = queryText(template(`${source} END`), dialect, session, key);
        assert.ok(text.ok);
        const start = source.indexOf('%') - 1;
        const [value, rest] = readConstant(text.value.slice(start), escapes);
        // PostgreSQL's `\n` in E'' never arises: a backslash is always doubled.
        assert.deepEqual([value, rest], [key, ' END']);
      },
    ),
  );
});

test('outside of quotes only digits, or the rest of a name', () => {
  const session = { backslash: true, ansiQuotes: false };
  const cases: readonly (readonly [SqlDialect, string, string, string | undefined])[] = [
    ['mysql', 'SELECT %s', '12', 'SELECT 12'],
    ['mysql', 'SELECT %s', 'goto', undefined],
    ['mysql', 'SELECT %s', '1 OR 1', undefined],
    ['mysql', 'FROM aliases_%s', 'de', 'FROM aliases_de'],
    ['mysql', 'FROM aliases_%s', 'de;x', undefined],
    ['mysql', "'a' %s", "'", undefined],
    ['mysql', "'it''s' %s", 'x', undefined],
    ['mysql', "'a\\'%s'", "'", "'a\\'\\''"],
    ['mysql', '-- %s', '\n x', undefined],
    ['mysql', "# don't\n'%s'", "'", "# don't\n'\\''"],
    ['mysql', "/* ' */ '%s'", "'", "/* ' */ '\\''"],
    ['pgsql', "$$ ' $$ '%s'", "'", "$$ ' $$ ''''"],
    ['pgsql', '$x$ %s $x$', '$x$', undefined],
    ['sqlite', '[%s]', ']', undefined],
  ];
  for (const [dialect, source, key, want] of cases) {
    const text = queryText(
      template(source),
      dialect,
      { ...session, backslash: dialect === 'mysql' },
      key,
    );
    assert.equal(text.ok ? text.value : undefined, want, `${dialect} ${source} ${key}`);
  }
});

test('plainQuotes() makes constants of what SQLite might take for columns', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['a = "%s"', "a = '%s'"],
    ['a = "it\'s ""%u"""', "a = 'it''s \"%u\"'"],
    ['"a" = \'"%s"\'', '"a" = \'"%s"\''],
    ['"name" = 1', '"name" = 1'],
  ];
  for (const [source, want] of cases) assert.equal(plainQuotes(source), want);
});

test('LDAP escapes leave no character that means something', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const filter = escapeFilter(text);
      assert.doesNotMatch(filter, /[*()\0]|\\(?![0-9A-F]{2})/);
      const dn = escapeDn(text);
      assert.doesNotMatch(dn, /[\x00-\x20"#+,;<=>]|\\(?![0-9A-F]{2})/);
      for (const escaped of [filter, dn]) {
        const back = escaped.replaceAll(/\\([0-9A-F]{2})/g, (_, hex: string) =>
          String.fromCharCode(Number.parseInt(hex, 16)),
        );
        assert.equal(back, text);
      }
    }),
  );
});
