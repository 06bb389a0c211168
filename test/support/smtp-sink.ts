/**
 * An SMTP or LMTP server for tests that answers by a script: what to say at each stage, where to
 * hang up, what to offer. Keeps a transcript of what it was told.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export type Stage = 'greeting' | 'hello' | 'starttls' | 'auth' | 'mail' | 'rcpt' | 'data' | 'end';

export type SinkScript = {
  /** Reply of a stage in place of the usual one; '' hangs up; undefined: the usual one. */
  readonly answer?: (stage: Stage, line: string, count: number) => string | undefined;
  readonly lmtp?: boolean;
  /** No EHLO. */
  readonly plain?: boolean;
  readonly keywords?: readonly string[];
  /** Offer STARTTLS with this key, or speak TLS at once. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly wrapper?: boolean };
  /** Bytes sent in the same packet as the 220 of STARTTLS. */
  readonly injected?: string;
};

export type Sink = {
  readonly port: number;
  /** Every line told, `<TLS>` where it began; bodies as one entry each in `messages`. */
  readonly lines: string[];
  readonly messages: string[];
  readonly connections: () => number;
  readonly close: () => Promise<void>;
};

const KEYWORDS = ['PIPELINING', 'SIZE 10240000', '8BITMIME', 'DSN', 'ENHANCEDSTATUSCODES'];

export async function startSink(script: SinkScript = {}): Promise<Sink> {
  const lines: string[] = [];
  const messages: string[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.setNoDelay(true);
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    const session = script.tls?.wrapper ? upgrade(socket, script.tls) : socket;
    talk(session, script, lines, messages);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    lines,
    messages,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function upgrade(socket: Socket, { key, cert }: { key: string; cert: string }): TLSSocket {
  const secure = new TLSSocket(socket, { isServer: true, key, cert });
  secure.on('error', () => socket.destroy());
  return secure;
}

function talk(socket: Socket, script: SinkScript, lines: string[], messages: string[]): void {
  let rest = '';
  let rcpts = 0;
  let inData = false;
  const counts = new Map<Stage, number>();
  const say = (stage: Stage, line: string, usual: string): boolean => {
    const count = (counts.get(stage) ?? 0) + 1;
    counts.set(stage, count);
    const text = script.answer?.(stage, line, count) ?? usual;
    if (text === '') socket.destroy();
    else socket.write(`${text}\r\n`, 'latin1');
    return /^[23]/.test(text);
  };
  const take = (): void => {
    for (;;) {
      if (inData) {
        const at = `\r\n${rest}`.indexOf('\r\n.\r\n');
        if (at < 0) return;
        messages.push(rest.slice(0, at));
        rest = rest.slice(at + 3);
        inData = false;
        const finals = script.lmtp ? rcpts : 1;
        for (let i = 0; i < finals && !socket.destroyed; i += 1) {
          say('end', '.', `250 2.0.0 Ok: queued as SINK${messages.length}`);
        }
        rcpts = 0;
        continue;
      }
      const at = rest.indexOf('\r\n');
      if (at < 0) return;
      const line = rest.slice(0, at);
      rest = rest.slice(at + 2);
      lines.push(line);
      if (command(line) === 'stop') return;
    }
  };
  const command = (line: string): 'stop' | undefined => {
    const verb = line.split(' ')[0]?.toUpperCase();
    switch (verb) {
      case 'EHLO':
      case 'LHLO':
        if (script.plain) socket.write('502 5.5.2 Error: command not recognized\r\n');
        else say('hello', line, ehlo());
        return undefined;
      case 'HELO':
        say('hello', line, '250 sink.example');
        return undefined;
      case 'STARTTLS': {
        const usual = `220 2.0.0 Ready${script.injected ? `\r\n${script.injected}` : ''}`;
        if (!say('starttls', line, usual) || !script.tls) return undefined;
        socket.removeAllListeners('data');
        const secure = upgrade(socket, script.tls);
        lines.push('<TLS>');
        talkInside(secure);
        return 'stop';
      }
      case 'MAIL':
        rcpts = 0;
        say('mail', line, '250 2.1.0 Ok');
        return undefined;
      case 'RCPT':
        if (say('rcpt', line, '250 2.1.5 Ok')) rcpts += 1;
        return undefined;
      case 'DATA':
        if (rcpts === 0) say('data', line, '554 5.5.1 Error: no valid recipients');
        else inData = say('data', line, '354 End data with <CR><LF>.<CR><LF>');
        return undefined;
      case 'QUIT':
        socket.end('221 2.0.0 Bye\r\n');
        return 'stop';
      default:
        say('auth', line, '235 2.7.0 Authentication successful');
        return undefined;
    }
  };
  const ehlo = (): string => {
    const offered = [
      'sink.example',
      ...(script.keywords ?? KEYWORDS),
      ...(script.tls && !(socket instanceof TLSSocket) ? ['STARTTLS'] : []),
    ];
    return offered.map((word, i) => `250${i < offered.length - 1 ? '-' : ' '}${word}`).join('\r\n');
  };
  const talkInside = (secure: Socket): void => {
    rest = '';
    talk(
      secure,
      {
        ...script,
        answer: (stage, line, count) =>
          stage === 'greeting' ? GREETED : script.answer?.(stage, line, count),
      },
      lines,
      messages,
    );
  };
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    rest += chunk.toString('latin1');
    take();
  });
  if (script.answer?.('greeting', '', 0) !== GREETED) say('greeting', '', '220 sink.example ESMTP');
}

/** Marks a session that goes on after STARTTLS: no second greeting. */
const GREETED = '<greeted>';
