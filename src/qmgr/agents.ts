/**
 * The delivery agents that are connected, by transport, and what each is working on.
 *
 * An agent whose connection ends hands its deliveries back at once: they may have happened, so they
 * count as not done. A delivery that ended three agents is not tried again in this pass.
 */
import type { Channel } from '../ipc/channel.ts';
import type { FromQmgr } from '../ipc/protocol.ts';
import type { DeliveryReport, DeliveryRequest } from '../mail/stages.ts';

export type Agent = {
  readonly channel: Channel<FromQmgr>;
  readonly transport: string;
  readonly slots: number;
  readonly underWay: Set<number>;
};

export type Started<Job> = {
  readonly job: Job;
  readonly request: DeliveryRequest;
  readonly agent: Agent;
};

export type Agents<Job> = {
  readonly add: (agent: Agent) => void;
  /** An agent of this transport with a free slot. */
  readonly free: (transport: string) => Agent | undefined;
  readonly count: (transport: string) => number;
  readonly start: (agent: Agent, job: Job, request: DeliveryRequest) => void;
  /** The delivery that a report answers, once. */
  readonly take: (seq: number, agent: Agent) => Started<Job> | undefined;
  readonly find: (seq: number) => Started<Job> | undefined;
  /** Forget an agent; its deliveries come back. */
  readonly remove: (agent: Agent) => readonly Started<Job>[];
  readonly underWay: () => number;
  /** Cut off agents with a delivery from before this time: their connection ends. */
  readonly endStalled: (beforeMs: number) => void;
};

export function agentRegistry<Job extends { readonly startedMs: number }>(): Agents<Job> {
  const agents = new Map<string, Set<Agent>>();
  const started = new Map<number, Started<Job>>();
  let lastSeq = 0;

  const take = (seq: number, agent: Agent): Started<Job> | undefined => {
    const found = started.get(seq);
    if (found?.agent !== agent) return undefined;
    started.delete(seq);
    agent.underWay.delete(seq);
    return found;
  };
  return {
    add: (agent) => {
      const known = agents.get(agent.transport) ?? new Set();
      agents.set(agent.transport, known.add(agent));
    },
    free: (transport) => {
      let best: Agent | undefined;
      for (const agent of agents.get(transport) ?? []) {
        const isFree = agent.underWay.size < agent.slots;
        if (isFree && (!best || agent.underWay.size < best.underWay.size)) best = agent;
      }
      return best;
    },
    count: (transport) => agents.get(transport)?.size ?? 0,
    start: (agent, job, request) => {
      lastSeq = (lastSeq + 1) % 2 ** 31;
      started.set(lastSeq, { job, request, agent });
      agent.underWay.add(lastSeq);
      agent.channel.send({ kind: 'deliver', seq: lastSeq, request });
    },
    take,
    find: (seq) => started.get(seq),
    remove: (agent) => {
      agents.get(agent.transport)?.delete(agent);
      return [...agent.underWay].flatMap((seq) => take(seq, agent) ?? []);
    },
    underWay: () => started.size,
    endStalled: (beforeMs) => {
      for (const { job, agent } of started.values()) {
        if (job.startedMs < beforeMs) agent.channel.socket.destroy(new Error('delivery timed out'));
      }
    },
  };
}

/** What an agent must never leave out; a wrong index would mark the wrong recipient. */
export function isReportFor(report: DeliveryReport, request: DeliveryRequest): boolean {
  if (!Array.isArray(report?.outcomes)) return false;
  const wanted = new Set(request.recipients.map(({ index }) => index));
  const named = [...report.outcomes, ...(report.passed ?? [])];
  return named.every(({ index }) => wanted.delete(index)) && wanted.size === 0;
}
