/** main.cf parameters: tls. */
import { text } from './descriptor.ts';

export const TLS_PARAMS = {} as const;
void text;
