/**
 * Postern and Debian's Postfix side by side, each the next hop of the other over TLS, and what tests
 * of that need: a plain client, dumps of smtp-sink, messages without their trace.
 *
 * Mail for example.org lies in Postern's mailbox, for example.net in Postfix's. Mail for
 * sink.example goes through both to smtp-sink; the one that got it first hands it to the other.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { makeBootstrap } from '../../src/tls/bootstrap.ts';
import {
  freePorts,
  isListening,
  makeDirectory,
  type PosternInstance,
  removeDirectory,
  startPostern,
  startPostfix,
  startProgram,
  until,
} from './instance.ts';

export type Certificates = {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
};

export async function makeCertificates(
  directory: string,
  names: readonly string[],
): Promise<Certificates> {
  const made = await makeBootstrap({
    directory,
    names: [...names],
    addresses: ['127.0.0.1'],
    nowMs: Date.now(),
  });
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

/** What one SMTP client says and is told; every reply but the last of DATA must be positive. */
export async function submit(
  port: number,
  mail: {
    readonly from: string;
    readonly to: readonly string[];
    readonly message: Buffer | string;
  },
): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let rest = '';
  const waiting: ((reply: string) => void)[] = [];
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1');
    for (let match = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(rest); match; ) {
      rest = rest.slice(match[0].length);
      waiting.shift()?.(match[0].trim());
      match = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(rest);
    }
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    for (const each of waiting) each('000 connection closed');
  });
  const ask = (bytes: Buffer | string, wanted: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      waiting.push((reply) => {
        if (wanted.test(reply)) resolve(reply);
        else reject(new Error(`${bytes.toString('latin1').slice(0, 200)}: ${reply}`));
      });
      if (bytes.length > 0) socket.write(bytes);
    });
  const wire = Buffer.from(mail.message as string)
    .toString('latin1')
    .replaceAll(/^\./gm, '..');
  await ask('', /^220/);
  await ask('EHLO client.example\r\n', /^250/);
  await ask(`MAIL FROM:${mail.from}\r\n`, /^250/);
  for (const to of mail.to) await ask(`RCPT TO:${to}\r\n`, /^250/);
  await ask('DATA\r\n', /^354/);
  const last = await ask(Buffer.from(`${wire}.\r\n`, 'latin1'), /^[245]/);
  socket.end('QUIT\r\n');
  return last;
}

/** Lines of the message below what each hop put in front of it; LF line ends. */
export function withoutTrace(text: string): string {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  const at = lines.findIndex((line) => line.startsWith('X-Begin:'));
  return at < 0 ? text : lines.slice(at).join('\n');
}

export const messagesIn = (maildir: string): string[] => {
  const folder = join(maildir, 'new');
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'));
};

export type SinkProgram = {
  readonly port: number;
  /** Whole dumps: smtp-sink's X- lines, its Received:, the message. */
  readonly dumps: () => string[];
  readonly stop: () => Promise<void>;
};

/** smtp-sink with options; dumps are kept. */
export async function startSinkProgram(argv: readonly string[] = []): Promise<SinkProgram> {
  const directory = makeDirectory('smtp-sink-');
  chmodSync(directory, 0o777);
  const [port = 0] = await freePorts(1);
  const owner = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const program = startProgram('smtp-sink', [
    ...owner,
    ...argv,
    '-d',
    join(directory, 'dump.'),
    `127.0.0.1:${port}`,
    '100',
  ]);
  await until('smtp-sink listens', () => isListening(port));
  return {
    port,
    dumps: () =>
      readdirSync(directory).map((name) => readFileSync(join(directory, name), 'latin1')),
    stop: async () => {
      await program.stop();
      removeDirectory(directory);
    },
  };
}

export type Pair = {
  readonly postern: PosternInstance;
  readonly postfix: Awaited<ReturnType<typeof startPostfix>>;
  readonly ports: { readonly postern: number; readonly postfix: number };
  readonly posternBox: string;
  readonly postfixBox: string;
  readonly stop: () => Promise<void>;
};

export async function startPair(options: {
  readonly sinkPort: number;
  /** A sink without 8BITMIME. */
  readonly plainSinkPort: number;
}): Promise<Pair> {
  const directory = makeDirectory('postfix-pair-');
  const [posternPort = 0, postfixPort = 0] = await freePorts(2);
  const certs = await makeCertificates(join(directory, 'postern'), [
    'mail.example.org',
    'localhost',
  ]);
  const theirs = await makeCertificates(join(directory, 'postfix'), [
    'oracle.example.net',
    'localhost',
  ]);
  const boxes = join(directory, 'boxes');
  mkdirSync(boxes);
  chmodSync(boxes, 0o777);
  const common = {
    mynetworks: '127.0.0.0/8',
    mydestination: '',
    smtpd_tls_security_level: 'may',
    smtpd_recipient_restrictions: 'permit_mynetworks, reject',
    smtpd_relay_restrictions: 'permit_mynetworks, reject',
    smtpd_forbid_bare_newline: 'no',
    smtpd_tls_received_header: 'yes',
    smtp_tls_loglevel: '1',
    smtpd_tls_loglevel: '1',
    virtual_mailbox_base: '/',
    virtual_uid_maps: 'static:65534',
    virtual_gid_maps: 'static:65534',
    virtual_minimum_uid: '100',
    smtp_host_lookup: 'native',
    local_header_rewrite_clients: '',
  };
  const routes = (other: string): string =>
    `inline:{{sink.example=smtp:[127.0.0.1]:${options.sinkPort}},{plain.example=smtp:[127.0.0.1]:${options.plainSinkPort}},${other}}`;
  const postfix = await startPostfix({
    main: {
      ...common,
      virtual_mailbox_domains: 'example.net',
      virtual_mailbox_maps: `static:${boxes}/postfix/`,
      transport_maps: routes(
        `{example.org=secure:[localhost]:${posternPort}},{via.example=secure:[localhost]:${posternPort}}`,
      ),
      smtpd_tls_cert_file: theirs.certFile,
      smtpd_tls_key_file: theirs.keyFile,
      smtp_tls_CAfile: certs.caFile,
    },
    master: `127.0.0.1:${postfixPort} inet n - n - - smtpd
secure unix - - n - - smtp -o smtp_tls_security_level=verify
`,
  });
  const postern = await startPostern({
    main: {
      ...common,
      virtual_mailbox_domains: 'example.org',
      virtual_mailbox_maps: `static:${boxes}/postern/`,
      transport_maps: routes(
        `{example.net=secure:[localhost]:${postfixPort}},{via.example=smtp:[127.0.0.1]:${options.sinkPort}}`,
      ),
      smtpd_tls_chain_files: `${certs.keyFile}, ${certs.certFile}`,
      smtp_tls_CAfile: theirs.caFile,
      smtp_tls_security_level: 'may',
      minimal_backoff_time: '1s',
      queue_run_delay: '1s',
    },
    master: `127.0.0.1:${posternPort} inet n - n - - smtpd
qmgr unix n - n 300 1 qmgr
cleanup unix n - n - 0 cleanup
smtp unix - - n - - smtp
secure unix - - n - - smtp -o smtp_tls_security_level=verify
virtual unix - n n - - virtual
error unix - - n - - error
`,
  });
  return {
    postern,
    postfix,
    ports: { postern: posternPort, postfix: postfixPort },
    posternBox: join(boxes, 'postern'),
    postfixBox: join(boxes, 'postfix'),
    stop: async () => {
      await Promise.all([postern.stop(), postfix.stop()]);
      removeDirectory(directory);
    },
  };
}
