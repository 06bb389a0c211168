/** Members of Buffer that Node has and @types/node leaves out. @see node:buffer */
interface Buffer {
  latin1Slice(start?: number, end?: number): string;
  asciiSlice(start?: number, end?: number): string;
}
