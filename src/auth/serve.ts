/**
 * One connection of an smtpd to the auth process: reads requests, writes verdicts.
 *
 * A message that is no request ends the connection: only our own processes can open the socket.
 */
import type { Socket } from 'node:net';
import { openChannel } from '../ipc/channel.ts';
import type { FromAuth, ToAuth } from '../ipc/protocol.ts';
import { type Logger, printable } from '../log/maillog.ts';
import type { Passdb } from './passdb.ts';

export type AuthParts = { readonly passdb: Passdb; readonly logger: Logger };

export function serveAuth(socket: Socket, { passdb, logger }: AuthParts): void {
  let isOpen = true;
  const channel = openChannel<FromAuth>(socket, {
    onMessage: (message) => {
      if (isRequest(message)) void answer(message);
      else socket.destroy(new Error('not a request to the auth process'));
    },
    onClose: (error) => {
      isOpen = false;
      if (error) logger.warning(`connection to an smtpd process: ${error.message}`);
    },
  });

  const answer = async (request: ToAuth): Promise<void> => {
    const { seq, username, secret, clientAddress } = request;
    const verdict = await passdb.verify(username, secret, clientAddress);
    if (verdict.kind === 'unavailable') {
      const who = printable(`${username} from ${clientAddress}`);
      logger.warning(`cannot check the password of ${who}: ${verdict.reason}`);
    }
    if (!isOpen) return;
    if (verdict.kind === 'accepted') {
      const { username: name, groups } = verdict;
      channel.send({ kind: 'verdict', seq, verdict: 'accepted', username: name, groups });
    } else channel.send({ kind: 'verdict', seq, verdict: verdict.kind });
  };
}

function isRequest(message: unknown): message is ToAuth {
  if (typeof message !== 'object' || message === null) return false;
  return (
    'kind' in message &&
    message.kind === 'verify' &&
    'seq' in message &&
    typeof message.seq === 'number' &&
    'username' in message &&
    typeof message.username === 'string' &&
    'secret' in message &&
    typeof message.secret === 'string' &&
    'clientAddress' in message &&
    typeof message.clientAddress === 'string'
  );
}
