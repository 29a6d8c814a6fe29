"use strict";

const { Faults } = require("./faults.js");

/** A virtual host: its URL, its messages and its faults. `broker.vhost()` creates one for a test. */
class Vhost {
  constructor(broker, name) {
    this.broker = broker;
    this.name = name;
    this.url = broker.urlOf(name);
    this.faults = new Faults(broker, { vhost: name });
  }

  /** Wait until a queue has these numbers of `ready` and `unacked` messages and `consumers`; `timeout` is in seconds. */
  waitUntil(wanted) {
    return this.broker.waitUntil({ ...wanted, vhost: this.name });
  }

  /** Return the messages that clients published, oldest first. */
  published(filter) {
    return this.broker.published({ ...filter, vhost: this.name });
  }

  /** Return the ready messages of a queue in their order, and leave them there. */
  messages(queue) {
    return this.broker.messages(queue, { vhost: this.name });
  }

  /** Return the delayed messages of a queue by their `due` times, and leave them there. */
  delayed(queue) {
    return this.broker.delayed(queue, { vhost: this.name });
  }

  /** Return the messages of a queue that are delivered and not settled, each with the state of its lock. */
  locked(queue) {
    return this.broker.locked(queue, { vhost: this.name });
  }

  /** Return the message groups of a queue, each with its `key` and `keyType`, its `state` and its ready `messages`, in order. */
  groups(queue) {
    return this.broker.groups(queue, { vhost: this.name });
  }

  /** Return a stream: its `firstOffset` and `nextOffset`, and its `messages` from an `offset` on, which stay there. */
  stream(name, options) {
    return this.broker.stream(name, { ...options, vhost: this.name });
  }

  /** Return the state of a batch: its `size`, the numbers of its members, and those that failed. */
  batch(id) {
    return this.broker.batch(id, { vhost: this.name });
  }

  /** Move the messages of a dead letter queue back to the queues in which they died. */
  redrive(queue, options) {
    return this.broker.redrive(queue, { ...options, vhost: this.name });
  }

  /** Return the queues, each with `ready`, `unacked` and `consumers`. */
  queues() {
    return this.broker.queues({ vhost: this.name });
  }

  /** Return the published messages that no queue received. */
  unroutable() {
    return this.broker.unroutable({ vhost: this.name });
  }

  /** Return the errors that closed clients' channels and connections. */
  channelErrors() {
    return this.broker.channelErrors({ vhost: this.name });
  }

  /** Delete the vhost with its queues, and close its connections. */
  async delete() {
    await this.broker.api("DELETE", `/vhosts/${encodeURIComponent(this.name)}`);
  }

  async [Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]() {
    await this.delete();
  }
}

module.exports = { Vhost };
