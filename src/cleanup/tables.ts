/**
 * Everything cleanup looks things up in, opened once for a process: rewriting, copies, checks.
 *
 * receive_override_options decides here what this service leaves out.
 */
import type { Config } from '../conf/params.ts';
import { type AddressContext, type Maps, NO_MAPS, openMaps } from '../lookup/maps.ts';
import type { LookupContext, TableFault } from '../lookup/open.ts';
import type { HeaderClass } from '../mail/mime.ts';
import { type Canonical, NO_CANONICAL, openCanonical } from '../rewrite/canonical.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';

export type CleanupTables = {
  readonly canonical: Canonical;
  readonly senderBcc: Maps;
  readonly recipientBcc: Maps;
  /** Which tables judge a header, by where it stands. */
  readonly headerChecks: Readonly<Record<HeaderClass, Maps>>;
  readonly bodyChecks: Maps;
  readonly rejects: RegExp | undefined;
  readonly strips: RegExp | undefined;
};

export const NO_TABLES: CleanupTables = {
  canonical: NO_CANONICAL,
  senderBcc: NO_MAPS,
  recipientBcc: NO_MAPS,
  headerChecks: { primary: NO_MAPS, mime: NO_MAPS, nested: NO_MAPS },
  bodyChecks: NO_MAPS,
  rejects: undefined,
  strips: undefined,
};

/** What receive_override_options switches off. */
export type Overrides = { readonly noMappings: boolean; readonly noChecks: boolean };

export function overridesOf(config: Pick<Config, 'receive_override_options'>): Overrides {
  const words = new Set(splitList(config.receive_override_options.toLowerCase()));
  return {
    noMappings: words.has('no_address_mappings'),
    noChecks: words.has('no_header_body_checks'),
  };
}

type MapsParameter =
  | 'sender_bcc_maps'
  | 'recipient_bcc_maps'
  | 'header_checks'
  | 'mime_header_checks'
  | 'nested_header_checks'
  | 'body_checks';

export function openCleanupTables(
  config: Config,
  context: LookupContext,
  addressContext: AddressContext,
): Result<CleanupTables, readonly TableFault[]> {
  const faults: TableFault[] = [];
  const open = (parameter: MapsParameter): Maps => {
    const maps = openMaps(parameter, config[parameter], context);
    if (maps.ok) return maps.value;
    faults.push(...maps.error);
    return NO_MAPS;
  };
  const set = (
    parameter: 'message_reject_characters' | 'message_strip_characters',
  ): RegExp | undefined => {
    const made = characterSet(config[parameter]);
    if (made.ok) return made.value;
    faults.push({ reason: `${parameter}: ${made.error}` });
    return undefined;
  };
  const { noMappings, noChecks } = overridesOf(config);
  const canonical = openCanonical(config, context, addressContext);
  if (!canonical.ok) faults.push(...canonical.error);
  const tables: CleanupTables = {
    canonical: canonical.ok && !noMappings ? canonical.value : NO_CANONICAL,
    senderBcc: noMappings ? NO_MAPS : open('sender_bcc_maps'),
    recipientBcc: noMappings ? NO_MAPS : open('recipient_bcc_maps'),
    headerChecks: noChecks
      ? NO_TABLES.headerChecks
      : {
          primary: open('header_checks'),
          mime: open('mime_header_checks'),
          nested: open('nested_header_checks'),
        },
    bodyChecks: noChecks ? NO_MAPS : open('body_checks'),
    rejects: noChecks ? undefined : set('message_reject_characters'),
    strips: noChecks ? undefined : set('message_strip_characters'),
  };
  return faults.length > 0 ? err(faults) : ok(tables);
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** `\0` and `\200` are octal, `\a \b \f \n \r \t \v` as in C; undefined for the empty text. */
export function characterSet(text: string): Result<RegExp | undefined, string> {
  if (text === '') return ok(undefined);
  const codes = new Set<number>();
  for (const [, code, plain = ''] of text.matchAll(/\\([0-7]{1,3}|[\s\S]|$)|([\s\S])/g)) {
    if (code === '') return err('a backslash at the end');
    const char = code === undefined ? plain : (ESCAPES[code] ?? code);
    const isOctal = code !== undefined && /^[0-7]/.test(code);
    if (isOctal && Number.parseInt(code, 8) > 255) return err(`\\${code} is above \\377`);
    if (isOctal) codes.add(Number.parseInt(code, 8));
    else for (const byte of Buffer.from(char, 'utf8')) codes.add(byte);
  }
  const list = [...codes].map((code) => `\\x${code.toString(16).padStart(2, '0')}`);
  return ok(new RegExp(`[${list.join('')}]`, 'g'));
}
