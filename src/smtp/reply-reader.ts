/**
 * Replies of a server we do not trust: lines to whole replies, all of it bounded.
 *
 * At most MAX_LINES lines of MAX_LINE characters are kept of a reply; a reply that goes on for
 * longer than MAX_BYTES, changes its code or is no reply at all is a fault. Control characters
 * become `?` here, once, before any text reaches a log, a bounce or the queue.
 *
 * @see RFC 5321 section 4.2
 */
const MAX_LINE = 512;
const MAX_LINES = 100;
const MAX_BYTES = 65_536;

export type ReplyReader = {
  /** Take bytes in. Calls back for each whole reply, lines joined by `\n`; false stops it. */
  readonly take: (chunk: Buffer) => void;
  /** Drop what has been read: nothing from before TLS counts after it. */
  readonly forget: () => void;
};

export function readReplies(
  onReply: (reply: string) => void,
  onFault: (text: string) => void,
): ReplyReader {
  let rest = '';
  let reply = '';
  let lines = 0;
  let bytes = 0;
  let code = '';
  let epoch = 0;

  const line = (text: string): string | undefined => {
    const kept = clean(text.length > MAX_LINE ? text.slice(0, MAX_LINE) : text);
    if (!isReplyLine(kept)) return `unexpected reply: ${kept.slice(0, 100)}`;
    const own = kept.slice(0, 3);
    if (code !== '' && own !== code) return `reply changes its code: ${kept.slice(0, 100)}`;
    code = own;
    if (lines < MAX_LINES) reply = lines === 0 ? kept : `${reply}\n${kept}`;
    lines += 1;
    if (kept[3] === '-') return undefined;
    const whole = reply;
    reset();
    onReply(whole);
    return undefined;
  };
  const reset = (): void => {
    reply = '';
    code = '';
    lines = 0;
    bytes = 0;
  };

  return {
    take: (chunk) => {
      bytes += chunk.length;
      const text = rest === '' ? chunk.toString('latin1') : rest + chunk.toString('latin1');
      const started = epoch;
      let from = 0;
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
        const end = at > from && text.charCodeAt(at - 1) === 0x0d ? at - 1 : at;
        const one = text.slice(from, end);
        from = at + 1;
        if (one === '' && lines === 0) continue;
        const fault = line(one);
        if (fault !== undefined) return onFault(fault);
        // What follows in this chunk came in the clear, before the handshake: it is dropped.
        if (epoch !== started) return;
      }
      rest = text.slice(from);
      if (bytes > MAX_BYTES || rest.length > MAX_BYTES) onFault('reply too long');
    },
    forget: () => {
      epoch += 1;
      rest = '';
      reset();
    },
  };
}

function isReplyLine(text: string): boolean {
  const first = text.charCodeAt(0);
  if (first < 0x32 || first > 0x35 || !isDigit(text, 1) || !isDigit(text, 2)) return false;
  return text.length === 3 || text[3] === ' ' || text[3] === '-';
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0x30 && code <= 0x39;
}

/** UTF-8 where it is valid, else byte for byte; controls become `?`. */
function clean(text: string): string {
  if (!/[^\x20-\x7e]/.test(text)) return text;
  const decoded = Buffer.from(text, 'latin1').toString('utf8');
  const best = decoded.includes('\ufffd') ? text : decoded;
  return best.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, '?');
}
