/**
 * An OpenLDAP server for tests: suffix `dc=example,dc=org`, administrator `cn=admin` with the
 * password `secret`, reached by TCP, TLS and a Unix socket.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, isListening, runProgram } from './instance.ts';
import { ownedDirectory, type StoreProcess, startStore, storeDirectory } from './store-process.ts';

export type Slapd = StoreProcess & {
  readonly port: number;
  readonly tlsPort: number;
  /** As in `ldapi://...`: the path, % encoded. */
  readonly ldapi: string;
  readonly directory: string;
  readonly add: (ldif: string) => Promise<void>;
};

export const SUFFIX = 'dc=example,dc=org';
export const ADMIN = `cn=admin,${SUFFIX}`;
export const SLAPD = ['slapd', 'ldapadd'] as const;

/** Attributes and classes for mail routing that no shipped schema has. */
const SCHEMA = `
attributetype ( 1.3.6.1.4.1.32473.1.1 NAME 'maildrop' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.32473.1.2 NAME 'mailacceptinggeneralid' EQUALITY caseIgnoreMatch
  SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.32473.1.3 NAME 'memberurl' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.32473.2.1 NAME 'mailRecipient' SUP top AUXILIARY
  MAY ( maildrop $ mailacceptinggeneralid $ memberurl $ mail $ member $ uid ) )
`;

export async function startSlapd(
  options: {
    readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
    /** Lines for the global and the database part of slapd.conf. */
    readonly global?: string;
    readonly database?: string;
  } = {},
): Promise<Slapd> {
  const directory = storeDirectory('slapd');
  ownedDirectory(directory, 'data');
  const [port = 0, tlsPort = 0] = await freePorts(2);
  const { tls } = options;
  const modules = '/usr/lib/ldap';
  const schemas = '/etc/ldap/schema';
  writeFileSync(
    join(directory, 'slapd.conf'),
    `${['core', 'cosine', 'inetorgperson'].map((name) => `include ${schemas}/${name}.schema`).join('\n')}
${SCHEMA}
pidfile ${join(directory, 'pid')}
${existsSync(join(modules, 'back_mdb.so')) ? `modulepath ${modules}\nmoduleload back_mdb` : ''}
${tls ? `TLSCACertificateFile ${tls.ca}\nTLSCertificateFile ${tls.cert}\nTLSCertificateKeyFile ${tls.key}` : ''}
${options.global ?? ''}
database mdb
maxsize 67108864
suffix "${SUFFIX}"
rootdn "${ADMIN}"
rootpw secret
directory ${join(directory, 'data')}
dbnosync
${options.database ?? ''}
`,
  );
  const ldapi = encodeURIComponent(join(directory, 'ldapi'));
  const urls = [`ldap://127.0.0.1:${port}/`, `ldapi://${ldapi}/`];
  if (tls) urls.push(`ldaps://127.0.0.1:${tlsPort}/`, `ldaps://127.0.0.2:${tlsPort}/`);
  if (tls) urls.push(`ldap://127.0.0.2:${port}/`);
  const store = await startStore({
    file: 'slapd',
    argv: ['-d', '0', '-f', join(directory, 'slapd.conf'), '-h', urls.join(' ')],
    directory,
    isReady: () => isListening(port),
    stopSignal: 'SIGINT',
  });
  const add = async (ldif: string): Promise<void> => {
    const argv = ['-x', '-H', `ldap://127.0.0.1:${port}`, '-D', ADMIN, '-w', 'secret'];
    const { code, stderr } = await runProgram('ldapadd', argv, { input: ldif });
    if (code !== 0) throw new Error(`ldapadd: ${stderr}`);
  };
  await add(
    `dn: ${SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n`,
  );
  return { ...store, port, tlsPort, ldapi, directory, add };
}
