/** main.cf parameters: queue. */
import { text } from './descriptor.ts';

export const QUEUE_PARAMS = {} as const;
void text;
