/**
 * What a client has used up of our patience: errors, commands without mail, and time.
 *
 * Pure: the clock comes as the server's ticks (seconds), progress as bytes read from the socket.
 *
 * @see postconf(5) smtpd_hard_error_limit, smtpd_junk_command_limit, smtpd_per_request_deadline
 */
import type { Config } from '../conf/params.ts';

export type PatienceConfig = Pick<
  Config,
  | 'smtpd_soft_error_limit'
  | 'smtpd_hard_error_limit'
  | 'smtpd_junk_command_limit'
  | 'smtpd_error_sleep_time'
  | 'smtpd_timeout'
  | 'smtpd_starttls_timeout'
  | 'smtpd_per_request_deadline'
  | 'smtpd_min_data_rate'
>;

export class Patience {
  readonly #config: PatienceConfig;
  #errors = 0;
  #errorsBefore = 0;
  #junk = 0;
  #sinceTick: number;
  #bytesBefore = 0;
  #leftSeconds: number;

  constructor(config: PatienceConfig, tick: number) {
    this.#config = config;
    this.#sinceTick = tick;
    this.#leftSeconds = config.smtpd_timeout;
  }

  // --- Errors ------------------------------------------------------------------------------

  beginCommand(): void {
    this.#errorsBefore = this.#errors;
  }

  noteReply(code: number): void {
    if (code >= 400) this.#errors += 1;
  }

  /** A command that does nothing for mail: well above the limit each is an error, too. */
  noteJunk(): void {
    if (this.#junk > this.#config.smtpd_junk_command_limit) this.#errors += 1;
    this.#junk += 1;
  }

  get errors(): number {
    return this.#errors;
  }

  /** The command under way has been refused. */
  get hasErred(): boolean {
    return this.#errors > this.#errorsBefore;
  }

  get isExhausted(): boolean {
    return this.#errors >= this.#config.smtpd_hard_error_limit;
  }

  /** How long the reply to the command under way is held back. */
  get delayMs(): number {
    const isLate = this.hasErred && this.#errors > this.#config.smtpd_soft_error_limit;
    return isLate ? this.#config.smtpd_error_sleep_time * 1000 : 0;
  }

  /** A message was accepted: the client has earned new patience. */
  forgive(): void {
    this.#errors = 0;
    this.#junk = 0;
  }

  // --- Time --------------------------------------------------------------------------------

  /** The client's turn begins. */
  startRequest(tick: number, bytesRead: number): void {
    this.#sinceTick = tick;
    this.#bytesBefore = bytesRead;
    this.#leftSeconds = this.#config.smtpd_timeout;
  }

  /** Without a deadline for the whole request each read starts the clock again. */
  noteInput(tick: number): void {
    if (!this.#config.smtpd_per_request_deadline) this.#sinceTick = tick;
  }

  /**
   * The request takes too long. Under a deadline each smtpd_min_data_rate bytes earn a second, but
   * never more than smtpd_timeout is left.
   */
  isOverdue(tick: number, bytesRead: number): boolean {
    const { smtpd_timeout, smtpd_per_request_deadline, smtpd_min_data_rate } = this.#config;
    if (!smtpd_per_request_deadline) return tick - this.#sinceTick > smtpd_timeout;
    const earned = (bytesRead - this.#bytesBefore) / smtpd_min_data_rate;
    const spent = tick - this.#sinceTick;
    this.#sinceTick = tick;
    this.#bytesBefore = bytesRead;
    this.#leftSeconds = Math.min(smtpd_timeout, this.#leftSeconds - spent + earned);
    return this.#leftSeconds < 0;
  }

  isHandshakeOverdue(tick: number): boolean {
    return tick - this.#sinceTick > this.#config.smtpd_starttls_timeout;
  }
}
