/**
 * A delivery agent's side of private/qmgr: says hello, offers slots, answers deliver with report.
 *
 * Deliveries run at the same time, up to `slots`. The agent ends itself after `maxIdleMs` without
 * work, and when qmgr is gone and what was under way is done.
 */
import type { Socket } from 'node:net';
import { openChannel } from '../ipc/channel.ts';
import type { FromQmgr, ToQmgr } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { DeliveryReport, DeliveryRequest } from '../mail/stages.ts';

export type AgentParts = {
  readonly transport: string;
  readonly slots: number;
  readonly maxIdleMs: number;
  readonly logger: Pick<Logger, 'warning'>;
  readonly deliver: (request: DeliveryRequest) => Promise<DeliveryReport>;
  /** Nothing to do any more, for whatever reason: the process may exit. Once. */
  readonly onEnd: () => void;
};

export type Agent = {
  /** Take no more work; resolves when what is under way has been reported. */
  readonly drain: () => Promise<void>;
};

export function startAgent(socket: Socket, parts: AgentParts): Agent {
  let underWay = 0;
  let isEnding = false;
  let isOpen = true;
  let idleTimer: NodeJS.Timeout | undefined;
  const waiting: (() => void)[] = [];

  const end = (): void => {
    if (isEnding) return;
    isEnding = true;
    clearTimeout(idleTimer);
    channel.end();
    parts.onEnd();
  };
  const idle = (): void => {
    if (underWay > 0) return;
    for (const done of waiting.splice(0)) done();
    if (!isOpen) {
      end();
      return;
    }
    clearTimeout(idleTimer);
    idleTimer = setTimeout(end, parts.maxIdleMs);
  };
  const work = async (seq: number, request: DeliveryRequest): Promise<void> => {
    underWay += 1;
    clearTimeout(idleTimer);
    const report = await parts.deliver(request);
    underWay -= 1;
    if (isOpen) channel.send({ kind: 'report', seq, report });
    idle();
  };
  const channel = openChannel<ToQmgr>(socket, {
    onMessage: (message) => {
      const deliver = deliverMessage(message);
      // A rejection is a broken invariant: it reaches the process skeleton.
      if (deliver) void work(deliver.seq, deliver.request);
    },
    onClose: (error) => {
      isOpen = false;
      if (error) parts.logger.warning(`connection to qmgr: ${error.message}`);
      idle();
    },
  });
  channel.send({ kind: 'hello', role: parts.transport, pid: process.pid });
  channel.send({ kind: 'agent', transport: parts.transport, slots: parts.slots });
  idle();
  return {
    drain: () => {
      if (underWay === 0) return Promise.resolve();
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}

/** qmgr is ours (private/ is open to mail_owner only): the shape is taken as declared. */
function deliverMessage(message: unknown): Extract<FromQmgr, { kind: 'deliver' }> | undefined {
  return isDeliver(message) ? message : undefined;
}

function isDeliver(message: unknown): message is Extract<FromQmgr, { kind: 'deliver' }> {
  return (
    typeof message === 'object' &&
    message !== null &&
    Reflect.get(message, 'kind') === 'deliver' &&
    typeof Reflect.get(message, 'seq') === 'number'
  );
}
