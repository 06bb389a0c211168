/**
 * The stored message in the form in which one server can take it: converted to 7-bit, long lines
 * broken. What needs neither is handed on as it is stored.
 *
 * @see Postfix smtp(8), disable_mime_output_conversion and smtp_line_length_limit
 */
import { type Dsn, dsn } from '../mail/dsn.ts';
import type { MimeLimits } from '../mail/mime.ts';
import type { Body } from '../queue/store.ts';
import { err, ok, type Result } from '../util/result.ts';
import { openDowngrader } from './downgrade.ts';
import { openFolder } from './fold.ts';

export type WireForm = {
  /** Parts that are labelled 8bit become quoted-printable. */
  readonly isConverted: boolean;
  /** smtp_line_length_limit; 0: none. */
  readonly lineLimit: number;
  readonly limits: MimeLimits;
  /** The first long line has been broken. */
  readonly onBreak: () => void;
};

export type WireBody = { readonly body: Body; readonly hasDotLines: boolean };

/** Thrown by the chunks of a body that cannot be converted; the reader of the chunks catches it. */
export class ConversionFault extends Error {
  readonly dsn: Dsn;
  constructor(fault: Dsn) {
    super(fault.reason);
    this.dsn = fault;
  }
}

const TOO_DEEP = dsn('5.6.0', 'MIME nesting exceeds safety limit');

/** A converted body may have lines that start with a dot where the stored one had none. */
export function wireBody(body: Body, hasDotLines: boolean, form: WireForm): Result<WireBody, Dsn> {
  if (!body.bytes) {
    const chunks = form.isConverted ? converted(body.chunks, form.limits) : body.chunks;
    return ok({
      body: { content: body.content, chunks: folded(chunks, form) },
      hasDotLines: hasDotLines || form.isConverted,
    });
  }
  let { bytes } = body;
  if (form.isConverted) {
    const downgrader = openDowngrader(form.limits);
    bytes = Buffer.concat([downgrader.take(bytes), downgrader.end()]);
    if (downgrader.isTooDeep()) return err(TOO_DEEP);
  }
  const folder = openFolder(form.lineLimit, form.onBreak);
  const pieces = [...folder.take(bytes), ...folder.end()];
  if (pieces.length === 1 && pieces[0] === bytes && !form.isConverted) {
    return ok({ body, hasDotLines });
  }
  const whole = Buffer.concat(pieces);
  return ok({
    body: { content: body.content, bytes: whole, chunks: one(whole) },
    hasDotLines: hasDotLines || form.isConverted,
  });
}

async function* converted(
  chunks: AsyncIterable<Buffer>,
  limits: MimeLimits,
): AsyncGenerator<Buffer, void, void> {
  const downgrader = openDowngrader(limits);
  for await (const chunk of chunks) {
    yield downgrader.take(chunk);
    if (downgrader.isTooDeep()) throw new ConversionFault(TOO_DEEP);
  }
  yield downgrader.end();
}

async function* folded(
  chunks: AsyncIterable<Buffer>,
  { lineLimit, onBreak }: WireForm,
): AsyncGenerator<Buffer, void, void> {
  const folder = openFolder(lineLimit, onBreak);
  for await (const chunk of chunks) yield* folder.take(chunk);
  yield* folder.end();
}

async function* one(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes;
}

/** Whether a header line holds a byte above 0x7f: such a message needs SMTPUTF8 on its way. */
export async function hasUtf8Header(body: Body): Promise<boolean> {
  let seen = '';
  for await (const chunk of body.bytes ? [body.bytes] : body.chunks) {
    seen += chunk.toString('latin1');
    const end = seen.indexOf('\r\n\r\n');
    const header = end < 0 ? seen : seen.slice(0, end);
    if (/[\x80-\xff]/.test(header)) return true;
    if (end >= 0 || seen.length > MAX_HEADER) return false;
  }
  return false;
}

const MAX_HEADER = 1_048_576;
