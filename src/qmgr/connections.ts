/**
 * The sockets of the queue manager and what may be said on each.
 *
 * private/qmgr: notices of smtpd, agents and their reports, client counts. public/qmgr: requests of
 * commands, nothing else; a message of the wrong kind ends the connection.
 */
import type { Socket } from 'node:net';
import { type Channel, openChannel } from '../ipc/channel.ts';
import type { FromQmgr, ToQmgr } from '../ipc/protocol.ts';
import type { Logger } from '../log/maillog.ts';
import type { AnvilCounters } from '../net/limits.ts';
import type { Pickup } from '../pickup/pickup.ts';
import type { QueueStore } from '../queue/store.ts';
import type { Agent } from './agents.ts';
import type { Qmgr } from './qmgr.ts';
import type { Showq } from './showq.ts';

export type Connections = {
  readonly accept: (socket: Socket, side: 'private' | 'public') => void;
  readonly close: () => void;
};

const PUBLIC = new Set(['flush', 'changed', 'maildrop', 'list']);

export function openConnections(parts: {
  readonly qmgr: Qmgr;
  readonly pickup: Pickup;
  readonly store: Pick<QueueStore, 'openBody'>;
  readonly logger: Logger;
  readonly anvil: AnvilCounters;
  readonly nowMs: () => number;
  readonly showq: Showq;
  /** May the sender of this request do it? `null`: yes, else its name. */
  readonly refusedTo: (
    what: 'mailq' | 'flush',
    proof: string | undefined,
  ) => Promise<string | null>;
}): Connections {
  const { qmgr, logger } = parts;
  const sockets = new Set<Socket>();

  const accept = (socket: Socket, side: 'private' | 'public'): void => {
    let agent: Agent | undefined;
    const counted = connectionCount(parts.anvil);
    sockets.add(socket);
    const channel = openChannel<FromQmgr>(socket, {
      onMessage: (message) => {
        if (!isToQmgr(message) || (side === 'public' && !PUBLIC.has(message.kind))) {
          socket.destroy(new Error('unexpected message'));
          return;
        }
        if (message.kind === 'agent') {
          agent = {
            channel,
            transport: message.transport,
            slots: message.slots,
            underWay: new Set(),
          };
          qmgr.addAgent(agent);
        } else {
          if (message.kind === 'anvil') counted.note(message);
          if (side === 'public') void asked(message, channel);
          else handle(message, channel, agent);
        }
      },
      onClose: (error) => {
        sockets.delete(socket);
        if (error) logger.warning(`connection on ${side}/qmgr: ${error.message}`);
        counted.forgetAll();
        if (agent) qmgr.removeAgent(agent);
      },
    });
  };

  /** A request of a command, from any user of this host. */
  const asked = async (message: ToQmgr, channel: Channel<FromQmgr>): Promise<void> => {
    if (message.kind === 'list' || message.kind === 'flush') {
      const what = message.kind === 'list' ? 'mailq' : 'flush';
      const user = await parts.refusedTo(what, message.proof);
      if (user !== null) return channel.send({ kind: 'refused', user });
    }
    handle(message, channel, undefined);
  };

  const handle = (message: ToQmgr, channel: Channel<FromQmgr>, agent: Agent | undefined): void => {
    switch (message.kind) {
      case 'arrived':
        return qmgr.arrived(message.entry);
      case 'report':
        if (agent) qmgr.report(agent, message.seq, message.report);
        return;
      case 'body-wanted':
        return void sendBody(message.seq, channel);
      case 'anvil': {
        const counts = parts.anvil.event(
          message.service,
          message.client,
          message.event,
          parts.nowMs(),
        );
        return channel.send({ kind: 'anvil-counts', seq: message.seq, ...counts });
      }
      case 'maildrop':
        return void parts.pickup.run();
      case 'flush':
        void qmgr.flush(message);
        return channel.send({ kind: 'done' });
      case 'changed':
        return qmgr.changed(message.id, message.change);
      case 'list':
        return void parts.showq(message.seq, channel);
      default:
        return;
    }
  };

  /** Whatever goes wrong with a body is told to the agent that asked for it, and stays there. */
  const sendBody = async (seq: number, channel: Channel<FromQmgr>): Promise<void> => {
    try {
      await streamBody(seq, channel);
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      logger.warning(`body for a delivery agent: ${fault}`);
      channel.send({ kind: 'body', seq, last: true, fault });
    }
  };

  const streamBody = async (seq: number, channel: Channel<FromQmgr>): Promise<void> => {
    const request = qmgr.requestOf(seq);
    const body = request ? await parts.store.openBody(request) : undefined;
    if (!body?.ok) {
      const fault = body ? body.error.reason : 'no such delivery';
      return channel.send({ kind: 'body', seq, last: true, fault });
    }
    for await (const chunk of body.value.chunks) {
      if (channel.socket.destroyed) return;
      if (!channel.sendBytes(seq, chunk)) await channel.drained();
    }
    channel.send({ kind: 'body', seq, last: true });
  };

  return {
    accept,
    close: () => {
      for (const socket of sockets) socket.end();
    },
  };
}

/** Client connections that one smtpd process has open: they end with it. */
function connectionCount(anvil: Pick<AnvilCounters, 'forget'>) {
  const open = new Map<string, { service: string; client: string; connections: number }>();
  return {
    note: ({ service, client, event }: Extract<ToQmgr, { kind: 'anvil' }>): void => {
      if (event !== 'connect' && event !== 'disconnect') return;
      const key = `${service} ${client}`;
      const connections = (open.get(key)?.connections ?? 0) + (event === 'connect' ? 1 : -1);
      if (connections > 0) open.set(key, { service, client, connections });
      else open.delete(key);
    },
    forgetAll: (): void => {
      for (const each of open.values()) anvil.forget(each.service, each.client, each.connections);
      open.clear();
    },
  };
}

/** Peers are ours (private/) or local commands: only the kind is checked here. */
const isToQmgr = (message: unknown): message is ToQmgr =>
  typeof message === 'object' &&
  message !== null &&
  typeof Reflect.get(message, 'kind') === 'string';
