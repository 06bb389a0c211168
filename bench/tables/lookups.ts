/**
 * One process that looks keys up: `lookups.ts index|memory TEXT LINES DATA_DIRECTORY`. With `memory` it
 * asks a table of one line, to show what the process costs without the index. Prints JSON.
 */
import { readFileSync } from 'node:fs';
import { compiledTable } from '../../src/lookup/types/compiled.ts';
import { memoryTable } from '../../src/lookup/types/memory.ts';
import { virtualKey, virtualValue } from './virtual-table.ts';

const [, , how = '', path = '', count = '0', dataDirectory = ''] = process.argv;
const lines = Number(count);
const LOOKUPS = Math.min(1_000_000, 2 * lines);

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const logger = { info: say, warning: say, error: say, fatal: say, panic: say, flush: () => {} };
const opened = compiledTable('hash', path, { dataDirectory, logger, aliasFiles: new Set() });
if (!opened.ok) throw new Error(opened.error.reason);
const table = how === 'index' ? opened.value : memoryTable('hash', path, new Map([['a', 'b']]));

// Time of this process, so that what else the host does changes nothing.
const start = process.cpuUsage();
let hits = 0;
for (let turn = 0; turn < LOOKUPS; turn += 1) {
  const index = (turn * 7919) % lines;
  const answer = table.lookup(virtualKey(index));
  if (answer instanceof Promise || answer.kind !== 'found') continue;
  if (answer.value === virtualValue(index)) hits += 1;
}
const { user, system } = process.cpuUsage(start);
const seconds = (user + system) / 1e6;
if (how === 'index' && hits !== LOOKUPS) throw new Error(`${hits} of ${LOOKUPS} found`);

globalThis.gc?.();
const anonymous = /RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
const megabytes = Math.round(Number(anonymous) / 1024);
process.stdout.write(JSON.stringify({ rate: Math.round(LOOKUPS / seconds), megabytes }));
