/**
 * The mail log. One line per event, in the shape that Postfix's tools know:
 *
 *   Nov 25 10:01:02 host postfix/smtpd[123]: 4cGz...: client=...
 */
export type Level = 'info' | 'warning' | 'error' | 'fatal' | 'panic';

export interface Logger {
  /** Routine; no level word in the line. */
  info(text: string): void;
  /** `warning: text`: wants an administrator. */
  warning(text: string): void;
  error(text: string): void;
  /** `fatal: text`: the process is about to end. */
  fatal(text: string): void;
  panic(text: string): void;
  /** Write out what is buffered, synchronously. */
  flush(): void;
}

/** Foreign text made safe for one log line: controls and C1 become `?`. */
export function printable(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, '?');
}
