/**
 * Every command, by the name it was called with. Each lives in a file of its own and is loaded only
 * when called: sendmail(1) starts often and must start fast.
 *
 *   main.ts NAME ARGUMENTS...      -c DIR or MAIL_CONFIG names the configuration directory
 */
import { enableCompileCache } from 'node:module';
import { resolve } from 'node:path';

export type Io = {
  readonly stdin: NodeJS.ReadableStream;
  /** All of standard input, without loading streams; absent in tests. */
  readonly readInput?: () => Promise<Buffer>;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly configDirectory: string;
};

const USAGE = `usage: postern [-c config_dir] command

  start | start-fg | stop | abort | reload | status | check | flush
  logrotate | set-permissions
  passwd add|set|del|list|verify USER [--password-stdin]
  resolve ADDRESS [--sender ADDRESS]
                          where mail for an address goes, step by step
  explain ID              why a sending policy decided as it did
  queue dump|restore FILE copy all queued mail out, or back in
  quickstart              run a complete server from this directory
`;

async function run(name: string, argv: string[], io: Io): Promise<number> {
  switch (name) {
    case 'postern':
    case 'postfix':
      return postern(argv, io);
    case 'sendmail':
      return (await import('./sendmail.ts')).sendmail(argv, io);
    case 'mailq':
      return (await import('./postqueue.ts')).postqueue(['-p', ...argv], io);
    case 'postqueue':
      return (await import('./postqueue.ts')).postqueue(argv, io);
    case 'newaliases':
      return (await import('./newaliases.ts')).newaliases(argv, io);
    case 'postmap':
      return (await import('./postmap.ts')).postmap(argv, io);
    case 'postalias':
      return (await import('./postalias.ts')).postalias(argv, io);
    case 'postconf':
      return (await import('./postconf.ts')).postconf(argv, io);
    case 'postsuper':
      return (await import('./postsuper.ts')).postsuper(argv, io);
    case 'postcat':
      return (await import('./postcat.ts')).postcat(argv, io);
    default:
      io.stderr(`postern: no command ${name}\n${USAGE}`);
      return 64;
  }
}

async function postern(argv: string[], io: Io): Promise<number> {
  const [verb = '', ...rest] = argv.filter((word) => word !== '-v');
  switch (verb) {
    case 'check':
      return (await import('./check.ts')).check(io.configDirectory, io);
    case 'passwd':
      return (await import('./passwd.ts')).passwd(rest, io);
    case 'resolve':
      return (await import('./resolve.ts')).resolveCommand(rest, io);
    case 'explain':
      return (await import('./explain.ts')).explain(rest, io);
    case 'queue':
      return (await import('./queue-dump.ts')).queueDump(rest, io);
    case 'quickstart':
      return (await import('./quickstart.ts')).quickstart(rest, io);
    case 'start':
    case 'start-fg':
    case 'stop':
    case 'abort':
    case 'reload':
    case 'status':
    case 'flush':
    case 'logrotate':
    case 'set-permissions':
      return (await import('./server.ts')).server(verb, io);
    default:
      io.stderr(verb === '' ? USAGE : `postern: no command ${verb}\n${USAGE}`);
      return verb === 'help' ? 0 : 64;
  }
}

/** Take `-c DIR` out of the words, wherever it stands before `--`. */
function configDirectoryOf(argv: string[]): string {
  const at = argv.indexOf('-c');
  const end = argv.indexOf('--');
  if (at >= 0 && at + 1 < argv.length && (end < 0 || at < end)) {
    const [, directory = ''] = argv.splice(at, 2);
    return resolve(directory);
  }
  return resolve(process.env['MAIL_CONFIG'] ?? '/etc/postern');
}

enableCompileCache(process.env['NODE_COMPILE_CACHE']);
// `postconf | head`: whoever read our output has seen enough.
process.stdout.on('error', () => process.exit(1));
const [, , name = 'postern', ...argv] = process.argv;
const configDirectory = configDirectoryOf(argv);
process.exitCode = await run(name, argv, {
  // As a stream it costs time to load: only for those that want it.
  get stdin() {
    return process.stdin;
  },
  readInput: async () => (await import('./read-input.ts')).readInput(0),
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  configDirectory,
});
