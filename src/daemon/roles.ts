/**
 * Which master.cf commands are processes of ours, and how they live.
 *
 * A command that Postfix runs as a process but whose work happens inside another of ours is
 * `inner`: its row is accepted, its limits and -o settings apply where the work is done.
 */
export type Role =
  /** Accepts on the row's socket; several workers share it. */
  | { readonly kind: 'listener'; readonly entry: string; readonly owner: Owner }
  /** Exactly one process. */
  | { readonly kind: 'single'; readonly entry: string; readonly owner: Owner }
  /** Started when qmgr wants it, ends when idle. */
  | { readonly kind: 'agent'; readonly entry: string; readonly owner: Owner }
  | { readonly kind: 'inner'; readonly where: string };

/** Whose rights the process takes when master is root; `root` keeps them for each delivery. */
export type Owner = 'mail_owner' | 'auth_owner' | 'root';

const ROLES: ReadonlyMap<string, Role> = new Map<string, Role>([
  ['smtpd', { kind: 'listener', entry: 'smtpd/main.ts', owner: 'mail_owner' }],
  ['qmgr', { kind: 'single', entry: 'qmgr/main.ts', owner: 'mail_owner' }],
  ['oqmgr', { kind: 'single', entry: 'qmgr/main.ts', owner: 'mail_owner' }],
  ['nqmgr', { kind: 'single', entry: 'qmgr/main.ts', owner: 'mail_owner' }],
  ['auth', { kind: 'single', entry: 'auth/worker.ts', owner: 'auth_owner' }],
  ['smtp', { kind: 'agent', entry: 'smtp/main.ts', owner: 'mail_owner' }],
  ['lmtp', { kind: 'agent', entry: 'smtp/main.ts', owner: 'mail_owner' }],
  ['local', { kind: 'agent', entry: 'local/main.ts', owner: 'root' }],
  ['virtual', { kind: 'agent', entry: 'virtual/main.ts', owner: 'root' }],
  ['pipe', { kind: 'agent', entry: 'pipe/main.ts', owner: 'root' }],
  ['cleanup', { kind: 'inner', where: 'smtpd and pickup' }],
  ['trivial-rewrite', { kind: 'inner', where: 'smtpd and qmgr' }],
  ['pickup', { kind: 'inner', where: 'qmgr' }],
  ['bounce', { kind: 'inner', where: 'qmgr' }],
  ['verify', { kind: 'inner', where: 'qmgr' }],
  ['flush', { kind: 'inner', where: 'qmgr' }],
  ['showq', { kind: 'inner', where: 'qmgr' }],
  ['error', { kind: 'inner', where: 'qmgr' }],
  ['discard', { kind: 'inner', where: 'qmgr' }],
  ['anvil', { kind: 'inner', where: 'qmgr' }],
  ['scache', { kind: 'inner', where: 'smtp' }],
  ['proxymap', { kind: 'inner', where: 'the process that asks' }],
  ['tlsmgr', { kind: 'inner', where: 'master' }],
  ['postlogd', { kind: 'inner', where: 'every process' }],
]);

/** The role of a master.cf command, or undefined for one that is not known here. */
export const roleOf = (command: string): Role | undefined => ROLES.get(command);
