/** What dns/wire.ts uses of dns-packet, which ships no types. */
declare module 'dns-packet' {
  export type Question = { name: string; type: string; class?: string };
  export type ResourceRecord = {
    name: string;
    type: string;
    ttl?: number;
    class?: string;
    data?: unknown;
    /** OPT pseudo-records only. */
    udpPayloadSize?: number;
    flags?: number;
    options?: readonly unknown[];
  };
  export type Packet = {
    id?: number;
    type?: 'query' | 'response';
    flags?: number;
    questions?: Question[];
    answers?: ResourceRecord[];
    authorities?: ResourceRecord[];
    additionals?: ResourceRecord[];
  };
  export type DecodedPacket = Required<Omit<Packet, 'flags'>> & {
    readonly flag_tc: boolean;
    readonly flag_ad: boolean;
    readonly rcode: string;
  };
  export function encode(packet: Packet): Buffer;
  export function decode(bytes: Buffer): DecodedPacket;
}
