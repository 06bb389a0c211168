/**
 * smtp-server, the one module through which it comes in. Its classes are overridden member by member
 * in server.ts, connection.ts and stream.ts; test/smtpd/contract.test.ts holds what we rely on.
 *
 * It is loaded with require: an ES module's import of node:http, which the package's helpers need,
 * would evaluate every lazy export of it (undici, for WebSocket): 50 ms and 6 MB of each process.
 */
import { createRequire } from 'node:module';

type Connections = typeof import('smtp-server/lib/smtp-connection.js');

const require = createRequire(import.meta.url);
const server: typeof import('smtp-server') = require('smtp-server');
const connection: Connections = require('smtp-server/lib/smtp-connection.js');
const stream: typeof import('smtp-server/lib/smtp-stream.js') = require('smtp-server/lib/smtp-stream.js');

export type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
export const { SMTPServer } = server;
export const { SMTPConnection, TLS_SOCKET_OPTIONS } = connection;
export const { SMTPStream } = stream;
