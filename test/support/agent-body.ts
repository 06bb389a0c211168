/** Bodies as an agent gets them. */
import type { OpenBody } from '../../src/agent/agent.ts';
import type { AgentBody } from '../../src/agent/body.ts';
import type { DeliveryRequest } from '../../src/mail/stages.ts';
import { ok } from '../../src/util/result.ts';

/** `chunk` > 0: a stream in pieces of that size, without `bytes`. */
export function agentBody(bytes: Buffer, chunk = 0): AgentBody {
  async function* pieces(): AsyncGenerator<Buffer, void, void> {
    for (let at = 0; at < bytes.length; at += chunk || bytes.length) {
      yield bytes.subarray(at, at + (chunk || bytes.length));
    }
  }
  return chunk > 0 ? { head: bytes, chunks: pieces() } : { head: bytes, bytes, chunks: pieces() };
}

export const openBodyOf =
  (bytes: Buffer): OpenBody =>
  async () =>
    ok(agentBody(bytes));

export function deliveryRequest(
  addresses: readonly string[],
  changes: Partial<DeliveryRequest> = {},
): DeliveryRequest {
  return {
    id: '4cRequest0z1',
    transport: 'local',
    nexthop: 'mail.example.org',
    sender: 'sender@example.org',
    envid: '',
    ret: '',
    smtputf8: false,
    content: { wireBytes: 0, sizeBytes: 0, has8bit: false, hasDotLines: false },
    origin: {
      client: { name: 'client.example.org', address: '192.0.2.1', port: 4711 },
      helo: 'client.example.org',
      protocol: 'ESMTP',
    },
    arrivedMs: 1_700_000_000_000,
    activeMs: 1_700_000_000_000,
    recipients: addresses.map((address, index) => ({
      index,
      address,
      original: address,
      orcpt: '',
      notify: [],
    })),
    reuse: false,
    ...changes,
  };
}
