/** What a restriction is: the question it is asked, the verdicts it may give, the words it uses. */
import type { Maps } from '../lookup/maps.ts';
import type { Lookup } from '../lookup/table.ts';
import { type EnhancedStatus, type Reply, reply } from '../mail/reply.ts';
import type { MailFacts, MaybePromise, RestrictParts, Stage } from './facts.ts';

export type RuleContext = {
  readonly parts: RestrictParts;
  readonly facts: MailFacts;
  readonly stage: Stage;
  readonly name: string;
  readonly argument?: string;
  readonly maps?: Maps;
};

export type RuleVerdict =
  | { readonly kind: 'dunno' | 'ok' }
  | { readonly kind: 'refuse' | 'defer_if_permit' | 'defer_if_reject'; readonly reply: Reply }
  /** Stands whatever warn_if_reject says. */
  | { readonly kind: 'hard'; readonly reply: Reply; readonly reason?: string }
  | { readonly kind: 'broken'; readonly reason: string }
  | {
      readonly kind: 'found';
      readonly value: string;
      readonly subject: string;
      readonly isRouted: boolean;
    };

export type Rule = {
  readonly takesArgument: boolean;
  readonly isAccess: boolean;
  readonly check: (context: RuleContext) => MaybePromise<RuleVerdict>;
};

export const OK: RuleVerdict = { kind: 'ok' };
export const DUNNO: RuleVerdict = { kind: 'dunno' };
export const okIf = (condition: boolean): RuleVerdict => (condition ? OK : DUNNO);

export const plain = (check: Rule['check']): Rule => ({
  takesArgument: false,
  isAccess: false,
  check,
});

export const clientOf = ({ session }: MailFacts): string =>
  `${session.peer.name}[${session.peer.address}]`;

/** `<x>: Sender address rejected`: what a refusal of this stage is about. */
export function subjectOf({ stage, facts }: RuleContext): string {
  switch (stage) {
    case 'client':
      return `<${clientOf(facts)}>: Client host rejected`;
    case 'helo':
      return `<${facts.session.helo}>: Helo command rejected`;
    case 'sender':
      return `<${facts.sender ?? ''}>: Sender address rejected`;
    case 'relay':
    case 'recipient':
      return `<${facts.recipient ?? ''}>: Recipient address rejected`;
    case 'data':
      return '<DATA>: Data command rejected';
    case 'end_of_data':
      return '<END-OF-MESSAGE>: End-of-data rejected';
    case 'etrn':
      return '<ETRN>: Etrn command rejected';
  }
}

export function refuse(code: number, detail: string, text: string): RuleVerdict {
  const status: EnhancedStatus = `${code >= 500 ? 5 : 4}.${number(detail, 0)}.${number(detail, 1)}`;
  return { kind: 'refuse', reply: reply(code, status, text) };
}
const number = (detail: string, at: number): number => Number(detail.split('.')[at]);

export function tableVerdict(
  found: Lookup,
  maps: Maps,
  subject: string,
  isRouted = false,
): RuleVerdict {
  switch (found.kind) {
    case 'absent':
      return DUNNO;
    case 'found':
      return { kind: 'found', value: found.value, subject, isRouted };
    default:
      return {
        kind: 'hard',
        reply: reply(451, '4.3.5', 'Server configuration error'),
        reason: `${maps.parameter}: ${found.reason}`,
      };
  }
}
