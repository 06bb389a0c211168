/**
 * DATA and BDAT: the content of a message.
 *
 * Refused BDAT chunks are read by their count and thrown away, so that bytes of a message never
 * become commands.
 *
 * @see RFC 5321 section 4.1.1.4, RFC 3030
 */
import { printable } from '../log/maillog.ts';
import { type Reply, reply } from '../mail/reply.ts';
import type { BareNewline } from './body-scanner.ts';
import { BodyScanner } from './body-scanner.ts';
import type { PosternConnection } from './connection.ts';
import { endBareNewline } from './goodbye.ts';
import { Reception } from './receive.ts';
import type { Body, BodyFacts } from './stream.ts';
import type { Transaction } from './transaction.ts';

const GO_AHEAD = '354 End data with <CR><LF>.<CR><LF>\r\n';
const NEED_RCPT = reply(503, '5.5.1', 'Error: need RCPT command');
const NO_RCPT = reply(554, '5.5.1', 'Error: no valid recipients');
const LOST = reply(503, '5.5.1', 'Error: a BDAT chunk was refused');
const BDAT_SYNTAX = reply(521, '5.5.4', 'Syntax: BDAT count [LAST]');
const TOO_MANY_CHUNKS = reply(551, '5.7.1', 'Error: too many small BDAT chunks');
/** Chunks allowed beside those that hold a kilobyte each: more is an attack on memory or CPU. */
const FREE_CHUNKS = 1000;

export async function runData(c: PosternConnection, rest: string): Promise<void> {
  const { transaction } = c;
  if (transaction?.bdat || transaction?.isSpoilt) {
    c.send_(reply(503, '5.5.1', 'Error: DATA after BDAT'));
    return;
  }
  if (!transaction?.draft) {
    c.send_(transaction ? NO_RCPT : NEED_RCPT);
    return;
  }
  if (rest !== '') {
    c.send_(reply(501, '5.5.4', 'Syntax: DATA'));
    return;
  }
  const refusal = await dataRefusal(c);
  if (refusal) {
    c.logRejection('DATA', refusal);
    c.send_(refusal);
    return;
  }
  const reception = await receive(c, transaction);
  c.write(GO_AHEAD);
  c.stream?.readData(bareNewlineMode(c), {
    sink: reception,
    onEnd: (facts, next) => void complete(c, reception, facts, next, 'data'),
  });
}

async function dataRefusal(c: PosternConnection): Promise<Reply | undefined> {
  const { restrictions, logger } = c.parts;
  if (restrictions.isEmpty('data')) return undefined;
  const decided = await restrictions.evaluate('data', c.facts());
  for (const warning of decided.warnings) logger.warning(printable(warning));
  c.transaction?.effects.push(...decided.effects);
  return decided.refusal;
}

async function receive(c: PosternConnection, transaction: Transaction): Promise<Reception> {
  const draft = transaction.draft ?? c.parts.store.begin();
  const isLocal = await c.parts.rewritesHeaders(c.session_);
  return new Reception(c.parts, c.session_, c.groups, transaction, draft, isLocal);
}

function bareNewlineMode(c: PosternConnection): BareNewline {
  if (c.standing.maySendBareNewline) return 'no';
  const mode = c.parts.config.smtpd_forbid_bare_newline.toLowerCase();
  switch (mode) {
    case 'no':
    case 'reject':
    case 'note':
      return mode;
    default:
      return 'normalize';
  }
}

/** The message is whole: decide, store, reply, and be ready for the next one. */
async function complete(
  c: PosternConnection,
  reception: Reception,
  facts: BodyFacts,
  next: () => void,
  command: 'data' | 'bdat',
): Promise<void> {
  c.beginFinish();
  if (facts.hasBareNewline && bareNewlineMode(c) === 'reject') {
    c.noteFailure(command);
    endBareNewline(c, 'END-OF-MESSAGE');
    c.dropTransaction();
    c.finish(next);
    return;
  }
  const outcome = await reception.finish(facts, c.facts());
  if (outcome.isRejection) c.logRejection('END-OF-MESSAGE', outcome.reply);
  c.dropTransaction();
  if (outcome.reply.code < 400) c.clearErrors();
  else c.noteFailure(command);
  c.send_(outcome.reply);
  c.finish(next);
}

export async function runBdat(c: PosternConnection, rest: string): Promise<void> {
  const words = /^(\d{1,15})(?:\s+(LAST))?$/i.exec(rest);
  if (!words) {
    // The size of what follows is not known: nothing after it can be read safely.
    c.send_(BDAT_SYNTAX);
    return;
  }
  const count = Number(words[1]);
  const isLast = words[2] !== undefined;
  const fault = await bdatFault(c);
  const { transaction } = c;
  if (fault || !transaction) {
    if (transaction) {
      transaction.bdat?.reception.abort();
      delete transaction.bdat;
      transaction.isSpoilt = true;
    }
    skipChunk(c, count, fault ?? NEED_RCPT);
    return;
  }
  transaction.bdat ??= {
    scanner: new BodyScanner('bdat', bareNewlineMode(c)),
    reception: await receive(c, transaction),
    chunks: 0,
  };
  const { bdat } = transaction;
  bdat.chunks += 1;
  readChunk(c, bdat, count, isLast);
}

/** Why this chunk is not wanted. */
async function bdatFault(c: PosternConnection): Promise<Reply | undefined> {
  const { transaction } = c;
  if (transaction?.isSpoilt) return LOST;
  if (!transaction?.draft) return transaction ? NO_RCPT : NEED_RCPT;
  const { bdat } = transaction;
  if (bdat) {
    const allowed = FREE_CHUNKS + bdat.reception.receivedBytes / 1024;
    return bdat.chunks > allowed ? TOO_MANY_CHUNKS : undefined;
  }
  const refusal = await dataRefusal(c);
  if (refusal) c.logRejection('BDAT', refusal);
  return refusal;
}

function skipChunk(c: PosternConnection, count: number, answer: Reply): void {
  if (count === 0) {
    c.send_(answer);
    return;
  }
  const body: Body = {
    sink: { write: () => true },
    onEnd: (_facts, next) => {
      c.beginFinish();
      c.send_(answer);
      c.finish(next);
    },
  };
  c.stream?.readChunk(new BodyScanner('bdat', 'normalize'), count, body);
}

function readChunk(
  c: PosternConnection,
  bdat: NonNullable<Transaction['bdat']>,
  count: number,
  isLast: boolean,
): void {
  const { reception, scanner } = bdat;
  const onEnd = (facts: BodyFacts, next: () => void): void => {
    if (isLast) {
      void endBdat(c, bdat, facts, next);
      return;
    }
    c.beginFinish();
    c.send_(reply(250, '2.0.0', `Ok: ${count} bytes`));
    c.finish(next);
  };
  c.stream?.readChunk(scanner, count, { sink: reception, onEnd });
}

async function endBdat(
  c: PosternConnection,
  { reception, scanner }: NonNullable<Transaction['bdat']>,
  facts: BodyFacts,
  next: () => void,
): Promise<void> {
  for (const piece of scanner.finish()) {
    const taken = reception.write(piece);
    if (taken !== true) await taken;
  }
  await complete(c, reception, facts, next, 'bdat');
}
