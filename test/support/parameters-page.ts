/**
 * docs/parameters.md, made from the descriptors.
 *
 *   node test/support/parameters-page.ts      writes it; `npm run docs:parameters`
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEPRECATED_PARAMETERS, REMOVED_PARAMETERS } from '../../src/conf/deprecated-params.ts';
import type { Param } from '../../src/conf/descriptor.ts';
import { meaningOf } from '../../src/conf/not-implemented.ts';
import { PARAMS } from '../../src/conf/params.ts';
import { LEGACY_PARAMETERS, POSTFIX_PARAMETERS } from '../../src/conf/postfix-params.ts';

export const PAGE = join(import.meta.dirname, '../../docs/parameters.md');

const HEAD = `# Parameters

Made from the descriptors in src/conf/ by \`npm run docs:parameters\`; do not edit it here.

A value may use \`$name\`, \`\${name?{set}:{unset}}\` and \`\${{a} == {b} ? {yes} : {no}}\` as in
postconf(5). Times are a number and a unit (s, m, h, d, w); the unit in the column "type" applies to a
number alone. A default with \`<level\` depends on compatibility_level, which is 0 when main.cf does not
set it. \`postern check\` names every setting that does nothing, with file and line.
`;

export function parametersPage(): string {
  const own = Object.entries<Param>(PARAMS).sort(([a], [b]) => (a < b ? -1 : 1));
  const missing = [...POSTFIX_PARAMETERS.keys()].filter((name) => !Object.hasOwn(PARAMS, name));
  const groups = new Map<string, string[]>();
  for (const name of missing.sort()) {
    const meaning = meaningOf(name);
    groups.set(meaning, [...(groups.get(meaning) ?? []), name]);
  }
  return [
    HEAD,
    `## Implemented\n\n${own.length} parameters; **bold** names are Postern's own.\n`,
    table(['parameter', 'type', 'default', 'meaning'], own.map(ownRow)),
    `\n## Postfix parameters without effect\n\n${missing.length} parameters, by what their absence means.\n`,
    [...groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([meaning, names]) => `- ${meaning}:\n  ${names.map(code).join(', ')}`)
      .join('\n'),
    '\n## Names that are going or gone\n',
    table(
      ['parameter', 'state', 'instead'],
      [
        ...[...DEPRECATED_PARAMETERS].map(([name, instead]) => [code(name), 'still read', instead]),
        ...[...REMOVED_PARAMETERS].map(([name, instead]) => [code(name), 'removed', instead]),
      ],
    ),
    '',
  ].join('\n');
}

function ownRow([name, param]: [string, Param]): string[] {
  const isOwn = !POSTFIX_PARAMETERS.has(name) && !LEGACY_PARAMETERS.has(name);
  const shown = isOwn ? `**${code(name)}**` : code(name);
  return [shown, typeOf(param), param.default === '' ? 'empty' : code(param.default), param.doc];
}

function typeOf(param: Param): string {
  switch (param.type) {
    case 'text':
      return param.raw === true ? 'text, not expanded' : 'text';
    case 'bool':
      return 'yes/no';
    case 'int': {
      const most = param.max === undefined || param.max >= 2 ** 31 - 1 ? '' : `-${param.max}`;
      return `number ${param.min ?? 0}${most === '' ? '+' : most}`;
    }
    case 'time':
      return `time (${param.unit})`;
  }
}

const code = (text: string): string => `\`${text}\``;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), `| ${head.map(() => '---').join(' | ')} |`, ...rows.map(line)].join('\n');
}

if (import.meta.main) writeFileSync(PAGE, parametersPage());
