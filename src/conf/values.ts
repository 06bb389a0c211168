/**
 * A parameter's text as a value of its type, or why it is none, in the words of Postfix and with
 * the remedy. Ranges are the descriptor's, else those of postfix-params.ts.
 *
 * @see postconf(5)
 */

import { parseLevel } from '../util/compat-level.ts';
import { err, ok, type Result } from '../util/result.ts';
import { parseTime } from '../util/time-unit.ts';
import type { Param } from './descriptor.ts';
import { isNetworkStyle, protocolFamilies } from './mynetworks.ts';
import { POSTFIX_PARAMETERS } from './postfix-params.ts';

export type Value = string | number | boolean;

type Range = { readonly min: number | undefined; readonly max: number | undefined };

export function readValue(name: string, param: Param, text: string): Result<Value, string> {
  switch (param.type) {
    case 'text':
      return readText(name, param.default, text);
    case 'bool':
      return /^(yes|no)$/i.test(text)
        ? ok(text.toLowerCase() === 'yes')
        : err(`bad boolean configuration: ${name} = ${text}; write yes or no`);
    case 'int':
      return readInt(name, param, text);
    case 'time':
      return readTime(name, param.unit, text);
  }
}

function readInt(name: string, param: Param & { type: 'int' }, text: string) {
  const min = param.min ?? 0;
  const range = `write a whole number from ${min} to ${param.max ?? Number.MAX_SAFE_INTEGER} without a suffix`;
  const value = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value))
    return err(`bad numerical configuration: ${name} = ${text}; ${range}`);
  const invalid = `invalid ${name} parameter value ${value}`;
  if (value < min) return err(`${invalid} < ${min}; ${range}`);
  if (param.max !== undefined && value > param.max)
    return err(`${invalid} > ${param.max}; ${range}`);
  return ok(value);
}

function readTime(name: string, unit: 's' | 'm' | 'h' | 'd' | 'w', text: string) {
  const seconds = parseTime(text, unit);
  if (seconds === undefined || seconds > 2 ** 31 - 1) {
    return err(
      `parameter ${name}: bad time value or unit: ${text}; write a number and a unit: s, m, h, d or w`,
    );
  }
  const { min, max } = rangeOf(name, 'time');
  if (min !== undefined && seconds < min)
    return err(`invalid ${name}: ${seconds} (min ${min}); write at least ${min}s`);
  if (max !== undefined && seconds > max)
    return err(`invalid ${name}: ${seconds} (max ${max}); write at most ${max}s`);
  return ok(seconds);
}

/** An empty default means that empty is allowed, whatever the one program of Postfix that reads it says. */
function readText(name: string, standard: string, text: string): Result<string, string> {
  const { min, max } = rangeOf(name, 'str');
  const length = Buffer.byteLength(text);
  if (min !== undefined && length < min && (length > 0 || standard !== ''))
    return err(`bad string length ${length} < ${min}: ${name} = ${text}; give it a value`);
  if (max !== undefined && length > max)
    return err(
      `bad string length ${length} > ${max}: ${name} = ${text}; write at most ${max} bytes`,
    );
  const fault = SPECIAL.get(name)?.(text);
  return fault === undefined ? ok(text) : err(fault);
}

/** Values that steer how others are read, so they are looked at where they stand. */
const needsText =
  (name: string) =>
  (text: string): string | undefined =>
    text === ''
      ? `bad string length 0 < 1: ${name} = ; leave it out or give it a value`
      : undefined;
const SPECIAL: ReadonlyMap<string, (text: string) => string | undefined> = new Map([
  ['myhostname', needsText('myhostname')],
  ['mydomain', needsText('mydomain')],
  [
    'compatibility_level',
    (text) =>
      parseLevel(text)
        ? undefined
        : `malformed compatibility level syntax: "${text}"; write numbers, as in 3.6`,
  ],
  [
    'inet_protocols',
    (text) =>
      protocolFamilies(text)
        ? undefined
        : `unknown inet_protocols value in "${text}"; write ipv4, ipv6 or all`,
  ],
  [
    'mynetworks_style',
    (text) =>
      isNetworkStyle(text)
        ? undefined
        : `bad mynetworks_style value: ${text}; specify exactly one of host, subnet, class`,
  ],
]);

/** Postfix's range of a parameter of that kind; a most of 0 is none. */
function rangeOf(name: string, type: 'time' | 'str'): Range {
  const known = POSTFIX_PARAMETERS.get(name);
  const isSame = known?.type === type || (type === 'str' && known?.type === 'raw');
  if (!known || !isSame) return { min: undefined, max: undefined };
  return { min: known.min > 0 ? known.min : undefined, max: known.max > 0 ? known.max : undefined };
}
