/** Keys and entries that the map commands read from standard input. */
import { isUtf8 } from 'node:buffer';
import type { Tool } from './map-tool.ts';

/** Lines of standard input; one that should be UTF-8 and is not holds a replacement character. */
export async function inputLines(tool: Tool): Promise<string[]> {
  const bytes = await inputBytes(tool);
  const isBytes = tool.context.format?.isBytes ?? false;
  const lines = bytes.toString(isBytes || !isUtf8(bytes) ? 'latin1' : 'utf8').split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (isBytes || isUtf8(bytes)) return lines;
  return lines.map((line) => Buffer.from(line, 'latin1').toString('utf8'));
}

export async function inputBytes({ io }: Tool): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
