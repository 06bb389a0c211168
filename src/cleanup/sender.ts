/** The envelope sender as cleanup makes it: canonical form, canonical tables, masquerade. */
import { after, type MaybePromise } from '../lookup/maps.ts';
import { internalAddress } from '../mail/address.ts';
import { quoteAddress } from '../mail/tok822.ts';
import { rewriteSender } from '../rewrite/rewrite.ts';
import type { RecipientParts } from './recipients.ts';
import { NO_TABLES } from './tables.ts';

/** For a missing From. Where a table fails the message will be refused: any form will do. */
export function cleanSender(
  sender: string,
  { config, tables = NO_TABLES }: RecipientParts,
): MaybePromise<string> {
  const address = rewriteSender(sender, config);
  if (tables.canonical.isIdle('envelope_sender')) return address;
  return after(tables.canonical.map(quoteAddress(address), 'envelope_sender'), (mapped) =>
    mapped.ok ? internalAddress(mapped.value) : address,
  );
}
