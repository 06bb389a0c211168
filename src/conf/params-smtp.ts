/** main.cf parameters: smtp. */
import { text } from './descriptor.ts';

export const SMTP_PARAMS = {} as const;
void text;
