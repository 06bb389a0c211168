/**
 * nodemailer's SMTPConnection with the members that its published types leave out.
 *
 * The only cast of this folder: test/smtp/connection.test.ts holds every member named here against
 * the installed package.
 */
import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import SMTPConnection from 'nodemailer/lib/smtp-connection';

export type ConnectionSettings = {
  readonly connection: Socket;
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly lmtp: boolean;
  readonly secure: boolean;
  readonly ignoreTLS: boolean;
  readonly requireTLS: boolean;
  readonly opportunisticTLS: boolean;
  readonly tls: ConnectionOptions;
  readonly connectionTimeout: number;
  readonly greetingTimeout: number;
  readonly socketCloseTimeout: number;
};

export type ReplyAction = (reply: string) => void;

/** What send() hands back to a message it writes. */
export type SendStream = {
  readonly write: (message: unknown) => void;
  readonly end: () => void;
  readonly outByteCount: number;
};

type Done = (error: Error | null, result?: unknown) => void;

/** The members that client.ts calls or overrides. */
export interface OpenConnection {
  secure: boolean;
  allowsAuth: boolean;
  authenticated: boolean;
  stage: 'init' | 'connected';
  name: string;
  upgrading?: boolean;
  _socket: Socket;
  _destroyed: boolean;
  _closing: boolean;
  _responseActions: ReplyAction[];
  _supportedExtensions: string[];
  _supportedAuth: string[];
  _maxAllowedSize: number;
  _envelope: unknown;
  _pendingSend: unknown;
  _onSocketData: (chunk: Buffer) => void;
  _onSocketError: (error: Error) => void;
  _onSocketClose: () => void;
  _onSocketEnd: () => void;
  connect(): void;
  login(auth: { user: string; pass: string; method: string }, callback: Done): void;
  send(envelope: object, message: object, callback: Done): void;
  close(): void;
  _setupConnectionHandlers(): void;
  _startPhase(timeoutMs: number, error: Error): void;
  _onConnect(): void;
  _onData(chunk: Buffer): void;
  _onError(error: Error, type: string, reply: unknown, command: string): void;
  _onClose(): void;
  _sendCommand(command: string): void;
  _upgradeConnection(callback: Done): void;
  _setEnvelope(envelope: object, callback: Done): void;
  _createSendStream(callback: Done): SendStream;
  _actionGreeting(reply: string): void;
  _actionEHLO(reply: string): void;
  _actionLHLO(reply: string): void;
  _actionHELO(reply: string): void;
  _actionSTARTTLS(reply: string): void;
  _parseEhloExtensions(reply: string): void;
  _actionMAIL(reply: string): void;
  _actionRCPT(reply: string): void;
  _actionDATA(reply: string): void;
  _actionSMTPStream(reply: string): void;
  _actionLMTPStream(recipient: unknown, isFinal: unknown, reply: string): void;
}

export const OpenConnection = SMTPConnection as unknown as new (
  settings: ConnectionSettings,
) => OpenConnection;

/** Method names of `OpenConnection`, for the contract test. */
export const OVERRIDDEN_MEMBERS = [
  'connect',
  'login',
  'send',
  'close',
  '_setupConnectionHandlers',
  '_startPhase',
  '_onConnect',
  '_onData',
  '_onError',
  '_onClose',
  '_sendCommand',
  '_upgradeConnection',
  '_setEnvelope',
  '_createSendStream',
  '_actionGreeting',
  '_actionEHLO',
  '_actionLHLO',
  '_actionHELO',
  '_actionSTARTTLS',
  '_parseEhloExtensions',
  '_actionMAIL',
  '_actionRCPT',
  '_actionDATA',
  '_actionSMTPStream',
  '_actionLMTPStream',
] as const;
