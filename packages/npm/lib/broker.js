"use strict";

const { randomUUID } = require("node:crypto");

const { Clock } = require("./clock.js");
const { Faults, snakeKeys } = require("./faults.js");
const { request } = require("./http.js");
const { end } = require("./launch.js");
const { Vhost } = require("./vhost.js");

const POLL_MS = 20;
const STOP_MS = 10_000;

/** A broker process that `start` started. */
class Broker {
  #child;

  constructor(child, ready) {
    this.#child = child;
    [[this.host, this.port]] = ready.amqp;
    const [[httpHost, httpPort]] = ready.http;
    this.pid = child.pid;
    this.user = "guest";
    this.password = "guest";
    this.httpUrl = `http://${httpHost}:${httpPort}`;
    this.clock = new Clock(this);
    this.faults = new Faults(this);
  }

  /** URL of the default vhost. */
  get url() {
    return this.urlOf("/");
  }

  /** Return the URL of a vhost, for another user if one is named. */
  urlOf(vhost, user = this.user, password = this.password) {
    const [name, secret] = [user, password].map(encodeURIComponent);
    return `amqp://${name}:${secret}@${this.host}:${this.port}/${encodeURIComponent(vhost)}`;
  }

  /** Create a vhost, by default with a name of its own, which the user may use. */
  async vhost(name = `test-${randomUUID()}`) {
    const path = encodeURIComponent(name);
    await this.api("PUT", `/vhosts/${path}`, {});
    const all = { configure: ".*", write: ".*", read: ".*" };
    await this.api("PUT", `/permissions/${path}/${encodeURIComponent(this.user)}`, all);
    return new Vhost(this, name);
  }

  /** Wait until a queue has these numbers of `ready` and `unacked` messages and `consumers`; `timeout` is in seconds. */
  waitUntil(wanted) {
    return this.api("POST", "/testing/wait-until", wanted);
  }

  /** Return the messages that clients published, oldest first. With `count`, wait until there are that many. */
  async published(filter = {}) {
    return (await this.api("GET", `/testing/published${query(filter)}`)).map(message);
  }

  /** Return the ready messages of a queue in their order, and leave them there. */
  async messages(queue, { vhost = "/" } = {}) {
    const path = `/testing/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue)}/messages`;
    return (await this.api("GET", path)).map(message);
  }

  /** Return the delayed messages of a queue by their `due` times, and leave them there. */
  async delayed(queue, { vhost = "/" } = {}) {
    const path = `/testing/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue)}/delayed`;
    return (await this.api("GET", path)).map(message);
  }

  /** Return the messages of a queue that are delivered and not settled, each with the state of its lock. */
  async locked(queue, { vhost = "/" } = {}) {
    const path = `/testing/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue)}/locked`;
    return (await this.api("GET", path)).map(lockedMessage);
  }

  /** Return the message groups of a queue, each with its `key` and `keyType`, its `state` and its ready `messages`, in order. */
  async groups(queue, { vhost = "/" } = {}) {
    const path = `/testing/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue)}/groups`;
    return (await this.api("GET", path)).map(({ key_type: keyType, messages, ...group }) => (
      { ...group, keyType, messages: messages.map(message) }
    ));
  }

  /**
   * Return a stream: its `firstOffset` and `nextOffset`, and its `messages` from an `offset` on, which stay there:
   * "first" (the default), "last", "next", a number, or a Date. With `count`, wait until there are that many.
   */
  async stream(name, { vhost = "/", offset, ...filter } = {}) {
    const path = `/testing/streams/${encodeURIComponent(vhost)}/${encodeURIComponent(name)}`;
    if (offset !== undefined) filter.offset = offset instanceof Date ? `timestamp:${offset.getTime()}` : offset;
    const found = await this.api("GET", path + query(filter));
    return { firstOffset: found.first_offset, nextOffset: found.next_offset, messages: found.messages.map(message) };
  }

  /** Return the state of a batch: its `size`, the numbers of its members, and those that failed. */
  async batch(id, { vhost = "/" } = {}) {
    const path = `/testing/batches/${encodeURIComponent(vhost)}/${encodeURIComponent(id)}`;
    const { failures, ...state } = await this.api("GET", path);
    return { ...state, failures: failures.map(({ message_id: messageId, ...rest }) => ({ messageId, ...rest })) };
  }

  /**
   * Move the messages of a dead letter queue back to the queues in which they died, and return the numbers of messages
   * `moved`, `failed` and `skipped`. Only messages with that `reason` and these `headers` are moved, if they are given.
   */
  async redrive(queue, { vhost = "/", destination, reason, headers, limit } = {}) {
    const path = `/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(queue)}/redrive`;
    const filter = { reason, header: headers };
    const { task_handle: handle } = await this.api("POST", path, { destination, limit, filter });
    for (;;) {
      const task = (await this.api("GET", path)).find((each) => each.task_handle === handle);
      if (task.state === "COMPLETED") {
        const { moved, failed, skipped, last_failure: lastFailure = "" } = task;
        return { moved, failed, skipped, lastFailure };
      }
      if (task.state !== "RUNNING") throw new Error(`the redrive of queue ${queue} is ${task.state}: ${task.reason}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Return the queues, each with `ready`, `unacked` and `consumers`. */
  async queues({ vhost } = {}) {
    const found = await this.api("GET", vhost === undefined ? "/queues" : `/queues/${encodeURIComponent(vhost)}`);
    return found.map((queue) => ({
      vhost: queue.vhost,
      name: queue.name,
      ready: queue.messages_ready,
      unacked: queue.messages_unacknowledged,
      consumers: queue.consumers,
    }));
  }

  /** Return the published messages that no queue received. */
  async unroutable(filter = {}) {
    return (await this.api("GET", `/testing/unroutable${query(filter)}`)).map(message);
  }

  /** Return the errors that closed clients' channels and connections. */
  channelErrors(filter = {}) {
    return this.api("GET", `/testing/channel-errors${query(filter)}`);
  }

  /** Restart the broker on the same ports, after `down` seconds. Durable queues keep their persistent messages. */
  async restart({ down = 0 } = {}) {
    const { restarts } = await this.api("POST", "/testing/restart", { down });
    for (;;) {
      try {
        if ((await this.api("GET", "/testing/restart")).restarts >= restarts) return;
      } catch (error) {
        if (error.status !== undefined) throw error;
        // Nothing listens until the broker is back.
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Send a request to the HTTP API, below `/api`, and return the JSON of the answer. */
  api(method, path, body) {
    return request(this.httpUrl, `${this.user}:${this.password}`, method, `/api${path}`, body);
  }

  /** Stop the broker. Nothing remains of it. */
  async stop() {
    await end(this.#child, STOP_MS);
  }

  async [Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]() {
    await this.stop();
  }
}

function query(filter) {
  const text = new URLSearchParams(snakeKeys(filter)).toString();
  return text && `?${text}`;
}

/** Return a message of the HTTP API with the names of JavaScript, and its body as a Buffer. */
function message(found) {
  const { headers = {}, ...properties } = found.properties;
  return {
    body: Buffer.from(found.payload, found.payload_encoding === "base64" ? "base64" : "utf8"),
    exchange: found.exchange,
    headers,
    properties,
    queues: found.queues,
    redelivered: found.redelivered,
    routingKey: found.routing_key,
    vhost: found.vhost,
    ...(found.due === undefined ? {} : { due: new Date(found.due) }),
    ...(found.offset === undefined ? {} : { offset: found.offset }),
  };
}

/** Return a locked message of the HTTP API with the names of JavaScript. */
function lockedMessage(found) {
  return {
    message: message(found.message),
    consumer: found.consumer,
    connection: found.connection,
    channel: found.channel,
    deliveryTag: found.delivery_tag,
    action: found.action,
    msLeft: found.ms_left,
  };
}

module.exports = { Broker };
