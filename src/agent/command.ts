/**
 * Run a command with a message on its standard input, and read its verdict.
 *
 * The command starts with an empty environment but for what is given, in a session of its own, so
 * that the time limit ends its children too. Its exit status is read by sysexits(3); a status code
 * at the start of its output wins over the table.
 *
 * Unlike Postfix: as root the command has its user's group but no supplementary groups.
 *
 * @see pipe(8), local(8), Postfix pipe_command(3), sys_exits(3)
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Dsn, dsn } from '../mail/dsn.ts';
import { BodyFault } from './body.ts';
import { isSystemError } from './file-error.ts';
import { type Identity, isRoot } from './identity.ts';

export type CommandRequest = {
  readonly argv: readonly [string, ...string[]];
  /** For messages: the command as it was configured. */
  readonly shown: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly identity: Identity | undefined;
  /** Working directory; absent: that of the process. */
  readonly directory?: string;
  readonly input: AsyncIterable<Buffer>;
  readonly timeLimitMs: number;
};

const SYSEXITS: ReadonlyMap<number, Dsn> = new Map([
  [64, dsn('5.3.0', 'command line usage error')],
  [65, dsn('5.6.0', 'data format error')],
  [66, dsn('5.3.0', 'cannot open input')],
  [67, dsn('5.1.1', 'user unknown')],
  [68, dsn('5.1.2', 'host name unknown')],
  [69, dsn('5.3.0', 'service unavailable')],
  [70, dsn('5.3.0', 'internal software error')],
  [71, dsn('5.3.0', 'system resource problem')],
  [72, dsn('5.3.0', 'critical OS file missing')],
  [73, dsn('5.2.0', "can't create user output file")],
  [74, dsn('5.3.0', 'input/output error')],
  [75, dsn('4.3.0', 'temporary failure')],
  [76, dsn('5.5.0', 'remote error in protocol')],
  [77, dsn('5.7.0', 'permission denied')],
  [78, dsn('5.3.5', 'local configuration error')],
]);

/** Output that is kept for the diagnostic. */
const OUTPUT_LIMIT = 2048;

type Ending =
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'body'; readonly reason: string }
  | { readonly kind: 'spawn'; readonly reason: string };

/** `2.0.0` with `success` when the command exits 0. */
export async function runCommand(request: CommandRequest): Promise<Dsn> {
  let output = '';
  const ending = await run(request, (chunk) => {
    if (output.length < OUTPUT_LIMIT) output += chunk.toString('utf8').slice(0, OUTPUT_LIMIT);
  });
  const text = output.trim();
  const tail = text === '' ? '' : `. Command output: ${text}`;
  switch (ending.kind) {
    case 'timeout':
      return dsn('4.3.0', `Command time limit exceeded: "${request.shown}"${tail}`);
    case 'signal':
      return dsn('4.3.0', `Command died with signal ${ending.signal}: "${request.shown}"${tail}`);
    case 'body':
      return dsn('4.3.0', `cannot read message: ${ending.reason}`);
    case 'spawn':
      return dsn('4.3.0', `cannot run "${request.shown}": ${ending.reason}`);
    case 'exit':
      return exitStatus(ending.code, text, tail, request.shown);
  }
}

function exitStatus(code: number, text: string, tail: string, shown: string): Dsn {
  if (code === 0) return dsn('2.0.0', 'success');
  const own = /^([45])\.(\d{1,3})\.(\d{1,3})(?:\s+([\s\S]*))?$/.exec(text);
  if (own) {
    const severity = own[1] === '4' ? 4 : 5;
    const status = `${severity}.${Number(own[2])}.${Number(own[3])}` as const;
    return dsn(status, own[4] || `Command died with status ${code}: "${shown}"`);
  }
  const known = SYSEXITS.get(code);
  if (known) return dsn(known.status, `${known.reason}${tail}`);
  return dsn('5.3.0', `Command died with status ${code}: "${shown}"${tail}`);
}

function run(request: CommandRequest, onOutput: (chunk: Buffer) => void): Promise<Ending> {
  const { argv, environment, identity, directory, timeLimitMs } = request;
  const [file, ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      env: environment,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(directory === undefined ? {} : { cwd: directory }),
      ...(identity && isRoot() ? { uid: identity.uid, gid: identity.gid } : {}),
    });
    let cut: Ending | undefined;
    const stop = (ending: Ending): void => {
      cut ??= ending;
      killGroup(child);
    };
    const timer = setTimeout(() => stop({ kind: 'timeout' }), timeLimitMs);
    child.stdout.on('data', onOutput);
    child.stderr.on('data', onOutput);
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ kind: 'spawn', reason: error.message });
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (cut) resolve(cut);
      else if (signal) resolve({ kind: 'signal', signal });
      else resolve({ kind: 'exit', code: code ?? 255 });
    });
    // A command that does not read its input is judged by its exit status.
    child.stdin.on('error', () => undefined);
    feed(child, request.input).then(undefined, (error: unknown) => {
      if (error instanceof BodyFault) stop({ kind: 'body', reason: error.message });
      else throw error;
    });
  });
}

async function feed({ stdin }: ChildProcess, input: AsyncIterable<Buffer>): Promise<void> {
  if (!stdin) return;
  for await (const piece of input) {
    if (stdin.destroyed) break;
    if (!stdin.write(piece)) {
      await new Promise<void>((resolve) => {
        stdin.once('drain', resolve);
        stdin.once('close', resolve);
      });
    }
  }
  stdin.end();
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: it has just ended.
    if (!isSystemError(error)) throw error;
  }
}
