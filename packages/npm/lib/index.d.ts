/// <reference lib="esnext.disposable" />
/// <reference types="node" />

/** Options of `start`. */
export interface StartOptions {
  /** Command of the broker. Default: AMQPBROKER_COMMAND, `amqpbroker` on PATH, or `python -m amqpbroker`. */
  command?: string | string[];
  /** RabbitMQ's settings, such as `{ "consumer_timeout": 60000 }`. */
  settings?: Record<string, string | number | boolean>;
  /** Further arguments of `amqpbroker serve`. */
  args?: string[];
  /** Further environment variables of the broker. */
  env?: Record<string, string>;
  /** Milliseconds until a broker that is not ready counts as failed. Default: 30000. */
  timeout?: number;
  /** Receives the broker's log. */
  onLog?: (text: string) => void;
}

export interface Duration {
  days?: number;
  hours?: number;
  minutes?: number;
  seconds?: number;
  milliseconds?: number;
}

export interface QueueState {
  vhost: string;
  name: string;
  ready: number;
  unacked: number;
  consumers: number;
}

export interface Message {
  body: Buffer;
  exchange: string;
  headers: Record<string, unknown>;
  /** Properties by their names in AMQP, such as `content_type`. */
  properties: Record<string, unknown>;
  /** Queues that received the message, or the queue that it is in. */
  queues: string[];
  redelivered: boolean;
  routingKey: string;
  vhost: string;
  /** Time at which a delayed message is ready, by the broker's clock. */
  due?: Date;
  /** Offset of a message that `stream` returned. */
  offset?: number;
}

/** A message that is delivered and not settled. */
export interface LockedMessage {
  /** The message as it was delivered. */
  message: Message;
  /** Consumer tag; `null` after basic.get. */
  consumer: string | null;
  /** Name of the connection. */
  connection: string;
  /** Number of the channel. */
  channel: number;
  deliveryTag: number;
  /** Effect of the lock when it runs out; `null` without a lock. */
  action: "return" | "cancel" | "close" | null;
  /** Milliseconds of the broker's clock until the lock runs out; `null` without a lock. */
  msLeft: number | null;
}

/** A message group of a queue that has messages or is stopped. */
export interface GroupState {
  key: string;
  /** Keys that are neither strings nor integers are shown in hexadecimal. */
  keyType: "string" | "integer" | "other";
  state: "free" | "busy" | "waiting" | "parked" | "closed";
  /** The ready messages of the group, in order. */
  messages: Message[];
}

/** Where the messages of `stream` begin, and how many there should be. */
export interface Replay {
  /** Default: "first". A negative number is a number of messages at the end. */
  offset?: "first" | "last" | "next" | number | Date;
  /** Wait until there are that many messages, and fail if there are more. */
  count?: number;
  /** Seconds to wait for `count`. Default: 5. */
  timeout?: number;
}

export interface StreamState {
  /** Offset of the oldest message. */
  firstOffset: number;
  /** Offset of the next message that is published. */
  nextOffset: number;
  messages: Message[];
}

/** A batch of messages with the header `x-batch-id`. */
export interface BatchState {
  vhost: string;
  id: string;
  /** `complete` when all members were settled, and some have failed; `success` when none has. */
  state: "open" | "complete" | "success";
  /** Number of members; `null` while no member has named it. */
  size: number | null;
  ok: number;
  failed: number;
  /** Number of members that were never settled. */
  open: number;
  /** Failed members, at most 100. */
  failures: { messageId: string; queue: string; reason: string }[];
}

export interface Redrive {
  /** Name of the queue that all messages go to. Default: the queue in which each died. */
  destination?: string;
  /** Only messages that last died for this reason. */
  reason?: "rejected" | "expired" | "maxlen" | "delivery_limit";
  /** Only messages with these headers. */
  headers?: Record<string, string | number | boolean | null>;
  /** Number of messages to move. Default: all. */
  limit?: number;
}

export interface Redriven {
  moved: number;
  /** Number of messages that could not be moved. */
  failed: number;
  /** Number of messages that `reason` and `headers` excluded. */
  skipped: number;
  /** Why the last message that failed stayed; empty if none failed. */
  lastFailure: string;
}

export interface ChannelError {
  vhost: string;
  code: number;
  text: string;
  scope: "channel" | "connection";
  connection: string;
  channel: number;
  user: string;
}

export interface Wanted {
  queue: string;
  ready?: number;
  unacked?: number;
  consumers?: number;
  /** Seconds. Default: 5. */
  timeout?: number;
}

export interface Published {
  exchange?: string;
  routingKey?: string;
  /** Wait until there are that many messages, and fail if there are more. */
  count?: number;
  /** Seconds to wait for `count`. Default: 5. */
  timeout?: number;
}

export interface Times {
  /** How often the fault triggers; `null` is for ever. */
  times?: number | null;
}

export interface Cut extends Times {
  /** A client's method, such as `basic.publish`. */
  on?: string;
  /** A method of the broker, such as `basic.ack`. */
  insteadOf?: string;
  nth?: number;
  afterFrames?: number;
  afterBytes?: number;
  sent?: boolean;
}

export interface Happened {
  fault: string;
  what: string;
  connection: string;
  at: Date;
}

/** A fault that was injected. */
export class Fault implements AsyncDisposable {
  readonly id: number;
  readonly kind: string;
  readonly description: string;
  /** Return how often the fault has triggered. 0 once it is cleared. */
  struck(): Promise<number>;
  /** End the fault. */
  clear(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Faults of a broker, or of some of its connections. Each method injects one. */
export class Faults {
  only(connections: { connection?: string; user?: string; vhost?: string }): Faults;
  reset(options?: Cut): Promise<Fault>;
  drop(options?: Cut): Promise<Fault>;
  restart(options?: Cut & { down?: number }): Promise<Fault>;
  stopReading(): Promise<Fault>;
  stopWriting(): Promise<Fault>;
  oneByteWrites(): Promise<Fault>;
  nack(options?: Times & { publish?: number; exchange?: string; routingKey?: string }): Promise<Fault>;
  withholdConfirms(options?: Times & { publish?: number }): Promise<Fault>;
  delayConfirms(options: Times & { ms: number; publish?: number }): Promise<Fault>;
  block(options?: { resource?: "memory" | "disk" }): Promise<Fault>;
  unblock(): Promise<void>;
  duplicate(options?: Times & { delivery?: number; queue?: string }): Promise<Fault>;
  expireLock(options?: Times & { ack?: number }): Promise<Fault>;
  refuseDeclare(
    options?: Times & { queue?: string; exchange?: string; code?: number; text?: string },
  ): Promise<Fault>;
  random(options?: Times & { seed?: number; rate?: number; kinds?: string[] }): Promise<Fault>;
  /** Return what the faults did, oldest first. */
  happened(): Promise<Happened[]>;
  /** End all faults of the broker. */
  clear(): Promise<void>;
}

/** Clock of a broker. */
export class Clock {
  /** Advance the clock. Return the new time, with all that was due done. */
  advance(duration: Duration): Promise<Date>;
  freeze(): Promise<Date>;
  resume(): Promise<Date>;
  now(): Promise<Date>;
}

/** A virtual host, which `broker.vhost()` creates. */
export class Vhost implements AsyncDisposable {
  readonly broker: Broker;
  readonly name: string;
  readonly url: string;
  readonly faults: Faults;
  waitUntil(wanted: Wanted): Promise<QueueState>;
  published(filter?: Published): Promise<Message[]>;
  messages(queue: string): Promise<Message[]>;
  delayed(queue: string): Promise<Message[]>;
  locked(queue: string): Promise<LockedMessage[]>;
  groups(queue: string): Promise<GroupState[]>;
  stream(name: string, options?: Replay): Promise<StreamState>;
  batch(id: string): Promise<BatchState>;
  redrive(queue: string, options?: Redrive): Promise<Redriven>;
  queues(): Promise<QueueState[]>;
  unroutable(): Promise<Message[]>;
  channelErrors(): Promise<ChannelError[]>;
  /** Delete the vhost with its queues, and close its connections. */
  delete(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A broker process, which `start` starts. */
export class Broker implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly user: string;
  readonly password: string;
  /** URL of the default vhost. */
  readonly url: string;
  /** URL of the management API and page. */
  readonly httpUrl: string;
  readonly clock: Clock;
  readonly faults: Faults;
  urlOf(vhost: string, user?: string, password?: string): string;
  /** Create a vhost, by default with a name of its own. */
  vhost(name?: string): Promise<Vhost>;
  waitUntil(wanted: Wanted & { vhost?: string }): Promise<QueueState>;
  published(filter?: Published & { vhost?: string }): Promise<Message[]>;
  messages(queue: string, where?: { vhost?: string }): Promise<Message[]>;
  delayed(queue: string, where?: { vhost?: string }): Promise<Message[]>;
  locked(queue: string, where?: { vhost?: string }): Promise<LockedMessage[]>;
  groups(queue: string, where?: { vhost?: string }): Promise<GroupState[]>;
  stream(name: string, options?: Replay & { vhost?: string }): Promise<StreamState>;
  batch(id: string, where?: { vhost?: string }): Promise<BatchState>;
  redrive(queue: string, options?: Redrive & { vhost?: string }): Promise<Redriven>;
  queues(where?: { vhost?: string }): Promise<QueueState[]>;
  unroutable(where?: { vhost?: string }): Promise<Message[]>;
  channelErrors(where?: { vhost?: string }): Promise<ChannelError[]>;
  /** Restart the broker on the same ports, after `down` seconds. */
  restart(options?: { down?: number }): Promise<void>;
  /** Send a request to the HTTP API, below `/api`. */
  api(method: string, path: string, body?: unknown): Promise<any>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Error of a request that the broker refused. */
export class BrokerError extends Error {
  readonly status: number;
  readonly reason: string;
}

/** Start a broker in memory on free ports, and return it once clients can connect. */
export function start(options?: StartOptions): Promise<Broker>;
