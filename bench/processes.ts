/**
 * What a process tree has cost: CPU seconds and memory, from /proc.
 *
 * A tree's CPU is the sum of user and system time over its living members, each with the time of
 * the children it has waited for; so a worker that has ended still counts.
 */
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

type Stat = { readonly pid: number; readonly parent: number; readonly cpuSeconds: number };

function readStat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i] ?? 0), 0);
    return { pid, parent: Number(fields[1]), cpuSeconds: ticks / TICKS_PER_SECOND };
  } catch {
    return undefined;
  }
}

/** The pids of a tree, its root first. */
export function treeOf(root: number): number[] {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? []);
  const tree = [root];
  for (const pid of tree) for (const stat of stats) if (stat.parent === pid) tree.push(stat.pid);
  return tree;
}

/** CPU seconds that the trees of these roots have used so far. */
export function cpuSeconds(roots: readonly number[]): number {
  const pids = new Set(roots.flatMap(treeOf));
  return [...pids].reduce((sum, pid) => sum + (readStat(pid)?.cpuSeconds ?? 0), 0);
}

/** Proportional set size of the trees, in bytes. */
export function pssBytes(roots: readonly number[]): number {
  const pids = new Set(roots.flatMap(treeOf));
  return [...pids].reduce((sum, pid) => {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      return sum + Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) * 1024;
    } catch {
      return sum;
    }
  }, 0);
}
