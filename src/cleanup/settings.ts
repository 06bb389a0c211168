/** What cleanup does to one message, from where it comes from and what main.cf says. */
import type { Config } from '../conf/params.ts';
import type { Maps } from '../lookup/maps.ts';
import type { Source } from './cleanup.ts';
import type { FieldSettings } from './fields.ts';
import type { HeaderRewriting } from './header-addresses.ts';
import type { RecipientParts } from './recipients.ts';
import { cleanSender } from './sender.ts';
import { NO_TABLES, overridesOf } from './tables.ts';

/** Rules are asked: about mail from outside, not about what we make ourselves. */
export const isFiltered = (config: Config, { isInternal }: Pick<Source, 'isInternal'>): boolean =>
  isInternal !== true && !overridesOf(config).noChecks;

export function fieldSettings(
  parts: RecipientParts,
  drops: ReadonlySet<string>,
  source: Source,
): Omit<FieldSettings, 'verdict'> {
  const { config, tables = NO_TABLES } = parts;
  const rewriting = rewritingFor(parts, source.isLocal);
  const adds = rewriting !== undefined || config.always_add_missing_headers;
  const isFree = source.isInternal === true;
  return {
    drops,
    hopLimit: isFree ? 0 : config.hopcount_limit,
    header_size_limit: config.header_size_limit,
    ...(isFiltered(config, source) ? { checks: tables.headerChecks } : {}),
    ...(rewriting ? { rewriting } : {}),
    ...(adds
      ? {
          missing: {
            config,
            queueId: source.draft.id,
            sender: () => cleanSender(source.sender, parts),
            fullName: source.fullName ?? '',
            atMs: source.atMs,
          },
        }
      : {}),
  };
}

/** Strangers' headers are completed with remote_header_rewrite_domain, if it is set. */
function rewritingFor(
  { config, tables = NO_TABLES }: RecipientParts,
  isLocal: boolean,
): HeaderRewriting | undefined {
  const { canonical } = tables;
  const { header_address_token_limit, remote_header_rewrite_domain: remote } = config;
  if (isLocal) return { settings: config, canonical, header_address_token_limit };
  if (remote === '') return undefined;
  const settings = { ...config, myorigin: remote, mydomain: remote };
  return { settings, canonical, header_address_token_limit };
}

/** More than the primary header must be looked at. */
export function mustWalk({ config, tables = NO_TABLES }: RecipientParts, source: Source): boolean {
  if (!isFiltered(config, source)) return false;
  const { headerChecks, bodyChecks, rejects, strips } = tables;
  const hasRules = (maps: Maps): boolean => !maps.isEmpty;
  return (
    hasRules(bodyChecks) ||
    hasRules(headerChecks.mime) ||
    hasRules(headerChecks.nested) ||
    rejects !== undefined ||
    strips !== undefined ||
    isStrict(config) ||
    config.non_empty_end_of_header_action !== 'fix_quietly'
  );
}

export const isStrict = (config: Config): boolean =>
  config.strict_8bitmime ||
  config.strict_7bit_headers ||
  config.strict_8bitmime_body ||
  config.strict_mime_encoding_domain;
