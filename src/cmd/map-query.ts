/** postmap's questions: one key, keys or a message from standard input, the whole table. */
import type { Lookup, LookupOptions, Table } from '../lookup/table.ts';
import { decodeFileValue } from '../lookup/types/file-value.ts';
import { matchBudget } from '../lookup/types/match-budget.ts';
import { storedKey } from '../lookup/types/text.ts';
import { type MimeEvent, MimeWalk } from '../mail/mime.ts';
import { ok, type Result } from '../util/result.ts';
import { inputBytes, inputLines } from './map-input.ts';
import { fatal, openForQuery, type Tool } from './map-tool.ts';

/** Status 0: found. Tables are opened as they are needed. */
export async function queryTables(
  tool: Tool,
  specs: readonly string[],
  key: string,
): Promise<number> {
  const session = new Session(tool, specs);
  const { headers, body, mime } = tool.options;
  if (key !== '-') await session.ask(key, (value) => session.one(key, value));
  else if (headers || body) await askMessage(tool, session);
  else {
    if (mime) tool.context.logger.warning('ignoring -m option without -b or -h');
    for (const line of await inputLines(tool)) {
      await session.ask(line, (value) => session.pair(line, value));
      if (session.fault !== undefined) break;
    }
  }
  session.flush();
  if (session.fault !== undefined) return fatal(tool.name, tool.io, session.fault);
  return session.hasFound ? 0 : 1;
}

/** Printed before a fault ends it: what was found until then. */
class Session {
  readonly #tool: Tool;
  readonly #specs: readonly string[];
  readonly #tables: Table[] = [];
  readonly #isBytes: boolean;
  #out: string[] = [];
  hasFound = false;
  fault: string | undefined;

  constructor(tool: Tool, specs: readonly string[]) {
    this.#tool = tool;
    this.#specs = specs;
    this.#isBytes = tool.context.format?.isBytes ?? false;
  }

  async ask(
    key: string,
    format: (value: string) => string,
    options: LookupOptions = {},
  ): Promise<void> {
    if (!this.#isBytes && key.includes('\ufffd')) return;
    for (const [at, spec] of this.#specs.entries()) {
      const table = this.#tables[at] ?? this.#open(spec);
      if (!table) return;
      this.#tables[at] = table;
      const folded = storedKey(key, this.#tool.context.format ?? {});
      const asked = table.lookup(table.keys === 'fixed' ? folded : key, {
        ...options,
        isBytes: this.#isBytes,
      });
      const answer = asked instanceof Promise ? await asked : asked;
      if (answer.kind === 'absent') continue;
      const value = this.#value(table, key, answer);
      if (value === undefined) return;
      this.hasFound = true;
      this.#out.push(format(value));
      if (this.#out.length > 1000) this.flush();
      return;
    }
  }

  /** Undefined: a fault that ends the command. */
  #value(table: Table, key: string, answer: Exclude<Lookup, { kind: 'absent' }>) {
    const id = `${table.type}:${table.name}`;
    if (answer.kind !== 'found') {
      this.fault = `table ${id}: query error: ${answer.reason}`;
      return undefined;
    }
    const { hasFileValues } = this.#tool.options;
    const value: Result<string, string> = hasFileValues
      ? decodeFileValue(answer.value)
      : ok(answer.value);
    if (!value.ok) {
      this.#tool.context.logger.warning(`table ${id}: key ${key}: ${value.error}`);
      this.fault = `table ${id}: query error`;
      return undefined;
    }
    if (value.value === '') warnEmpty(this.#tool, table, key);
    return value.value;
  }

  #open(spec: string): Table | undefined {
    const table = openForQuery(this.#tool, spec);
    if (table.ok) return table.value;
    this.fault = table.error;
    return undefined;
  }

  one(key: string, value: string): string {
    return this.#tool.options.isJson ? json(key, value) : `${value}\n`;
  }

  pair(key: string, value: string): string {
    return this.#tool.options.isJson ? json(key, value) : pairLine(this.#tool, key, value);
  }

  flush(): void {
    if (this.#out.length > 0) this.#tool.io.stdout(shown(this.#out.join(''), this.#isBytes));
    this.#out = [];
  }
}

/** -h, -b: each header field, each line of the body, is one key. */
async function askMessage(tool: Tool, session: Session): Promise<void> {
  const { headers, body, mime } = tool.options;
  const budget = matchBudget();
  const walk = new MimeWalk({ ...tool.config, isMime: mime });
  const lines = (await inputBytes(tool)).toString('latin1').split('\n');
  if (lines.at(-1) === '') lines.pop();
  // Without the body, and without the parts that only -m sees, the primary header is all.
  const isHeadOnly = !body && !mime;
  let events: MimeEvent[] = [];
  const use = async (): Promise<boolean> => {
    for (const event of events) {
      if (event.kind === 'header-end' && isHeadOnly) return false;
      const isWanted = event.kind === 'field' ? headers : event.kind === 'body' && body;
      if (!isWanted || event.kind === 'header-end') continue;
      const { text } = event;
      await session.ask(text, (value) => session.pair(text, value), { budget });
      if (session.fault !== undefined) return false;
    }
    events = [];
    return true;
  };
  for (const line of lines) {
    walk.line(line, events);
    if (!(await use())) return;
  }
  walk.end(events);
  await use();
}

/** -s: all entries of the first table. */
export function listTable(tool: Tool, spec: string): number {
  const { name, io, options } = tool;
  const table = openForQuery(tool, spec);
  if (!table.ok) return fatal(name, io, table.error);
  const { entries, type } = table.value;
  if (!entries) {
    const id = `${type}:${table.value.name}`;
    return fatal(name, io, `table ${id}: sequence operation is not supported`);
  }
  const isBytes = tool.context.format?.isBytes ?? false;
  let out: string[] = [];
  for (const [key, stored] of entries.call(table.value)) {
    const value = options.hasFileValues ? decodeFileValue(stored) : ok(stored);
    if (!value.ok) {
      tool.context.logger.warning(`table ${type}:${table.value.name}: key ${key}: ${value.error}`);
      continue;
    }
    if (value.value === '') warnEmpty(tool, table.value, key);
    out.push(options.isJson ? json(key, value.value) : pairLine(tool, key, value.value));
    if (out.length < 1000) continue;
    io.stdout(shown(out.join(''), isBytes));
    out = [];
  }
  if (out.length > 0) io.stdout(shown(out.join(''), isBytes));
  return 0;
}

function warnEmpty({ context }: Tool, table: Table, key: string): void {
  const id = `${table.type}:${table.name}`;
  context.logger.warning(`table ${id}: key ${key}: empty string result is not allowed`);
  context.logger.warning(`table ${id} should return NO RESULT in case of NOT FOUND`);
}

const pairLine = ({ isAliases }: Tool, key: string, value: string): string =>
  `${key}${isAliases ? ':' : ''}\t${value}\n`;

const json = (key: string, value: string): string =>
  `{${JSON.stringify(key)}: ${JSON.stringify(value)}}\n`;

/** What is printed of text in which a character is a byte. */
const shown = (text: string, isBytes: boolean): string =>
  isBytes ? Buffer.from(text, 'latin1').toString('utf8') : text;
