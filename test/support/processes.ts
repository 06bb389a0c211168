/** Processes of a running server, read from /proc: children, names, credentials. */
import { readdirSync, readFileSync } from 'node:fs';

/** Pids of the children of a process; with a title, those whose command line is it. */
export function processesOf(parent: number, title?: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
    .filter((pid) => title === undefined || titleOf(pid) === title);
}

/** The command line, which our processes replace with their name; '' when it has ended. */
export const titleOf = (pid: number): string =>
  read(pid, 'cmdline').replace(/\0+$/, '').replaceAll('\0', ' ').trim();

function parentOf(pid: number): number | undefined {
  const stat = read(pid, 'stat');
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === undefined || state === 'Z' ? undefined : Number(parent);
}

/** What the kernel says of a process: field name to value of /proc/PID/status. */
export function statusOf(pid: number): ReadonlyMap<string, string> {
  const lines = read(pid, 'status').split('\n');
  return new Map(lines.map((line) => [line.split(':')[0] ?? '', line.split(':\t')[1] ?? '']));
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
