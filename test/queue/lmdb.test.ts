import { temporaryQueue } from '../support/lmdb-queue.ts';
import { describeStore } from './store-contract.ts';

describeStore('lmdb', temporaryQueue);
