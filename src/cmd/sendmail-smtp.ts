/**
 * `sendmail -bs`: SMTP on standard input and output, for one local user. Each message goes to the
 * maildrop as `sendmail -f` would put it there.
 */
import { createInterface } from 'node:readline';
import { internalAddress } from '../mail/address.ts';
import type { Drop } from '../pickup/maildrop.ts';
import type { Io } from './main.ts';

type Submit = (drop: Drop, message: Buffer) => Promise<number>;

const MAX_RECIPIENTS = 1000;

export async function sendmailSmtp(io: Io, submit: Submit): Promise<number> {
  const say = (text: string): void => io.stdout(`${text}\r\n`);
  let sender: string | undefined;
  let recipients: string[] = [];
  let data: string[] | undefined;
  say('220 localhost ESMTP');
  for await (const line of createInterface({
    input: io.stdin,
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    if (data) {
      if (line !== '.') {
        data.push(line.startsWith('.') ? line.slice(1) : line);
        continue;
      }
      const drop: Drop = {
        sender: sender ?? '',
        recipients,
        fullName: '',
        body: '',
        envid: '',
        ret: '',
        notify: [],
      };
      const status = await submit(drop, Buffer.from(`${data.join('\n')}\n`));
      say(status === 0 ? '250 2.0.0 Ok: queued' : '451 4.3.0 Error: queue file write error');
      data = undefined;
      sender = undefined;
      recipients = [];
      continue;
    }
    const [verb = ''] = line.toUpperCase().split(/[\s:]/);
    const path = internalAddress(/<([^>]*)>/.exec(line)?.[1] ?? '');
    if (verb === 'QUIT') {
      say('221 2.0.0 Bye');
      return 0;
    }
    if (verb === 'HELO') say('250 localhost');
    else if (verb === 'EHLO') say('250-localhost\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME');
    else if (verb === 'NOOP') say('250 2.0.0 Ok');
    else if (verb === 'RSET') {
      sender = undefined;
      recipients = [];
      say('250 2.0.0 Ok');
    } else if (verb === 'MAIL') {
      if (sender !== undefined) say('503 5.5.1 Error: nested MAIL command');
      else {
        sender = path;
        say('250 2.1.0 Ok');
      }
    } else if (verb === 'RCPT') {
      if (sender === undefined) say('503 5.5.1 Error: need MAIL command');
      else if (path === '') say('501 5.1.3 Bad recipient address syntax');
      else if (recipients.length >= MAX_RECIPIENTS) say('452 4.5.3 Error: too many recipients');
      else {
        recipients.push(path);
        say('250 2.1.5 Ok');
      }
    } else if (verb === 'DATA') {
      if (recipients.length === 0) say('554 5.5.1 Error: no valid recipients');
      else {
        data = [];
        say('354 End data with <CR><LF>.<CR><LF>');
      }
    } else say('502 5.5.2 Error: command not recognized');
  }
  return 0;
}
