/**
 * Parameter descriptors: what one main.cf parameter is, as a value.
 *
 * Each area declares its own (`params-smtpd.ts`, `params-queue.ts`, ...); `params.ts` joins them.
 * The typed `Config` is derived, so a parameter exists once: name, type, default, documentation.
 *
 * @see postconf(5)
 */
type Common = {
  /** Unexpanded default in main.cf syntax, such as `$myhostname, localhost`. */
  readonly default: string;
  /** One or two sentences for docs/parameters.md. */
  readonly doc: string;
};

export type TextParam = Common & {
  readonly type: 'text';
  /** The value stays as written: its `$names` are known only at delivery (`$home`, `$user`). */
  readonly raw?: true;
};
export type BoolParam = Common & { readonly type: 'bool' };
/** Whole number without suffix; `min`/`max` inclusive (0 means no limit where the doc says so). */
export type IntParam = Common & {
  readonly type: 'int';
  readonly min?: number;
  readonly max?: number;
};
/** `N[smhdw]`; the Config value is in SECONDS. `unit` applies to a number without suffix. */
export type TimeParam = Common & {
  readonly type: 'time';
  readonly unit: 's' | 'm' | 'h' | 'd' | 'w';
};

export type Param = TextParam | BoolParam | IntParam | TimeParam;

export const text = (value: string, doc: string): TextParam => ({
  type: 'text',
  default: value,
  doc,
});
/** Text that Config holds unexpanded. */
export const rawText = (value: string, doc: string): TextParam => ({
  type: 'text',
  default: value,
  doc,
  raw: true,
});
export const bool = (value: string, doc: string): BoolParam => ({
  type: 'bool',
  default: value,
  doc,
});
export const int = (value: string, doc: string, min = 0, max = 2 ** 31 - 1): IntParam => ({
  type: 'int',
  default: value,
  doc,
  min,
  max,
});
export const time = (value: string, doc: string, unit: TimeParam['unit'] = 's'): TimeParam => ({
  type: 'time',
  default: value,
  doc,
  unit,
});

/** The type of a parameter's value in `Config`; text is fully expanded. */
export type ValueOf<P extends Param> = P extends BoolParam
  ? boolean
  : P extends IntParam | TimeParam
    ? number
    : string;
