/** main.cf parameters: delivery. */
import { text } from './descriptor.ts';

export const DELIVERY_PARAMS = {} as const;
void text;
