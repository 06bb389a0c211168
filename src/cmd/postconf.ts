/**
 * postconf(1): show and edit main.cf and master.cf, and show what else this mail system is.
 *
 *   postconf [-dfhHjnopqvx] [-C class,...] [parameter ...]     [-e] parameter=value ...   -X, -# parameter ...
 *   postconf -M [service[/type] ...]     -Me service/type=value     -MX, -M# service/type
 *   postconf -F [service[/type[/field]] ...]     -Fe service/type/field=value
 *   postconf -P [service[/type[/parameter]] ...]     -Pe service/type/parameter=value     -PX ...
 *   postconf -a | -A | -l | -m | -b [file] | -t [file] | -T mode
 */
import { join, resolve } from 'node:path';
import type { Result } from '../util/result.ts';
import type { Io } from './main.ts';
import { type Edited, type EditMode, editFile, editMain, readMainEdits } from './postconf-edit.ts';
import {
  editMaster,
  entryFault,
  type MasterTarget,
  readMasterEdits,
} from './postconf-edit-master.ts';
import { type Options, parseOptions } from './postconf-options.ts';
import { fatal, warn } from './postconf-read.ts';
import { showMain, showMaster } from './postconf-show.ts';

export async function postconf(argv: readonly string[], io: Io): Promise<number> {
  const pieces: string[] = [];
  const status = await run(argv, { ...io, stdout: (text) => void pieces.push(text) });
  if (pieces.length > 0) io.stdout(pieces.join(''));
  return status;
}

async function run(argv: readonly string[], outer: Io): Promise<number> {
  const parsed = parseOptions(argv);
  if (!parsed.ok) return fatal(outer, parsed.error);
  const options = parsed.value;
  const { directory } = options;
  const io = directory === undefined ? outer : { ...outer, configDirectory: resolve(directory) };
  const { flags, names } = options;
  const isEdit = flags.has('e') || flags.has('X') || flags.has('#');
  if (isEdit && names.length === 0) return fatal(io, 'missing service argument');
  for (const letter of ['a', 'A', 'l', 'm'] as const)
    if (flags.has(letter)) return (await import('./postconf-other.ts')).showList(letter, io);
  if (flags.has('b') || flags.has('t'))
    return (await import('./postconf-other.ts')).showBounces(flags.has('b'), names, io);
  if (flags.has('T'))
    return (await import('./postconf-other.ts')).showTls(options.tlsMode ?? '', io);
  if (flags.has('p')) return isEdit ? changeMain(options, io) : showMain(options, io);
  return isEdit ? changeMaster(options, io) : showMaster(options, io);
}

const modeOf = ({ flags }: Options): EditMode =>
  flags.has('e') ? 'set' : flags.has('X') ? 'exclude' : 'comment';

/** Files are edited as bytes, so what comes from the command line becomes bytes too. */
const asBytes = (words: readonly string[]): string[] =>
  words.map((word) => Buffer.from(word, 'utf8').toString('latin1'));

function changeMain(options: Options, io: Io): number {
  const path = join(io.configDirectory, 'main.cf');
  const edits = readMainEdits(modeOf(options), asBytes(options.names));
  if (!edits.ok) return fatal(io, asText(edits.error));
  return finish(
    editFile(path, (source) => ({ ok: true, value: editMain(source, edits.value, path) })),
    io,
  );
}

function changeMaster(options: Options, io: Io): number {
  const path = join(io.configDirectory, 'master.cf');
  const mode = modeOf(options);
  const target = targetOf(options);
  const edits = readMasterEdits(mode, target, asBytes(options.names));
  if (!edits.ok) return fatal(io, asText(edits.error));
  const fault = target === 'entry' && mode === 'set' ? entryFault(edits.value) : undefined;
  if (fault !== undefined) return fatal(io, asText(fault));
  return finish(
    editFile(path, (source) => editMaster(source, mode, target, edits.value, path)),
    io,
  );
}

function targetOf({ flags }: Options): MasterTarget {
  return flags.has('M') ? 'entry' : flags.has('F') ? 'field' : 'param';
}

const asText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

function finish(edited: Result<Edited, string>, io: Io): number {
  if (!edited.ok) return fatal(io, asText(edited.error));
  for (const text of edited.value.warnings) warn(io, asText(text));
  return 0;
}
