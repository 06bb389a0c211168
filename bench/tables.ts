/**
 * Large tables beside Debian's postmap, in one run on the same machine.
 *
 *   node bench/tables.ts [--lines 1000000]
 *
 * A virtual table with shuffled keys is indexed by both (`hash:` and `lmdb:` of theirs), then looked up
 * in one process; what the index costs that process is its anonymous memory with it less that
 * without. Ratios below 1 are in our favour; the targets are printed beside them.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildVirtualTable } from './tables/virtual-table.ts';

const ROOT = join(import.meta.dirname, '..');
const at = process.argv.indexOf('--lines');
const lines = at < 0 ? 1_000_000 : Number(process.argv[at + 1]);

const directory = mkdtempSync(join(tmpdir(), 'postern-tables-'));
try {
  main();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function main(): void {
  const text = join(directory, 'virtual');
  const descriptor = openSync(text, 'w');
  for (const piece of buildVirtualTable(lines)) writeSync(descriptor, piece);
  closeSync(descriptor);
  const settings = `compatibility_level = 3.6\nmyhostname = mail.example.org\ndata_directory = ${directory}/data\n`;
  writeFileSync(join(directory, 'main.cf'), settings);

  const ours = timed(join(ROOT, 'bin/postmap'), ['-c', directory, `hash:${text}`]);
  const hash = timed('/usr/sbin/postmap', ['-c', directory, `hash:${text}`]);
  const lmdb = timed('/usr/sbin/postmap', ['-c', directory, `lmdb:${text}`]);
  const looked = lookups(['index', text, String(lines)]);
  const without = lookups(['memory', text, String(lines)]);

  const row = (name: string, value: string, target: string): void =>
    void process.stdout.write(`${name.padEnd(44)} ${value.padStart(12)}   ${target}\n`);
  row(`build, ${lines} lines`, `${ours.seconds.toFixed(2)} s`, '');
  row("Debian's postmap hash:", `${hash.seconds.toFixed(2)} s`, '');
  row("Debian's postmap lmdb:", `${lmdb.seconds.toFixed(2)} s`, '');
  row('build, ours / hash:', (ours.seconds / hash.seconds).toFixed(2), 'below 1');
  row('build, ours / lmdb:', (ours.seconds / lmdb.seconds).toFixed(2), 'at most 1.5');
  row(
    'the same in processor time',
    (ours.cpu / lmdb.cpu).toFixed(2),
    'a busy host distorts the other',
  );
  row('memory of the build', `${ours.megabytes} MB`, 'below 300 MB');
  row('lookups a second', `${looked.rate}`, 'at least 300000');
  row('own memory for the index', `${looked.megabytes - without.megabytes} MB`, 'below 20 MB');
}

/** Wall time, and the largest resident set of the command and what it starts. */
function timed(command: string, argv: readonly string[]) {
  const start = performance.now();
  const done = spawnSync('/usr/bin/time', ['-f', '%M %U %S', command, ...argv], {
    encoding: 'utf8',
  });
  const seconds = (performance.now() - start) / 1000;
  if (done.status !== 0) throw new Error(`${command} ${argv.join(' ')}: ${done.stderr}`);
  const last = done.stderr.trim().split('\n').pop() ?? '';
  const [kilobytes = 0, user = 0, system = 0] = last.split(' ').map(Number);
  return { seconds, cpu: user + system, megabytes: Math.round(kilobytes / 1024) };
}

function lookups(argv: readonly string[]): {
  readonly rate: number;
  readonly megabytes: number;
} {
  const entry = join(import.meta.dirname, 'tables/lookups.ts');
  const words = ['--expose-gc', entry, ...argv, join(directory, 'data')];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' }));
}
