/** Connect a delivery function to qmgr: what the entry files of local, virtual and pipe share. */
import { connect } from 'node:net';
import type { ServiceContext } from '../daemon/start.ts';
import { type AgentParts, runAgent } from './agent.ts';
import { isRoot } from './identity.ts';

/** Deliveries at the same time in one process without root: each waits for disk. */
const SLOTS = 20;

export function serveAgent(context: ServiceContext, deliver: AgentParts['deliver']): void {
  const agent = runAgent(connect('private/qmgr'), {
    transport: context.service.name,
    slots: isRoot() ? 1 : SLOTS,
    maxIdleMs: context.config.max_idle * 1000,
    logger: context.logger,
    deliver,
    onEnd: () => context.exit(0),
  });
  context.onDrain(() => agent.drain());
}
