/**
 * The evaluator of smtpd_*_restrictions.
 *
 * Lists are read when the server starts. Each stage has its list; the first rule that says permit
 * or reject ends its own list only: mail passes when no list rejects it. An unknown rule is
 * `451 4.3.5 Server configuration error` when it is reached, as in Postfix, and so is a table that
 * cannot answer.
 *
 * @see postconf(5), SMTPD_ACCESS_README, access(5)
 */
import type { Config } from '../conf/params.ts';
import type { Maps } from '../lookup/maps.ts';
import { type EnhancedStatus, type Reply, reply } from '../mail/reply.ts';
import { err, ok, type Result } from '../util/result.ts';
import { splitList } from '../util/text.ts';
import { type AccessAction, parseAction } from './access.ts';
import {
  type Decision,
  type Effect,
  type MailFacts,
  type RestrictParts,
  STAGES,
  type Stage,
} from './facts.ts';
import { unlistedRecipient } from './recipient.ts';
import type { RuleContext, RuleVerdict } from './rule.ts';
import { RULES } from './rules.ts';

export type Restrictions = {
  /** Evaluate one list. */
  readonly evaluate: (stage: Stage, facts: MailFacts) => Promise<Decision>;
  /**
   * Everything due at RCPT: the delayed lists, relay and recipient, then unknown users.
   * `postmaster` without a domain passes all (RFC 5321 section 4.5.1).
   */
  readonly atRecipient: (facts: MailFacts) => Promise<Decision>;
  readonly isEmpty: (stage: Stage) => boolean;
};

type Item =
  | { readonly kind: 'rule'; readonly name: string; readonly argument?: string }
  | { readonly kind: 'access'; readonly name: string; readonly maps: Maps }
  | { readonly kind: 'class'; readonly items: readonly Item[] }
  | { readonly kind: 'broken'; readonly reason: string };

type Status = 'ok' | 'reject' | 'dunno';

type State = {
  readonly stage: Stage;
  readonly facts: MailFacts;
  readonly effects: Effect[];
  readonly warnings: string[];
  refusal?: Reply;
  deferIfPermit?: Reply;
  deferIfReject?: Reply;
  isWarnOnly: boolean;
};

const MAX_DEPTH = 100;
const CONFIGURATION_ERROR = reply(451, '4.3.5', 'Server configuration error');
/** The rules one of which relay or recipient restrictions must hold. */
const CLOSING =
  /^(?:reject|defer|reject_unauth_destination|defer_unauth_destination|defer_if_permit)$/;

/** Compile all lists. An error is fatal: the server would be an open relay. */
export function compileRestrictions(parts: RestrictParts): Result<Restrictions, string> {
  const { config } = parts;
  const compiler = new Compiler(parts);
  const lists = new Map<Stage, readonly Item[]>();
  for (const stage of STAGES)
    lists.set(stage, compiler.list(stage, config[`smtpd_${stage}_restrictions`]));
  const closing = [...(lists.get('relay') ?? []), ...(lists.get('recipient') ?? [])];
  if (!closing.some(isClosing)) {
    return err(
      'in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains',
    );
  }
  return ok(new Evaluator(parts, lists, compiler));
}

const isClosing = (item: Item): boolean =>
  item.kind === 'rule'
    ? CLOSING.test(item.name)
    : item.kind === 'class' && item.items.some(isClosing);

class Compiler {
  readonly #parts: RestrictParts;
  readonly #classes: ReadonlySet<string>;

  constructor(parts: RestrictParts) {
    this.#parts = parts;
    this.#classes = new Set(splitList(parts.config.smtpd_restriction_classes));
  }

  list(stage: Stage, text: string): readonly Item[] {
    return this.words(stage, splitList(text), 0);
  }

  words(stage: Stage, words: readonly string[], depth: number): readonly Item[] {
    const items: Item[] = [];
    for (let at = 0; at < words.length; at += 1) {
      const word = words[at] ?? '';
      const name = word.toLowerCase();
      const takes = RULES.get(name)?.takesArgument ?? false;
      if (takes) at += 1;
      items.push(this.#item(stage, word, takes ? words[at] : undefined, depth));
    }
    return items;
  }

  #item(stage: Stage, word: string, argument: string | undefined, depth: number): Item {
    const name = word.toLowerCase();
    if (this.#classes.has(word)) {
      if (depth > MAX_DEPTH) return { kind: 'broken', reason: `restriction class ${word} nests` };
      const text = this.#parts.config.lookup(word) ?? '';
      return { kind: 'class', items: this.words(stage, splitList(text), depth + 1) };
    }
    const rule = RULES.get(name);
    if (/^[a-z][\w-]*:/i.test(word) && !rule) return this.#access(`check_${stage}_access`, word);
    if (!rule) return { kind: 'broken', reason: `unknown smtpd restriction: "${word}"` };
    if (!rule.takesArgument) return { kind: 'rule', name };
    if (argument === undefined)
      return { kind: 'broken', reason: `restriction ${name} requires an argument` };
    return rule.isAccess ? this.#access(name, argument) : { kind: 'rule', name, argument };
  }

  #access(name: string, spec: string): Item {
    if (!RULES.has(name)) return { kind: 'broken', reason: `table ${spec} is not allowed here` };
    const maps = this.#parts.openMaps(name, spec);
    return typeof maps === 'string'
      ? { kind: 'broken', reason: maps }
      : { kind: 'access', name, maps };
  }
}

class Evaluator implements Restrictions {
  readonly #parts: RestrictParts;
  readonly #lists: ReadonlyMap<Stage, readonly Item[]>;
  readonly #compiler: Compiler;
  readonly #order: readonly Stage[];

  constructor(
    parts: RestrictParts,
    lists: ReadonlyMap<Stage, readonly Item[]>,
    compiler: Compiler,
  ) {
    this.#parts = parts;
    this.#lists = lists;
    this.#compiler = compiler;
    const { config } = parts;
    const early: Stage[] = config.smtpd_delay_reject ? ['client', 'helo', 'sender'] : [];
    this.#order = config.smtpd_relay_before_recipient_restrictions
      ? [...early, 'relay', 'recipient']
      : [...early, 'recipient', 'relay'];
  }

  isEmpty(stage: Stage): boolean {
    return (this.#lists.get(stage)?.length ?? 0) === 0;
  }

  async evaluate(stage: Stage, facts: MailFacts): Promise<Decision> {
    return this.#stages([stage], facts);
  }

  async atRecipient(facts: MailFacts): Promise<Decision> {
    if (facts.recipient?.toLowerCase() === 'postmaster') return { effects: [], warnings: [] };
    const decided = await this.#stages(this.#order, facts);
    if (decided.refusal || !this.#parts.config.smtpd_reject_unlisted_recipient) return decided;
    if (decided.effects.some(({ kind }) => kind === 'discard')) return decided;
    const refusal = await unlistedRecipient(facts, this.#parts);
    return refusal ? { ...decided, refusal } : decided;
  }

  async #stages(stages: readonly Stage[], facts: MailFacts): Promise<Decision> {
    const effects: Effect[] = [];
    const warnings: string[] = [];
    let deferIfPermit: Reply | undefined;
    let deferIfReject: Reply | undefined;
    for (const stage of stages) {
      const items = this.#lists.get(stage) ?? [];
      if (items.length === 0) continue;
      const state: State = {
        stage,
        facts,
        effects,
        warnings,
        isWarnOnly: false,
        ...(deferIfPermit ? { deferIfPermit } : {}),
        ...(deferIfReject ? { deferIfReject } : {}),
      };
      const status = await this.#run(items, state, 0);
      if (status === 'reject') return { refusal: softened(state), effects, warnings };
      if (effects.some(({ kind }) => kind === 'discard')) return { effects, warnings };
      deferIfPermit ??= state.deferIfPermit;
      deferIfReject ??= state.deferIfReject;
    }
    return deferIfPermit ? { refusal: deferIfPermit, effects, warnings } : { effects, warnings };
  }

  async #run(items: readonly Item[], state: State, depth: number): Promise<Status> {
    if (depth > MAX_DEPTH) return this.#broken(state, 'restrictions nest too deep');
    let warnNext = false;
    for (const item of items) {
      if (item.kind === 'rule' && item.name === 'warn_if_reject') {
        warnNext = true;
        continue;
      }
      const outer = state.isWarnOnly;
      state.isWarnOnly = outer || warnNext;
      const status = await this.#item(item, state, depth);
      state.isWarnOnly = outer;
      warnNext = false;
      if (status !== 'dunno') return status;
    }
    return 'dunno';
  }

  async #item(item: Item, state: State, depth: number): Promise<Status> {
    switch (item.kind) {
      case 'broken':
        return this.#broken(state, item.reason);
      case 'class':
        return this.#run(item.items, state, depth + 1);
      case 'access':
      case 'rule': {
        const rule = RULES.get(item.name);
        if (!rule) return this.#broken(state, `unknown smtpd restriction: "${item.name}"`);
        const context: RuleContext = {
          parts: this.#parts,
          facts: state.facts,
          stage: state.stage,
          name: item.name,
          ...(item.kind === 'access' ? { maps: item.maps } : {}),
          ...(item.kind === 'rule' && item.argument !== undefined
            ? { argument: item.argument }
            : {}),
        };
        return this.#apply(await rule.check(context), context, state, depth);
      }
    }
  }

  async #apply(
    verdict: RuleVerdict,
    context: RuleContext,
    state: State,
    depth: number,
  ): Promise<Status> {
    switch (verdict.kind) {
      case 'dunno':
        return 'dunno';
      case 'ok':
        return 'ok';
      case 'refuse':
        return refuse(state, verdict.reply);
      case 'broken':
        return this.#broken(state, verdict.reason);
      case 'hard':
        state.refusal = verdict.reply;
        if (verdict.reason !== undefined) state.warnings.push(verdict.reason);
        return 'reject';
      case 'defer_if_permit':
        state.deferIfPermit ??= verdict.reply;
        return 'dunno';
      case 'defer_if_reject':
        state.deferIfReject ??= verdict.reply;
        return 'dunno';
      case 'found':
        return this.#action(
          verdict.value,
          verdict.subject,
          verdict.isRouted,
          context,
          state,
          depth,
        );
    }
  }

  async #action(
    value: string,
    subject: string,
    isRouted: boolean,
    context: RuleContext,
    state: State,
    depth: number,
  ): Promise<Status> {
    const action = parseAction(value, codesOf(this.#parts.config));
    const said = (
      act: Extract<AccessAction, { text: string; status: EnhancedStatus }>,
      code: number,
    ) => reply(code, act.status, `${subject}: ${act.text || 'Access denied'}`);
    switch (action.kind) {
      case 'ok':
        return isRouted ? 'dunno' : 'ok';
      case 'dunno':
        return 'dunno';
      case 'refuse':
        return refuse(state, said(action, action.code));
      case 'defer_if_permit':
        state.deferIfPermit ??= said(action, 450);
        return 'dunno';
      case 'defer_if_reject':
        state.deferIfReject ??= said(action, 450);
        return 'dunno';
      case 'effect':
        state.effects.push(action.effect);
        return action.effect.kind === 'discard' ? 'ok' : 'dunno';
      case 'bad':
        return this.#broken(state, `access table: ${action.reason}`);
      case 'list': {
        if (action.words.some((word) => /^[a-z][\w-]*:/i.test(word))) {
          return this.#broken(
            state,
            `access table ${context.maps?.parameter ?? ''}: a table inside a table result`,
          );
        }
        return this.#run(
          this.#compiler.words(state.stage, action.words, depth + 1),
          state,
          depth + 1,
        );
      }
    }
  }

  #broken(state: State, reason: string): Status {
    state.warnings.push(reason);
    state.refusal = CONFIGURATION_ERROR;
    return 'reject';
  }
}

function refuse(state: State, refusal: Reply): Status {
  if (!state.isWarnOnly) {
    state.refusal = refusal;
    return 'reject';
  }
  const text = `${refusal.code} ${refusal.status ?? ''} ${refusal.lines[0]}`;
  state.effects.push({ kind: 'log', action: 'reject_warning', text });
  return 'dunno';
}

/** A permanent refusal becomes temporary when something that could have permitted was not known. */
function softened(state: State): Reply {
  const refusal = state.refusal ?? CONFIGURATION_ERROR;
  return refusal.code >= 500 && state.deferIfReject ? state.deferIfReject : refusal;
}

const codesOf = (config: Config) => ({
  reject: config.access_map_reject_code,
  defer: config.access_map_defer_code,
});
