/**
 * postern explain ID: why a sending policy decided as it did.
 *
 * The id stands in brackets at the end of a refusal and in the queue entry of an accepted message.
 * Exit 0, 1 when the decision is not (or no longer) on record, 64 for wrong usage.
 */
import { loadConfig } from '../conf/config.ts';
import type { Config } from '../conf/params.ts';
import { printable } from '../log/maillog.ts';
import { type Decision, decisionFile, findDecision } from '../policy/decision-record.ts';
import type { Io } from './main.ts';

const OUTCOMES: Readonly<Record<Decision['outcome'], string>> = {
  pass: 'passed',
  refuse: 'refused',
  retry: 'put off (try again)',
};

/** `config` is read from io.configDirectory unless given. */
export async function explain(argv: readonly string[], io: Io, config?: Config): Promise<number> {
  const [word, ...more] = argv;
  const id = word?.replace(/^\[(.*)\]$/, '$1');
  if (id === undefined || more.length > 0 || !/^[\da-z]+-[\da-z]+$/.test(id)) {
    io.stderr('usage: postern explain ID    (the id in brackets at the end of a refusal)\n');
    return 64;
  }
  const loaded = config ? { ok: true as const, value: config } : loadConfig(io.configDirectory);
  if (!loaded.ok) {
    for (const { text } of loaded.error) io.stderr(`postern: fatal: ${text}\n`);
    return 1;
  }
  const directory = loaded.value.data_directory;
  try {
    const decision = await findDecision(directory, id);
    if (!decision) {
      io.stderr(
        `postern: fatal: no decision ${id} in ${decisionFile(directory)}; old ones are dropped\n`,
      );
      return 1;
    }
    io.stdout(render(decision));
    return 0;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    io.stderr(`postern: fatal: ${reason}; run it as root or as $mail_owner\n`);
    return 1;
  }
}

function render(decision: Decision): string {
  const { policy, place } = decision;
  const rows: readonly [label: string, text: string][] = [
    ['time', new Date(decision.timeMs).toISOString()],
    ['client', decision.client],
    ['user', decision.user],
    ['sender', decision.sender === '' ? '<>' : decision.sender],
    ['about', decision.about],
    ['policy', policy === '' ? '(none)' : `${policy} (${place})`],
    ['outcome', OUTCOMES[decision.outcome]],
  ];
  const facts = rows.map(([label, text]) => `${label.padEnd(9)}${printable(text)}\n`);
  const steps = decision.steps.map(
    (text, i) => `${String(i + 1).padStart(3)}. ${printable(text)}\n`,
  );
  return `${facts.join('')}${steps.join('')}`;
}
