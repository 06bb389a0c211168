/** main.cf parameters: policy. */
import { text } from './descriptor.ts';

export const POLICY_PARAMS = {} as const;
void text;
