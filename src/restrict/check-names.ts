/**
 * For `postern check`: names in smtpd_*_restrictions that this server does not know or has not yet.
 * Nothing is skipped at run time: mail that reaches such a name is refused with 451 4.3.5.
 */
import type { Config } from '../conf/params.ts';
import { splitList } from '../util/text.ts';
import { STAGES } from './facts.ts';
import { RULES } from './rules.ts';

type NameConfig = Pick<
  Config,
  `smtpd_${(typeof STAGES)[number]}_restrictions` | 'smtpd_restriction_classes' | 'lookup'
>;

/** Restrictions of Postfix that are not here; the second kind takes an argument. */
const LATER =
  /^(?:permit_tls_all_clientcerts|permit_tls_clientcerts|permit_mx_backup|reject_(?:unverified|unlisted)_(?:sender|recipient)|reject_unknown_forward_client_hostname)$/;
const LATER_WITH_WORD = /^(?:check_\w+|reject_rhsbl_\w+|permit_(?:dnswl|rhswl)_\w+|sleep)$/;

/** One text for each name, with its parameter. */
export function unknownRestrictions(config: NameConfig): readonly string[] {
  const classes = splitList(config.smtpd_restriction_classes);
  const lists = [
    ...STAGES.map((stage) => `smtpd_${stage}_restrictions` as const).map(
      (parameter): readonly [string, string] => [parameter, config[parameter]],
    ),
    ...classes.map((name): readonly [string, string] => [name, config.lookup(name) ?? '']),
  ];
  return lists.flatMap(([parameter, value]) => unknownIn(parameter, value, new Set(classes)));
}

function unknownIn(parameter: string, value: string, classes: ReadonlySet<string>): string[] {
  const texts: string[] = [];
  const words = splitList(value);
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const name = word.toLowerCase();
    const rule = RULES.get(name);
    if (rule?.takesArgument) at += 1;
    if (rule || classes.has(word) || /^[a-z][\w-]*:/i.test(word)) continue;
    const isLater = LATER.test(name) || LATER_WITH_WORD.test(name);
    if (LATER_WITH_WORD.test(name)) at += 1;
    const what = isLater ? 'is not implemented here' : 'is no restriction';
    texts.push(`${parameter}: ${word} ${what}: mail that reaches it is refused with 451 4.3.5`);
  }
  return texts;
}
