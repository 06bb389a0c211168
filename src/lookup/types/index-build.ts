/**
 * Have an index built by a process of its own: waiting for it, or not.
 *
 * As root that process takes the identity of who owns `$data_directory`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { err, ok, type Result } from '../../util/result.ts';
import { makeMapsDirectory, ownerOf } from './map-directory.ts';
import type { BuildRequest, Built } from './map-index.ts';

/** `busy`: another process builds it, or the text changed meanwhile: ask again later. */
export type BuildFailure = { readonly isBusy: boolean; readonly reason: string };

const ENTRY = new URL('./index-builder.ts', import.meta.url).pathname;
const MAX_OUTPUT = 1 << 20;

/** Build now; the caller waits (at the start of a service, and in postmap). */
export function buildNow(request: BuildRequest): Result<Built, BuildFailure> {
  const launch = prepare(request);
  if (!launch.ok) return launch;
  const { words, identity, text } = launch.value;
  const done = spawnSync(process.execPath, words, {
    ...identity,
    stdio: [text, 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: MAX_OUTPUT,
  });
  closeSync(text);
  if (done.error) return err({ isBusy: false, reason: done.error.message });
  return outcome(done.status, done.stdout, done.stderr);
}

/** Build beside the work of this process; `done` is called once. */
export function buildLater(
  request: BuildRequest,
  done: (result: Result<Built, BuildFailure>) => void,
): void {
  const launch = prepare(request);
  if (!launch.ok) {
    done(launch);
    return;
  }
  const { words, identity, text } = launch.value;
  const child = spawn(process.execPath, words, { ...identity, stdio: [text, 'pipe', 'pipe'] });
  closeSync(text);
  // A build that is under way keeps no process alive that has nothing else to do.
  child.unref();
  let output = '';
  let errors = '';
  child.stdout?.on('data', (data) => (output += data));
  child.stderr?.on('data', (data) => (errors += data));
  for (const stream of [child.stdout, child.stderr]) {
    if (stream && 'unref' in stream && typeof stream.unref === 'function') stream.unref();
  }
  let isDone = false;
  const finish = (result: Result<Built, BuildFailure>): void => {
    if (!isDone) done(result);
    isDone = true;
  };
  child.once('error', (error) => finish(err({ isBusy: false, reason: error.message })));
  child.once('close', (status) => finish(outcome(status, output, errors)));
}

type Launch = {
  readonly words: string[];
  readonly identity: { readonly uid?: number; readonly gid?: number };
  /** Descriptor of the open text. */
  readonly text: number;
};

function prepare(request: BuildRequest): Result<Launch, BuildFailure> {
  try {
    makeMapsDirectory(request.id);
    const { uid, gid } = ownerOf(request.id);
    const identity = process.geteuid?.() === 0 && uid !== 0 ? { uid, gid } : {};
    const text = openSync(request.id.path, 'r');
    const words = ['--disable-warning=ExperimentalWarning', ENTRY, JSON.stringify(request)];
    return ok({ words, identity, text });
  } catch (error) {
    return err({ isBusy: false, reason: error instanceof Error ? error.message : String(error) });
  }
}

function outcome(
  status: number | null,
  output: string,
  errors: string,
): Result<Built, BuildFailure> {
  if (status === 75) return err({ isBusy: true, reason: 'another process builds it' });
  if (status !== 0) {
    const last = errors.trim().split('\n').pop() ?? '';
    return err({ isBusy: false, reason: last === '' ? `builder ended (${status})` : last });
  }
  const built: Built = JSON.parse(output);
  return ok(built);
}
