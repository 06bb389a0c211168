/**
 * Every message that passes between two Postern processes, by the socket it travels on.
 *
 * Sockets lie in `$queue_directory/postern/` (the working directory of every process): `private/`
 * is open to mail_owner only, `public/` to local commands. Frames are made by ipc/channel.ts.
 */
import type { DeliveryReport, DeliveryRequest, QueueEntry } from '../mail/stages.ts';

/** To qmgr on `private/qmgr`. */
export type ToQmgr =
  /** First message of every connection. */
  | { readonly kind: 'hello'; readonly role: string; readonly pid: number }
  /** A message is on disk. The whole entry, so that qmgr need not read it. */
  | { readonly kind: 'arrived'; readonly entry: QueueEntry }
  /** An agent for a transport, ready for `slots` deliveries at once. */
  | { readonly kind: 'agent'; readonly transport: string; readonly slots: number }
  | { readonly kind: 'report'; readonly seq: number; readonly report: DeliveryReport }
  /** A root-capable agent asks for the body of the request it works on. */
  | { readonly kind: 'body-wanted'; readonly seq: number; readonly id: string }
  /** anvil: may this client do one more of this? */
  | {
      readonly kind: 'anvil';
      readonly seq: number;
      readonly service: string;
      readonly client: string;
      readonly event: AnvilEvent;
    }
  /** Operator requests, from public/qmgr too. */
  | {
      readonly kind: 'flush';
      readonly id?: string;
      readonly site?: string;
      readonly proof?: string;
    }
  /**
   * postsuper changed the stored entry: forget what is remembered of it and read it again before
   * the next attempt. Deliveries under way end; what is then settled keeps the operator's change.
   */
  | {
      readonly kind: 'changed';
      readonly id: string;
      readonly change: 'removed' | 'held' | 'released' | 'requeued' | 'expired';
    }
  | { readonly kind: 'maildrop' }
  /**
   * The whole queue, in `listed` messages. `proof` names a file in maildrop/ that holds its own name:
   * its owner asks. Needed where authorized_mailq_users (flush: authorized_flush_users) is not open
   * to anyone.
   */
  | { readonly kind: 'list'; readonly seq: number; readonly proof?: string };

/** What mailq(1) shows of a message. */
export type ListedMessage = {
  readonly id: string;
  readonly queue: 'active' | 'deferred' | 'hold' | 'incoming';
  /** The operator wants it returned (postsuper -e). */
  readonly isExpired: boolean;
  readonly arrivedMs: number;
  readonly sizeBytes: number;
  readonly sender: string;
  /** Those without an outcome. */
  readonly recipients: readonly {
    readonly address: string;
    readonly original: string;
    /** Of the last deferral. */
    readonly reason?: string;
  }[];
};

export type AnvilEvent = 'connect' | 'disconnect' | 'message' | 'recipient' | 'auth' | 'newtls';

/** From qmgr. */
export type FromQmgr =
  | { readonly kind: 'deliver'; readonly seq: number; readonly request: DeliveryRequest }
  /** Body bytes follow as binary frames with this seq; `last` closes. */
  | { readonly kind: 'body'; readonly seq: number; readonly last: boolean; readonly fault?: string }
  /** Counts per smtpd_client_event time unit, after counting this event. */
  | {
      readonly kind: 'anvil-counts';
      readonly seq: number;
      readonly concurrency: number;
      readonly rate: number;
    }
  | {
      readonly kind: 'listed';
      readonly seq: number;
      readonly messages: readonly ListedMessage[];
      readonly last: boolean;
    }
  /** The user of this name may not ask for this. */
  | { readonly kind: 'refused'; readonly user: string }
  | { readonly kind: 'done'; readonly note?: string };

/** smtpd to auth on `private/auth`. The secret crosses only this socket. */
export type ToAuth = {
  readonly kind: 'verify';
  readonly seq: number;
  readonly service: string;
  readonly username: string;
  readonly secret: string;
  readonly clientAddress: string;
};

export type FromAuth = {
  readonly kind: 'verdict';
  readonly seq: number;
  readonly verdict: 'accepted' | 'rejected' | 'unavailable';
  /** The name policies use, in canonical spelling; present when accepted. */
  readonly username?: string;
  readonly groups?: readonly string[];
};

/** Worker and master, over the cluster's IPC channel. */
export type ToMaster =
  | { readonly kind: 'ready' }
  /** It cannot start: the text names the fault and the remedy. The process exits after it. */
  | { readonly kind: 'failed'; readonly text: string }
  /** qmgr needs an agent process for this transport. */
  | { readonly kind: 'agent-wanted'; readonly transport: string }
  /** Lines for maillog_file, of a process that may not open it after a rotation. */
  | { readonly kind: 'log'; readonly text: string };

export type FromMaster =
  /** PEM texts for a service, at start and whenever the files change. */
  | { readonly kind: 'keys'; readonly keys: readonly KeyMaterial[]; readonly ticketKeys: string }
  /** qmgr: read main.cf again in place; deliveries under way go on. */
  | { readonly kind: 'reload' }
  /** qmgr: there is no master.cf row for this transport, or it does not start. */
  | { readonly kind: 'no-agent'; readonly transport: string; readonly reason: string }
  /** qmgr: a process that may have had the queue open did not end by itself. */
  | { readonly kind: 'process-crashed' }
  /** Stop accepting, finish what is under way, then exit 0. */
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop' };

export type KeyMaterial = { readonly certPem: string; readonly keyPem: string };
