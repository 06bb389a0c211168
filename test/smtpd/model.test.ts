/** Random command sequences: replies and stored envelopes equal a small model's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startSmtpd } from './harness.ts';

type Model = {
  helo: boolean;
  sender: string | undefined;
  rcpts: number;
  tries: number;
  bdat: boolean;
  spoilt: boolean;
  stored: number;
};

/** The codes the command brings, and what it does to the model. */
const COMMANDS: Readonly<Record<string, (m: Model) => readonly number[]>> = {
  'EHLO c': (m) => (reset(m), (m.helo = true), [250]),
  'MAIL FROM:<a@b.example>': (m) => {
    if (m.sender !== undefined) return [503];
    m.sender = 'a@b.example';
    return [250];
  },
  'MAIL FROM:<>': (m) => {
    if (m.sender !== undefined) return [503];
    m.sender = '';
    return [250];
  },
  'RCPT TO:<user@example.org>': (m) => {
    if (m.sender === undefined || m.bdat || m.spoilt) return [503];
    m.rcpts += 1;
    return [250];
  },
  'RCPT TO:<x@remote.example>': (m) => {
    if (m.sender === undefined || m.bdat || m.spoilt) return [503];
    return [554];
  },
  DATA: (m) => {
    if (m.bdat || m.spoilt) return [503];
    if (m.rcpts === 0) return [m.sender === undefined ? 503 : 554];
    reset(m);
    m.stored += 1;
    return [354, 250];
  },
  'BDAT 4\r\nQUIT': (m) => {
    if (m.spoilt) return [503];
    if (m.rcpts === 0) {
      if (m.sender !== undefined) m.spoilt = true;
      return [m.sender === undefined ? 503 : 554];
    }
    m.bdat = true;
    return [250];
  },
  'BDAT 2 LAST\r\nx\n': (m) => {
    if (m.spoilt) return [503];
    if (m.rcpts === 0) {
      if (m.sender !== undefined) m.spoilt = true;
      return [m.sender === undefined ? 503 : 554];
    }
    reset(m);
    m.stored += 1;
    return [250];
  },
  RSET: (m) => (reset(m), [250]),
  NOOP: () => [250],
  'VRFY user@example.org': () => [252],
  FOO: () => [500],
};

function reset(m: Model): void {
  m.sender = undefined;
  m.rcpts = 0;
  m.bdat = false;
  m.spoilt = false;
}

test('replies, envelopes and the number of stored messages equal the model', async () => {
  const smtpd = await startSmtpd({
    main: {
      smtpd_hard_error_limit: '1000',
      smtpd_soft_error_limit: '1000',
      smtpd_junk_command_limit: '1000',
    },
  });
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...Object.keys(COMMANDS)), { maxLength: 25 }),
        async (commands) => {
          const client = await smtpd.client();
          await client.reply();
          await client.say('EHLO c');
          const before = smtpd.arrived.length;
          const model: Model = {
            helo: false,
            sender: undefined,
            rcpts: 0,
            tries: 0,
            bdat: false,
            spoilt: false,
            stored: 0,
          };
          for (const command of commands) {
            const { sender, rcpts } = model;
            const stored = model.stored;
            const want = COMMANDS[command]?.(model) ?? [];
            client.write(command.startsWith('BDAT') ? command : `${command}\r\n`);
            for (const code of want) {
              const got = await client.reply();
              assert.equal(Number(got.slice(0, 3)), code, `${command}: ${got}`);
              if (code === 354) client.write('Subject: x\r\n\r\n.\r\n');
            }
            if (model.stored > stored) {
              const entry = smtpd.arrived.at(-1);
              assert.equal(entry?.sender, sender);
              assert.equal(entry?.recipients.length, 1, `of ${rcpts}`);
            }
          }
          assert.equal(smtpd.arrived.length - before, model.stored);
          client.socket.destroy();
        },
      ),
      { numRuns: 150 },
    );
  } finally {
    await smtpd.close();
  }
});
