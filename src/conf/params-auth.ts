/** main.cf parameters: auth. */
import { text } from './descriptor.ts';

export const AUTH_PARAMS = {} as const;
void text;
