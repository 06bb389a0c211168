import { memoryStore } from '../support/memory-store.ts';
import { describeStore } from './store-contract.ts';

describeStore('memory', async () => {
  const store = memoryStore();
  return { store, close: () => store.close() };
});
