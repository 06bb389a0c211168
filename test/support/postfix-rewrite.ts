/**
 * Asks a trivial-rewrite(8) of Debian's Postfix over its socket: thousands of addresses through one
 * connection.
 *
 * @see Postfix attr_print0(3), rewrite_clnt(3), resolve_clnt(3)
 */
import { connect, type Socket } from 'node:net';

export type OracleRoute = {
  readonly transport: string;
  readonly nexthop: string;
  readonly recipient: string;
  readonly flags: number;
};

/** Bits of resolve_clnt(3). */
export const FLAG_FINAL = 0x1;
export const FLAG_ROUTED = 0x2;
export const FLAG_ERROR = 0x4;
export const FLAG_FAIL = 0x8;
export const CLASS_BITS: Readonly<Record<string, number>> = {
  local: 1 << 8,
  'virtual-alias': 1 << 9,
  'virtual-mailbox': 1 << 10,
  relay: 1 << 11,
  default: 1 << 12,
};

export type RewriteOracle = {
  rewrite(rule: 'local' | 'remote', address: string): Promise<string>;
  resolve(sender: string, address: string): Promise<OracleRoute>;
  close(): void;
};

export async function openRewriteOracle(path: string): Promise<RewriteOracle> {
  const socket = await connected(path);
  let rest = Buffer.alloc(0);
  const waiting: ((fields: string[]) => void)[] = [];
  const failed: ((error: Error) => void)[] = [];
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let end = endOf(rest); end >= 0; end = endOf(rest)) {
      const fields = rest.toString('utf8', 0, end).split('\0');
      rest = rest.subarray(end + 2);
      failed.shift();
      waiting.shift()?.(fields);
    }
  });
  socket.on('close', () => {
    for (const reject of failed) reject(new Error(`${path}: closed`));
  });
  const answer = (): Promise<string[]> =>
    new Promise((resolve, reject) => {
      waiting.push(resolve);
      failed.push(reject);
    });
  const ask = (...fields: string[]): Promise<string[]> => {
    const found = answer();
    socket.write(`${fields.join('\0')}\0\0`);
    return found;
  };
  await answer();
  return {
    async rewrite(rule, address) {
      const fields = await ask('request', 'rewrite', 'rule', rule, 'address', address);
      return fields[3] ?? '';
    },
    async resolve(sender, address) {
      const fields = await ask('request', 'resolve', 'sender', sender, 'address', address);
      const [, , , transport = '', , nexthop = '', , recipient = '', , flags = ''] = fields;
      return { transport, nexthop, recipient, flags: Number(flags) };
    },
    close: () => socket.destroy(),
  };
}

/** Attributes are `name NUL value NUL`; a name that is empty ends them. */
function endOf(bytes: Buffer): number {
  let at = 0;
  for (;;) {
    if (at >= bytes.length) return -1;
    if (bytes[at] === 0) return at - 1;
    for (let i = 0; i < 2; i += 1) {
      const next = bytes.indexOf(0, at);
      if (next < 0) return -1;
      at = next + 1;
    }
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.once('error', reject);
  });
}
