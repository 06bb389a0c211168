/** `postern check`: what the names of settings say, in main.cf and behind -o. */
import { join } from 'node:path';
import { DEPRECATED_PARAMETERS, replacementOf } from '../conf/deprecated-params.ts';
import type { MainCf } from '../conf/main-cf.ts';
import { meaningOf } from '../conf/not-implemented.ts';
import { PARAMS } from '../conf/params.ts';
import { POSTFIX_PARAMETERS } from '../conf/postfix-params.ts';
import type { Scope, ServiceEntry } from '../conf/scope.ts';
import { standardOfService } from '../conf/service-params.ts';
import { type ParamWarning, registerUserParams, unusedParams } from '../conf/user-params.ts';
import type { Findings } from './check.ts';

export function checkNames(scope: Scope, main: MainCf, found: Findings): void {
  const mainFile = join(scope.directory, 'main.cf');
  const masterFile = join(scope.directory, 'master.cf');
  const whereMain = (name: string): string => {
    const line = main.assignments.get(name)?.line;
    return line === undefined ? mainFile : `${mainFile}, line ${line}`;
  };
  const whereEntry = ({ line }: ServiceEntry): string => `file ${masterFile}: line ${line}`;
  const where = ({ source, entry, name }: ParamWarning): string =>
    entry ? whereEntry(entry) : source === 'master.cf' ? masterFile : whereMain(name);

  for (const warning of registerUserParams(scope).warnings)
    found.warnings.push(`${where(warning)}: ${warning.text}`);

  const unused = unusedParams(scope);
  const isUnused = (name: string, entry?: ServiceEntry): boolean =>
    unused.some((each) => each.name === name && each.entry === entry);
  for (const name of scope.main.keys()) note(name, whereMain(name), isUnused(name), found);
  for (const entry of scope.entries)
    for (const name of entry.params?.keys() ?? [])
      note(name, `${whereEntry(entry)}: -o ${name}`, isUnused(name, entry), found);
}

function note(name: string, where: string, isUnused: boolean, { warnings }: Findings): void {
  const instead = isUnused ? replacementOf(name) : DEPRECATED_PARAMETERS.get(name);
  if (isUnused && instead !== undefined) {
    warnings.push(`${where}: support for parameter ${name} has been removed; instead, ${instead}`);
    return;
  }
  if (isUnused) {
    warnings.push(
      `${where}: unused parameter: ${name}; no part of this server and no other value uses it`,
    );
    return;
  }
  if (instead !== undefined)
    warnings.push(`${where}: support for parameter "${name}" will be removed; instead, ${instead}`);
  // What a service's own parameter does is what its default_ parameter does.
  const standard = POSTFIX_PARAMETERS.has(name) ? name : (standardOfService(name) ?? name);
  if (
    !Object.hasOwn(PARAMS, name) &&
    !Object.hasOwn(PARAMS, standard) &&
    POSTFIX_PARAMETERS.has(standard)
  ) {
    warnings.push(
      `${where}: ${name} is a parameter of Postfix that is not implemented here: ${meaningOf(standard)}`,
    );
  }
}
