/** main.cf parameters: smtpd. */
import { text } from './descriptor.ts';

export const SMTPD_PARAMS = {} as const;
void text;
