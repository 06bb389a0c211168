/**
 * The input of a session: command lines, DATA, and BDAT chunks of a counted size.
 *
 * Unlike SMTPStream, which it replaces in SMTPConnection: lines are Buffers and are never decoded
 * here, a message goes straight to a `BodySink` instead of through a PassThrough, and a stuffed dot
 * costs no turn of the event loop. It is strictly serial: the next command is read when the handler
 * of the last one has called back, the next body chunk when the sink has taken the one before.
 */
import { type BareNewline, BodyScanner } from './body-scanner.ts';
import { SMTPStream } from './library.ts';

/** Takes the stored form of a message as it comes in. */
export type BodySink = {
  readonly write: (piece: Buffer) => true | Promise<void>;
};

export type Body = {
  readonly sink: BodySink;
  /** The end of the data or of the BDAT chunk. The stream waits for `next`. */
  readonly onEnd: (facts: BodyFacts, next: () => void) => void;
};

export type BodyFacts = {
  /** Bytes as sent, without the end of data. */
  readonly receivedBytes: number;
  readonly hasBareNewline: boolean;
};

type Done = (error?: Error | null) => void;

/** Commands handled in one go before other connections get their turn. */
const MAX_BATCH = 100;
const EMPTY = Buffer.alloc(0);

export class PosternStream extends SMTPStream {
  /** Longest command line; a handler may raise it for the next line (AUTH). */
  lineLimit = 2048;
  /** All input at hand has been handled: time to flush replies. */
  onIdle: () => void = () => undefined;
  onTooLong: () => void = () => undefined;
  /** The client has closed its side and everything before that is handled. */
  onInputEnd: () => void = () => undefined;
  /** Bytes have come, of whatever kind. */
  onInput: () => void = () => undefined;
  /** A command line ended in LF alone. */
  onBareNewline: () => void = () => undefined;

  #body: Body | undefined;
  #scanner: BodyScanner | undefined;
  /** Bytes left of a BDAT chunk; -1 in DATA. */
  #left = -1;
  #receivedBytes = 0;
  #rest: Buffer = EMPTY;
  #input: Buffer = EMPTY;

  /** Whether input behind the current command has arrived already. */
  get hasMoreInput(): boolean {
    return this.#input.length > 0 || this.writableLength > this.#chunkLength;
  }
  #chunkLength = 0;

  /** What of it can be seen. */
  get waiting(): Buffer {
    return this.#input;
  }

  get isReceivingBody(): boolean {
    return this.#body !== undefined;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Read a message up to its end of data. */
  readData(mode: BareNewline, body: Body): void {
    this.#scanner = new BodyScanner('data', mode);
    this.#start(body, -1);
  }

  /** Read `count` bytes as the next part of the message that `scanner` belongs to. */
  readChunk(scanner: BodyScanner, count: number, body: Body): void {
    this.#scanner = scanner;
    this.#start(body, count);
  }

  #start(body: Body, left: number): void {
    this.#body = body;
    this.#left = left;
    this.#receivedBytes = 0;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding | 'buffer', next: Done): void {
    if (this.isClosed || chunk.length === 0) {
      next();
      return;
    }
    this.onInput();
    this.#chunkLength = chunk.length;
    this.#input = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = EMPTY;
    this.#run(next);
  }

  override _feedDataStream(chunk: Buffer, done: Done): void {
    this.#input = chunk;
    this.#run(done);
  }

  /** A line without its end is not a command. */
  override _flushData(): void {
    if (!this.isClosed) this.onInputEnd();
  }

  /** Handle the input until it is used up or somebody has to be waited for. */
  #run(done: Done): void {
    let isRunning = true;
    let isResumed = true;
    const resume = (): void => {
      isResumed = true;
      if (!isRunning) this.#run(done);
    };
    for (let count = 0; isResumed; count += 1) {
      if (this.isClosed) {
        this.#input = EMPTY;
        done();
        return;
      }
      if (count >= MAX_BATCH) {
        this.onIdle();
        setImmediate(() => this.#run(done));
        return;
      }
      isResumed = false;
      const step = this.#body ? this.#stepBody(this.#body, resume) : this.#stepLine(resume);
      if (step === 'used-up') {
        this.#chunkLength = 0;
        this.onIdle();
        done();
        return;
      }
    }
    isRunning = false;
  }

  #stepLine(resume: () => void): 'used-up' | 'waiting' {
    const input = this.#input;
    const end = input.indexOf(0x0a);
    const length = end < 0 ? input.length : end;
    if (length > this.lineLimit + 1) {
      this.#input = EMPTY;
      this.onTooLong();
      return 'used-up';
    }
    if (end < 0) {
      if (length > 0) this.#rest = Buffer.from(input);
      this.#input = EMPTY;
      return 'used-up';
    }
    const hasCr = end > 0 && input[end - 1] === 0x0d;
    this.#input = input.subarray(end + 1);
    if (!hasCr) this.onBareNewline();
    this.oncommand(input.subarray(0, hasCr ? end - 1 : end), resume);
    return 'waiting';
  }

  #stepBody(body: Body, resume: () => void): 'used-up' | 'waiting' {
    const scanner = this.#scanner;
    if (!scanner) throw new Error('a body without a scanner');
    let pieces: readonly Buffer[];
    let isOver: boolean;
    if (this.#left >= 0) {
      const part = this.#input.subarray(0, this.#left);
      if (part.length === 0 && this.#left > 0) return 'used-up';
      this.#input = this.#input.subarray(part.length);
      this.#left -= part.length;
      this.#receivedBytes += part.length;
      pieces = scanner.push(part).pieces;
      isOver = this.#left === 0;
    } else {
      if (this.#input.length === 0) return 'used-up';
      const scan = scanner.push(this.#input);
      this.#receivedBytes += this.#input.length - (scan.rest?.length ?? 0);
      pieces = scan.pieces;
      isOver = scan.rest !== undefined;
      this.#input = scan.rest ?? EMPTY;
    }
    const finish = (): void => {
      if (!isOver) {
        resume();
        return;
      }
      this.#body = undefined;
      const facts = {
        receivedBytes: this.#receivedBytes,
        hasBareNewline: scanner.hasBareNewline,
      };
      body.onEnd(facts, resume);
    };
    this.#deliver(body.sink, pieces, finish);
    return 'waiting';
  }

  #deliver(sink: BodySink, pieces: readonly Buffer[], finish: () => void): void {
    for (const [at, piece] of pieces.entries()) {
      const taken = sink.write(piece);
      if (taken === true) continue;
      taken.then(
        () => this.#deliver(sink, pieces.slice(at + 1), finish),
        (error: unknown) => this.destroy(error instanceof Error ? error : new Error('body sink')),
      );
      return;
    }
    finish();
  }
}
