// The source of live messages. It sends the same requests as `amqpbroker tail` and needs the same permissions.
//
// It declares a queue of its own with length limits and an expiry. For a fanout, topic or headers exchange, this queue is bound
// to the exchange; for all other exchanges and for queues, the vhost is traced as long as the queue exists.

import { ApiError, del, delOnLeaving, get, exchangePath, path, post, put } from "./api.js";
import { LONGEST_PAYLOAD_BYTES } from "./messages.js";

const TRACE = "amq.rabbitmq.trace";
const SHARED_TYPES = ["fanout", "topic", "headers"];
const ARGUMENTS = { "x-queue-type": "classic", "x-max-length": 10_000, "x-max-length-bytes": 64 * 1024 * 1024, "x-expires": 60_000 };
const BATCH = 50;
const KEY_BYTES = 255;

/** A temporary queue with copies of the messages of a queue or an exchange. kind: "queue" or "exchange". */
export class Tail {
  constructor(vhost, kind, name) {
    this.vhost = vhost;
    this.kind = kind;
    this.name = name;
    this.isTraced = false;
    this.queue = "";
  }

  /** Declares and binds the queue. Throws ApiError. */
  async open() {
    const bindings = await this.bindings();
    this.queue = `amqpbroker.tail.${randomName()}`;
    await put(path("queues", this.vhost, this.queue), { durable: true, arguments: ARGUMENTS });
    try {
      for (const [exchange, key] of bindings) {
        await post(path("bindings", this.vhost, "e", exchange, "q", this.queue), { routing_key: key, arguments: {} });
      }
      if (this.isTraced) await put(path("vhosts", this.vhost, "tracing", this.queue));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async bindings() {
    if (this.kind === "queue") {
      await get(path("queues", this.vhost, this.name));
      this.isTraced = true;
      return [[TRACE, "publish.#"], [TRACE, traceKey("deliver", this.name)]];
    }
    const { type } = await get(exchangePath(this.vhost, this.name));
    this.isTraced = !SHARED_TYPES.includes(type) || this.name === "";
    return this.isTraced ? [[TRACE, traceKey("publish", this.name)]] : [[this.name, type === "topic" ? "#" : ""]];
  }

  /** Returns the messages since the last call, the oldest first. Throws ApiError. */
  async messages() {
    const body = { count: BATCH, ackmode: "ack_requeue_false", encoding: "auto", truncate: LONGEST_PAYLOAD_BYTES };
    const got = await post(path("queues", this.vhost, this.queue, "get"), body);
    const found = this.isTraced ? got.map(traced) : got.map((it) => ({ ...it, event: "publish", queues: null, by: "" }));
    return found.filter((it) => this.concerns(it));
  }

  concerns(message) {
    if (this.kind === "exchange") return message.exchange === this.name;
    return message.queues.includes(this.name) || (message.event === "deliver" && message.queues[0] === cutKey("deliver", this.name));
  }

  /** Deletes the queue while the page is being closed. */
  leave() {
    if (this.queue) delOnLeaving(path("queues", this.vhost, this.queue));
  }

  /** Deletes the queue. If that fails, the queue expires. */
  async close() {
    if (this.queue) await del(path("queues", this.vhost, this.queue)).catch(() => null);
    this.queue = "";
  }
}

/** Returns true if the error says that the queue has expired or was deleted. */
export const isGone = (error) => error instanceof ApiError && error.status === 404;

/** Returns the message that a trace message describes. */
function traced(got) {
  const { headers } = got.properties;
  const [event, name] = [got.routing_key.slice(0, got.routing_key.indexOf(".")), got.routing_key.slice(got.routing_key.indexOf(".") + 1)];
  return {
    event,
    exchange: headers.exchange_name,
    routing_key: headers.routing_keys.join(", "),
    queues: event === "publish" ? headers.routed_queues ?? [] : [name],
    redelivered: Boolean(headers.redelivered),
    by: `${headers.user} ${headers.connection} (${headers.channel})`,
    // The API encodes an empty table of properties as an empty list.
    properties: Array.isArray(headers.properties) ? {} : headers.properties ?? {},
    payload: got.payload,
    payload_bytes: got.payload_bytes,
    payload_encoding: got.payload_encoding,
  };
}

const length = (text) => new TextEncoder().encode(text).length;

function traceKey(event, name) {
  const key = `${event}.${name}`;
  return length(key) <= KEY_BYTES ? key : `${event}.#`;
}

/** Returns the name as it is in the routing key of a trace message, which is cut at 255 bytes. */
function cutKey(event, name) {
  const bytes = new TextEncoder().encode(name).slice(0, KEY_BYTES - event.length - 1);
  return new TextDecoder().decode(bytes).replace(/\uFFFD+$/, "");
}

function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (it) => it.toString(16).padStart(2, "0")).join("");
}
