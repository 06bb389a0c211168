/** A memcached server for tests. */
import { freePort, isListening } from './instance.ts';
import { type StoreProcess, startStore, storeDirectory } from './store-process.ts';

export async function startMemcached(): Promise<StoreProcess & { readonly port: number }> {
  const port = await freePort();
  const store = await startStore({
    file: 'memcached',
    argv: ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-m', '8', '-t', '1'],
    directory: storeDirectory('memcached'),
    isReady: () => isListening(port),
  });
  return { ...store, port };
}
