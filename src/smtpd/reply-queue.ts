/**
 * Replies on their way out: gathered while there is input at hand, written at once when it is used
 * up, or at the end of the turn when a command takes longer.
 */
export class ReplyQueue {
  readonly #send: (text: string) => void;
  /** A reply that is held back (after many errors) waits for the end of its command. */
  readonly #isHeld: () => boolean;
  #text = '';
  #isPlanned = false;

  constructor(send: (text: string) => void, isHeld: () => boolean) {
    this.#send = send;
    this.#isHeld = isHeld;
  }

  add(text: string): void {
    this.#text += text;
  }

  flush(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#send(text);
  }

  flushLater(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      if (!this.#isHeld()) this.flush();
    });
  }
}
