/** How often each command was tried and done: the end of the `disconnect from` line. */
const ORDER = 'helo ehlo starttls xclient auth mail rcpt data bdat rset noop vrfy quit help';
const RANKS: ReadonlyMap<string, number> = new Map(ORDER.split(' ').map((name, at) => [name, at]));

export class CommandCounts {
  readonly #tried = new Map<string, number>();
  readonly #done = new Map<string, number>();

  tried(name: string): void {
    this.#tried.set(name, (this.#tried.get(name) ?? 0) + 1);
  }

  done(name: string): void {
    this.#done.set(name, (this.#done.get(name) ?? 0) + 1);
  }

  /** One that was counted as done has failed after all. */
  failed(name: string): void {
    this.#done.set(name, Math.max(0, (this.#done.get(name) ?? 0) - 1));
  }

  /** ` ehlo=1 mail=1 rcpt=1/2 commands=3/4`, in Postfix's order. */
  summary(): string {
    let total = 0;
    let good = 0;
    const names = [...this.#tried.keys()].sort((a, b) => rank(a) - rank(b));
    const words = names.map((name) => {
      const tried = this.#tried.get(name) ?? 0;
      const done = this.#done.get(name) ?? 0;
      total += tried;
      good += done;
      return ` ${name}=${done === tried ? done : `${done}/${tried}`}`;
    });
    return `${words.join('')} commands=${good === total && total > 0 ? good : `${good}/${total}`}`;
  }
}

const rank = (name: string): number => RANKS.get(name) ?? 99;
