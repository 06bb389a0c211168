/**
 * The agent's side of private/qmgr: smtp, which reads bodies itself, and local, virtual and pipe,
 * which never open the queue and ask for them here.
 *
 *   agent -- hello, agent {transport, slots} --> qmgr
 *   agent <-- deliver {seq, request} ----------- qmgr
 *   agent -- body-wanted {seq} ----------------> qmgr, bytes and `body {last}` come back
 *   agent -- report {seq, report} -------------> qmgr
 *
 * A body is asked for when the delivery wants it, small ones once for all recipients. One that does
 * not come whole is a fault: it is never delivered short. The agent ends after `maxIdleMs` without
 * work, and when qmgr is gone and what was under way is done.
 */
import type { Socket } from 'node:net';
import { openChannel } from '../ipc/channel.ts';
import type { FromQmgr, ToQmgr } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { DeliveryReport, DeliveryRequest } from '../mail/stages.ts';
import type { Result } from '../util/result.ts';
import { type AgentBody, type BodyReader, bodyReader } from './body.ts';

/** Each call reads the body anew; one at a time. The fault is for the log and is temporary. */
export type OpenBody = () => Promise<Result<AgentBody, string>>;

export type AgentParts = {
  readonly transport: string;
  /** Deliveries at the same time; 1 where the process takes the identity of the recipient. */
  readonly slots: number;
  readonly maxIdleMs: number;
  readonly logger: Pick<Logger, 'warning'>;
  readonly deliver: (request: DeliveryRequest, openBody: OpenBody) => Promise<DeliveryReport>;
  /** Nothing to do any more, for whatever reason: the process may exit. Once. */
  readonly onEnd: () => void;
};

export type Agent = {
  /** Take no more work; resolves when what is under way has been reported and sent. */
  readonly drain: () => Promise<void>;
};

export function runAgent(socket: Socket, parts: AgentParts): Agent {
  const readers = new Map<number, BodyReader>();
  let underWay = 0;
  let isEnding = false;
  let isOpen = true;
  let idleTimer: NodeJS.Timeout | undefined;
  let drained: (() => void) | undefined;

  /** Once, with nothing under way. What was reported leaves the process first. */
  const end = (then: () => void): void => {
    if (isEnding) return;
    isEnding = true;
    clearTimeout(idleTimer);
    if (isOpen) socket.end(then);
    else then();
  };
  const idle = (): void => {
    if (underWay > 0) return;
    if (drained) return end(drained);
    if (!isOpen) return end(parts.onEnd);
    clearTimeout(idleTimer);
    idleTimer = setTimeout(() => end(parts.onEnd), parts.maxIdleMs);
  };
  const work = async (seq: number, request: DeliveryRequest): Promise<void> => {
    underWay += 1;
    clearTimeout(idleTimer);
    const reader = bodyReader({
      wireBytes: request.content.wireBytes,
      ask: () => {
        if (!isOpen) return reader.end('connection to qmgr is closed');
        channel.send({ kind: 'body-wanted', seq, id: request.id });
      },
      pause: () => socket.pause(),
      resume: () => socket.resume(),
    });
    readers.set(seq, reader);
    const report = await parts.deliver(request, reader.open);
    readers.delete(seq);
    underWay -= 1;
    // A stream that nobody finished must not hold up the next delivery.
    reader.abandon();
    if (isOpen) channel.send({ kind: 'report', seq, report });
    idle();
  };
  const channel = openChannel<ToQmgr>(socket, {
    onMessage: (message) => {
      if (isKind(message, 'deliver')) {
        // A rejection is a broken invariant: it reaches the process skeleton.
        if (!isEnding && !drained) void work(message.seq, message.request);
      } else if (isKind(message, 'body')) readers.get(message.seq)?.end(message.fault);
    },
    onBytes: (seq, bytes) => readers.get(seq)?.add(bytes),
    onClose: (error) => {
      isOpen = false;
      if (error) parts.logger.warning(`connection to qmgr: ${error.message}`);
      for (const reader of readers.values()) reader.end('connection to qmgr is closed');
      idle();
    },
  });
  channel.send({ kind: 'hello', role: parts.transport, pid: process.pid });
  channel.send({ kind: 'agent', transport: parts.transport, slots: parts.slots });
  idle();
  return {
    drain: () =>
      new Promise((resolve) => {
        if (isEnding) return resolve();
        drained = resolve;
        idle();
      }),
  };
}

/** qmgr is ours (private/ is open to mail_owner only): the shape is taken as declared. */
function isKind<Kind extends FromQmgr['kind']>(
  message: unknown,
  kind: Kind,
): message is Extract<FromQmgr, { kind: Kind }> {
  return (
    typeof message === 'object' &&
    message !== null &&
    Reflect.get(message, 'kind') === kind &&
    typeof Reflect.get(message, 'seq') === 'number'
  );
}
