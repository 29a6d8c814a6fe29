"use strict";

const net = require("node:net");

const METHOD_FRAME = 1;
const FRAME_END = 0xce;

/** Encode integers. Each argument is [value, bytes]. */
function numbers(...all) {
  return Buffer.concat(all.map(([value, bytes]) => {
    const encoded = Buffer.alloc(bytes);
    encoded.writeUIntBE(value, 0, bytes);
    return encoded;
  }));
}

function short(text) {
  const encoded = Buffer.from(text);
  return Buffer.concat([numbers([encoded.length, 1]), encoded]);
}

function long(text) {
  const encoded = Buffer.from(text);
  return Buffer.concat([numbers([encoded.length, 4]), encoded]);
}

function method(channel, [classId, methodId], ...fields) {
  const payload = Buffer.concat([numbers([classId, 2], [methodId, 2]), ...fields]);
  return Buffer.concat([numbers([METHOD_FRAME, 1], [channel, 2], [payload.length, 4]), payload, numbers([FRAME_END, 1])]);
}

/**
 * A connection with one channel that sends methods and ignores the answers. The tests of this package use it because the
 * package has no dependencies, such as a client library.
 */
class RawConnection {
  #socket;

  constructor(broker, vhost) {
    this.#socket = net.connect(broker.port, broker.host);
    this.#socket.resume();
    this.#socket.write(Buffer.concat([
      Buffer.from("AMQP\0\0\x09\x01"),
      method(0, [10, 11], long(""), short("PLAIN"), long(`\0${broker.user}\0${broker.password}`), short("en_US")),
      method(0, [10, 31], numbers([2047, 2], [131072, 4], [0, 2])),
      method(0, [10, 40], short(vhost.name), short(""), numbers([0, 1])),
      method(1, [20, 10], short("")),
    ]));
  }

  /** Get a message with basic.get, and keep it unacknowledged. */
  get(queue) {
    this.#socket.write(method(1, [60, 70], numbers([0, 2]), short(queue), numbers([0, 1])));
  }

  ack(deliveryTag) {
    this.#socket.write(method(1, [60, 80], numbers([0, 4], [deliveryTag, 4], [0, 1])));
  }

  close() {
    this.#socket.destroy();
  }
}

module.exports = { RawConnection };
