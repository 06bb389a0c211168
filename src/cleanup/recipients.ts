/**
 * Envelope work of cleanup: canonical form and tables, copies, virtual aliases, duplicates.
 *
 * A copy is looked up by the address before virtual aliases, goes through them itself, and wants no
 * notices. Two recipients are the same when address, original, ORCPT and NOTIFY are; without
 * enable_original_recipient the address decides. duplicate_filter_limit bounds what is remembered.
 *
 * @see cleanup(8), Postfix cleanup_addr(3), cleanup_out_recipient(3)
 */
import type { Config } from '../conf/params.ts';
import type { AddressContext, Maps } from '../lookup/maps.ts';
import { internalAddress } from '../mail/address.ts';
import { dsn } from '../mail/dsn.ts';
import { type Reply, reply } from '../mail/reply.ts';
import type { Envelope, Recipient, RecipientState } from '../mail/stages.ts';
import { quoteAddress } from '../mail/tok822.ts';
import type { AddressUse } from '../rewrite/canonical.ts';
import { rewriteAddress, rewriteSender } from '../rewrite/rewrite.ts';
import { expandVirtual } from '../rewrite/virtual-alias.ts';
import { err, ok, type Result } from '../util/result.ts';
import { type CleanupTables, NO_TABLES, overridesOf } from './tables.ts';
import type { CleanupLog } from './verdict.ts';

export type RecipientParts = {
  readonly config: Config;
  readonly virtualAliases: Maps;
  readonly addressContext: AddressContext;
  /** Absent: nothing is mapped, copied or checked beyond virtual_alias_maps and always_bcc. */
  readonly tables?: CleanupTables;
  readonly log?: CleanupLog;
};

export type CleanEnvelope = {
  readonly sender: string;
  readonly recipients: readonly RecipientState[];
};

export type EnvelopeFault = { readonly reply: Reply; readonly reason: string };

const WRITE_ERROR = reply(451, '4.3.0', 'Error: queue file write error');
const EXPANSION_ERROR = reply(451, '4.6.0', 'Alias expansion error');

/** `copies`: from rules. `wantsBcc`: new mail, not our own notices. */
export async function cleanEnvelope(
  envelope: Envelope,
  copies: readonly string[],
  wantsBcc: boolean,
  parts: RecipientParts,
): Promise<Result<CleanEnvelope, EnvelopeFault>> {
  const { config, tables = NO_TABLES } = parts;
  const sender = await canonical(rewriteSender(envelope.sender, config), 'envelope_sender', parts);
  if (!sender.ok) return sender;
  const list = new RecipientList(parts);
  if (wantsBcc) {
    const fault = await list.addCopyFor(sender.value, tables.senderBcc);
    if (fault) return err(fault);
  }
  for (const recipient of envelope.recipients) {
    const fault = await list.add(recipient, wantsBcc);
    if (fault) return err(fault);
  }
  const isBccOff = !wantsBcc || overridesOf(config).noMappings || envelope.recipients.length === 0;
  const always = isBccOff || config.always_bcc === '' ? [] : [config.always_bcc];
  for (const address of [...always, ...copies]) {
    const fault = await list.addCopy(address);
    if (fault) return err(fault);
  }
  return ok({ sender: sender.value, recipients: list.recipients });
}

/** The recipients alone, for mail that we make ourselves. */
export async function cleanRecipients(
  recipients: readonly Recipient[],
  wantsBcc: boolean,
  parts: RecipientParts,
): Promise<Result<readonly RecipientState[], string>> {
  const envelope = {
    sender: '',
    recipients,
    envid: '',
    ret: '',
    smtputf8: false,
    body: '',
  } as const;
  const cleaned = await cleanEnvelope(envelope, [], wantsBcc, parts);
  return cleaned.ok ? ok(cleaned.value.recipients) : err(cleaned.error.reason);
}

async function canonical(
  address: string,
  use: AddressUse,
  { tables = NO_TABLES }: RecipientParts,
): Promise<Result<string, EnvelopeFault>> {
  if (tables.canonical.isIdle(use)) return ok(address);
  const mapped = await tables.canonical.map(quoteAddress(address), use);
  if (mapped.ok) return ok(internalAddress(mapped.value));
  return err({ reply: WRITE_ERROR, reason: mapped.error });
}

class RecipientList {
  readonly recipients: RecipientState[] = [];
  readonly #parts: RecipientParts;
  readonly #seen = new Set<string>();

  constructor(parts: RecipientParts) {
    this.#parts = parts;
  }

  async add(recipient: Recipient, wantsBcc: boolean): Promise<EnvelopeFault | undefined> {
    const { config, tables = NO_TABLES } = this.#parts;
    const given = recipient.address === '' ? config.empty_address_recipient : recipient.address;
    const address = await canonical(
      rewriteAddress(given, config),
      'envelope_recipient',
      this.#parts,
    );
    if (!address.ok) return address.error;
    const original = recipient.original === '' ? recipient.address : recipient.original;
    const fault = await this.#expand({ ...recipient, original }, address.value);
    if (fault || !wantsBcc) return fault;
    return this.addCopyFor(address.value, tables.recipientBcc);
  }

  /** The copy that a table wants of mail from or to this address. */
  async addCopyFor(address: string, maps: Maps): Promise<EnvelopeFault | undefined> {
    if (maps.isEmpty || address === '') return undefined;
    const found = await maps.findAddress(address, this.#parts.addressContext);
    if (found.kind === 'absent') return undefined;
    if (found.kind === 'found') return this.addCopy(internalAddress(found.value));
    return { reply: WRITE_ERROR, reason: `${maps.parameter} map lookup problem: ${found.reason}` };
  }

  async addCopy(copy: string): Promise<EnvelopeFault | undefined> {
    const rewritten = rewriteAddress(copy, this.#parts.config);
    const address = await canonical(rewritten, 'envelope_recipient', this.#parts);
    if (!address.ok) return address.error;
    const recipient = {
      address: '',
      original: address.value,
      orcpt: '',
      notify: ['NEVER'] as const,
    };
    return this.#expand(recipient, address.value);
  }

  async #expand(recipient: Recipient, address: string): Promise<EnvelopeFault | undefined> {
    const { config, virtualAliases, addressContext } = this.#parts;
    const isIdle = virtualAliases.isEmpty || overridesOf(config).noMappings;
    const final = isIdle
      ? ok([address])
      : await expandVirtual(address, virtualAliases, config, addressContext);
    if (!final.ok) {
      const reason = `${final.error} -- message not accepted, try again later`;
      return { reply: EXPANSION_ERROR, reason };
    }
    const isExpanded = final.value.length > 1 || final.value[0] !== address;
    const told = isExpanded ? this.#tellExpanded(recipient, address) : recipient;
    for (const each of final.value)
      this.#push({ ...told, address: each, state: 'pending' }, address);
    return undefined;
  }

  /** RFC 3461 section 5.2.7.1 (b): the sender hears "expanded", and of no delivery behind that. */
  #tellExpanded(recipient: Recipient, address: string): Recipient {
    if (!recipient.notify.includes('SUCCESS')) return recipient;
    const success = { action: 'expanded', dsn: dsn('2.0.0', 'alias expanded') } as const;
    this.recipients.push({ ...recipient, address, state: 'done', success });
    const rest = recipient.notify.filter((word) => word !== 'SUCCESS');
    return { ...recipient, notify: rest.length > 0 ? rest : ['NEVER'] };
  }

  /** `canonicalAddress` stands for an ORCPT that was not given. */
  #push(state: RecipientState, canonicalAddress: string): void {
    const { enable_original_recipient, duplicate_filter_limit } = this.#parts.config;
    const key = keyOf(state, canonicalAddress, enable_original_recipient);
    if (this.#seen.has(key)) return;
    const isFull = duplicate_filter_limit > 0 && this.#seen.size >= duplicate_filter_limit;
    if (!isFull) this.#seen.add(key);
    this.recipients.push(state);
  }
}

function keyOf(
  recipient: RecipientState,
  canonicalAddress: string,
  keepsOriginals: boolean,
): string {
  const address = recipient.address.toLowerCase();
  if (!keepsOriginals) return address;
  const { original, notify } = recipient;
  const orcpt = recipient.orcpt === '' ? `rfc822;${canonicalAddress}` : recipient.orcpt;
  return `${address}\0${original.toLowerCase()}\0${orcpt.toLowerCase()}\0${notify.join()}`;
}
