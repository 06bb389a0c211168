/**
 * The record of decisions that `postern explain ID` replays: a JSON line each, in
 * `$data_directory/policy-decisions` and its predecessor `policy-decisions.1`.
 *
 * Lines are collected and appended a few times a second, so that mail does not wait for them; a
 * crash loses the last of them, never mail. The file is moved aside at its size limit. Several
 * processes append to it. A record that cannot be written is reported once and given up.
 */
import { randomBytes } from 'node:crypto';
import { appendFile, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../log/maillog.ts';

export type Decision = {
  readonly id: string;
  readonly timeMs: number;
  readonly client: string;
  readonly user: string;
  readonly sender: string;
  /** Envelope recipient, or the header's From address for a check of senders at end of data. */
  readonly about: string;
  readonly policy: string;
  /** `file:line` of the policy. */
  readonly place: string;
  readonly outcome: 'pass' | 'refuse' | 'retry';
  /** What was asked and found, in order. */
  readonly steps: readonly string[];
};

export type DecisionRecord = {
  readonly newId: () => string;
  readonly add: (decision: Decision) => void;
  /** Write out what is collected. */
  readonly flush: () => Promise<void>;
};

const FLUSH_MS = 200;
const MAX_PENDING_LINES = 10_000;

export const decisionFile = (dataDirectory: string): string =>
  join(dataDirectory, 'policy-decisions');

export function openRecord(
  dataDirectory: string,
  maxBytes: number,
  logger: Logger,
): DecisionRecord {
  const file = decisionFile(dataDirectory);
  const prefix = randomBytes(4).toString('hex');
  let count = 0;
  let lines: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let hasComplained = false;
  let writing = Promise.resolve();

  const write = async (): Promise<void> => {
    const text = lines.join('');
    lines = [];
    timer = undefined;
    if (text === '') return;
    try {
      await appendFile(file, text, { mode: 0o600 });
      const { size } = await stat(file);
      if (size > maxBytes) await rename(file, `${file}.1`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!hasComplained) logger.warning(`cannot keep policy decisions for explain: ${reason}`);
      hasComplained = true;
    }
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    writing = writing.then(write);
    return writing;
  };
  return {
    newId: () => {
      count += 1;
      return `${prefix}-${count.toString(36)}`;
    },
    add: (decision) => {
      if (maxBytes === 0 || lines.length >= MAX_PENDING_LINES) return;
      lines.push(`${JSON.stringify(decision)}\n`);
      timer ??= setTimeout(() => void flush(), FLUSH_MS).unref();
    },
    flush,
  };
}

/** Find a decision in the files; undefined when it is not there or no longer. */
export async function findDecision(
  dataDirectory: string,
  id: string,
): Promise<Decision | undefined> {
  const file = decisionFile(dataDirectory);
  const start = `{"id":${JSON.stringify(id)},`;
  for (const name of [file, `${file}.1`]) {
    const text = await readIfThere(name);
    const line = text.split('\n').find((each) => each.startsWith(start));
    const decision = line === undefined ? undefined : parseDecision(line);
    if (decision) return decision;
  }
  return undefined;
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

function parseDecision(line: string): Decision | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isDecision(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isDecision(value: unknown): value is Decision {
  if (typeof value !== 'object' || value === null) return false;
  const texts = ['id', 'client', 'user', 'sender', 'about', 'policy', 'place', 'outcome'];
  const fields = new Map<string, unknown>(Object.entries(value));
  const steps = fields.get('steps');
  return (
    texts.every((name) => typeof fields.get(name) === 'string') &&
    typeof fields.get('timeMs') === 'number' &&
    Array.isArray(steps) &&
    steps.every((step) => typeof step === 'string')
  );
}
