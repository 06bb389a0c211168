/**
 * `proxy:type:name`: in Postfix a table that proxymap(8) opens for all processes. Here each process
 * has its own bounded pool of connections, so that the prefix only asks for permission: the table
 * must be named, with its prefix, in proxy_read_maps.
 *
 * @see proxymap(8), postconf(5) proxy_read_maps
 */
import { err, ok, type Result } from '../../util/result.ts';
import { splitList } from '../../util/text.ts';

/** The spec without its prefixes, if it may be read; `approved` gives the value of proxy_read_maps. */
export function withoutProxy(
  spec: string,
  approved: () => string | undefined,
): Result<string, { readonly reason: string }> {
  const bare = spec.replace(/^(?:proxy:)+/, '');
  if (bare === spec) return ok(bare);
  const listed = approved();
  if (listed === undefined) return ok(bare);
  const names = splitList(listed.replaceAll(/[{}]/g, ' ')).map((name) =>
    name.replace(/^(?:proxy:)+/, 'proxy:'),
  );
  if (names.includes(`proxy:${bare}`)) return ok(bare);
  const remedy = `add proxy:${bare} to proxy_read_maps`;
  return err({ reason: `proxymap service is not configured for table "${bare}"; ${remedy}` });
}
