/**
 * smtp_generic_maps on the way out: envelope addresses of a request, and the header of its body.
 *
 * @see generic(5)
 */
import { readBytes, writeBytes } from '../mail/bytes.ts';
import { dsn } from '../mail/dsn.ts';
import { fieldText, foldList, refolded, scanHeader } from '../mail/header.ts';
import type { DeliveryReport, DeliveryRequest } from '../mail/stages.ts';
import type { Body } from '../queue/store.ts';
import type { Generic } from '../rewrite/generic.ts';
import { err, ok, type Result } from '../util/result.ts';

/** A header that is longer is rewritten so far. */
const MAX_HEADER = 1024 * 1024;
const BLANK_LINE = Buffer.from('\r\n\r\n', 'latin1');

/** Deliver with the addresses that the tables give; a table that fails defers all recipients. */
export async function deliverGeneric(
  request: DeliveryRequest,
  generic: Generic,
  deliver: (request: DeliveryRequest) => Promise<DeliveryReport>,
): Promise<DeliveryReport> {
  const mapped = await mappedRequest(request, generic);
  if (mapped.ok) return deliver(mapped.value);
  const failure = dsn('4.3.0', mapped.error);
  return {
    outcomes: request.recipients.map(({ index }) => ({
      index,
      kind: 'deferred',
      dsn: failure,
      relay: 'none',
    })),
  };
}

async function mappedRequest(
  request: DeliveryRequest,
  generic: Generic,
): Promise<Result<DeliveryRequest, string>> {
  const sender = await generic.address(request.sender);
  if (!sender.ok) return sender;
  const recipients: DeliveryRequest['recipients'][number][] = [];
  for (const recipient of request.recipients) {
    const address = await generic.address(recipient.address);
    if (!address.ok) return address;
    recipients.push({ ...recipient, address: address.value });
  }
  return ok({ ...request, sender: sender.value, recipients });
}

/** The body with its header rewritten; nothing else of it is looked at. */
export async function genericBody(body: Body, generic: Generic): Promise<Result<Body, string>> {
  if (body.bytes) {
    const head = await rewrittenHeader(body.bytes, generic);
    if (!head.ok) return head;
    const bytes = Buffer.concat([head.value.header, body.bytes.subarray(head.value.end)]);
    return ok({ content: body.content, bytes, chunks: one(bytes) });
  }
  const chunks = body.chunks[Symbol.asyncIterator]();
  const held: Buffer[] = [];
  let size = 0;
  let start = Buffer.alloc(0);
  while (size < MAX_HEADER && !start.includes(BLANK_LINE)) {
    const next = await chunks.next();
    if (next.done) break;
    held.push(Buffer.from(next.value));
    size += next.value.length;
    start = Buffer.concat(held);
  }
  const head = await rewrittenHeader(start, generic);
  if (!head.ok) return head;
  const first = Buffer.concat([head.value.header, start.subarray(head.value.end)]);
  return ok({ content: body.content, chunks: followed(first, chunks) });
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}

async function* followed(
  first: Buffer,
  rest: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, void> {
  yield first;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

async function rewrittenHeader(
  bytes: Buffer,
  generic: Generic,
): Promise<Result<{ readonly header: Buffer; readonly end: number }, string>> {
  const blank = bytes.indexOf(BLANK_LINE);
  const stop = blank < 0 ? bytes.lastIndexOf('\n') + 1 : blank + 2;
  const text = bytes.toString('latin1', 0, stop);
  const { fields, end } = scanHeader(text);
  let header = '';
  for (const field of fields) {
    const before = fieldText(text, field);
    const found = await generic.field(field.name, readBytes(before));
    if (!found.ok) return err(found.error);
    const isSame = found.value === readBytes(before);
    const after = isSame ? before : foldList(writeBytes(found.value, before));
    header += `${refolded(after)}\r\n`;
  }
  return ok({ header: Buffer.from(header, 'latin1'), end });
}
