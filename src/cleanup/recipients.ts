/**
 * Envelope work of cleanup: canonical form, virtual aliases, duplicates, always_bcc.
 *
 * Two recipients are the same when address, original, ORCPT and NOTIFY are; without
 * enable_original_recipient the address decides.
 *
 * @see cleanup(8), Postfix cleanup_out_recipient(3)
 */
import type { Config } from '../conf/params.ts';
import type { AddressContext, Maps } from '../lookup/maps.ts';
import type { Recipient, RecipientState } from '../mail/stages.ts';
import { rewriteAddress } from '../rewrite/rewrite.ts';
import { expandVirtual } from '../rewrite/virtual-alias.ts';
import { ok, type Result } from '../util/result.ts';

export type RecipientParts = {
  readonly config: Config;
  readonly virtualAliases: Maps;
  readonly addressContext: AddressContext;
};

/** `wantsBcc`: always_bcc applies (new mail, not our own notices). */
export async function cleanRecipients(
  recipients: readonly Recipient[],
  wantsBcc: boolean,
  { config, virtualAliases, addressContext }: RecipientParts,
): Promise<Result<readonly RecipientState[], string>> {
  const given = wantsBcc && config.always_bcc !== '' ? [...recipients, bcc(config)] : recipients;
  const seen = new Set<string>();
  const out: RecipientState[] = [];
  for (const recipient of given) {
    const address = rewriteAddress(recipient.address, config);
    const name = address === '' ? `MAILER-DAEMON@${config.myhostname}` : address;
    const final = virtualAliases.isEmpty
      ? ok([name])
      : await expandVirtual(name, virtualAliases, config, addressContext);
    if (!final.ok) return final;
    const original = recipient.original === '' ? recipient.address : recipient.original;
    for (const each of final.value) {
      const state: RecipientState = { ...recipient, original, address: each, state: 'pending' };
      const key = keyOf(state, config.enable_original_recipient);
      if (seen.has(key)) continue;
      seen.add(key);
      out.push(state);
    }
  }
  return ok(out);
}

const bcc = ({ always_bcc }: Config): Recipient => ({
  address: always_bcc,
  original: '',
  orcpt: '',
  notify: ['NEVER'],
});

function keyOf(recipient: RecipientState, keepsOriginals: boolean): string {
  const address = recipient.address.toLowerCase();
  if (!keepsOriginals) return address;
  const { original, orcpt, notify } = recipient;
  return `${address}\0${original.toLowerCase()}\0${orcpt.toLowerCase()}\0${notify.join()}`;
}
