/**
 * `sendmail -t`: the recipients that a message's own header names.
 *
 * To, Cc and Bcc; with any Resent- recipient field, only those. cleanup removes Bcc. Lists may be
 * folded, hold comments, groups and quoted names.
 */
export function headerRecipients(message: Buffer): string[] {
  const text = message.toString('utf8');
  const end = /\r?\n\r?\n/.exec(text)?.index ?? text.length;
  const fields = text
    .slice(0, end)
    .replaceAll(/\r?\n[ \t]+/g, ' ')
    .split(/\r?\n/);
  const values = (names: RegExp): string[] =>
    fields.flatMap((field) => {
      const colon = field.indexOf(':');
      return colon > 0 && names.test(field.slice(0, colon).trim()) ? [field.slice(colon + 1)] : [];
    });
  const resent = values(/^resent-(to|cc|bcc)$/i);
  const lists = resent.length > 0 ? resent : values(/^(to|cc|bcc)$/i);
  return lists.flatMap(addressesOf);
}

/** Addresses of one list: `Name <a@b>, "x, y" <c@d>, group: e@f, g@h;, i@j (comment)`. */
export function addressesOf(list: string): string[] {
  return splitOutside(stripComments(list), ',;').flatMap((piece) => {
    const colon = splitOutside(piece, ':').at(-1) ?? '';
    const angle = /<([^<>]*)>\s*$/.exec(colon);
    const address = (angle?.[1] ?? colon).trim();
    return address === '' ? [] : [address];
  });
}

function stripComments(text: string): string {
  let depth = 0;
  let quoted = false;
  let out = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\') {
      if (depth === 0) out += text.slice(at, at + 2);
      at += 1;
    } else if (char === '"' && depth === 0) {
      quoted = !quoted;
      out += char;
    } else if (!quoted && char === '(') depth += 1;
    else if (!quoted && char === ')' && depth > 0) depth -= 1;
    else if (depth === 0) out += char;
  }
  return out;
}

/** Split at any of these characters, outside quotes and angle brackets. */
function splitOutside(text: string, separators: string): string[] {
  const parts: string[] = [];
  let quoted = false;
  let angle = false;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\') at += 1;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && char === '<') angle = true;
    else if (!quoted && char === '>') angle = false;
    else if (!quoted && !angle && separators.includes(char)) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}
