// An address book, its workers, and a client of the HTTP API: address_book.py with amqplib.

const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';
const MANAGEMENT_URL = process.env.MANAGEMENT_URL ?? 'http://localhost:15672';

/** All moves, in their order. */
const MOVES = [['Ann', 'Oak Street'], ['Eve', 'Park Lane'], ['Ann', 'Elm Street'], ['Eve', 'Mill Road']];
const POLL_MS = 20;

/** The addresses of the customers. A real one is in a database. */
class AddressBook {
  addresses = {};
  history = { Ann: [], Eve: [] };
  unknown = new Set(['Oak Street']);

  get attempts() {
    return Object.values(this.history).flat().length;
  }

  /** Stores a new address. Throws if the map does not know it. */
  store(customer, address) {
    if (this.unknown.has(address)) {
      this.history[customer].push(`${address} failed`);
      throw new RangeError(address);
    }
    this.addresses[customer] = address;
    this.history[customer].push(`${address} stored`);
  }

  repairMap() {
    this.unknown.clear();
  }

  show(...customers) {
    for (const customer of customers) console.log(`${customer}: ${this.history[customer].join(', ')}`);
  }

  compare() {
    console.log(`Ann lives in ${Object.fromEntries(MOVES).Ann}. The address book has: ${this.addresses.Ann}`);
  }
}

/** Publishes all moves. queueOf(customer): returns the queue for the messages of a customer. */
async function publishMoves(channel, queueOf) {
  for (const [version, [customer, address]] of MOVES.entries()) {
    const options = { persistent: true, mandatory: true, headers: { customer, version } };
    channel.sendToQueue(queueOf(customer), Buffer.from(address), options);
  }
  await channel.waitForConfirms();
}

/** Runs a worker for each of these queues, which may be the same, until the function `until` returns true. */
async function work(queues, book, until) {
  const workers = await Promise.all(queues.map((queue) => startWorker(queue, book)));
  while (!await until()) await sleep(POLL_MS);
  await Promise.all(workers.map((stop) => stop()));
}

/**
 * Stores addresses, and resolves to a function that stops the worker.
 *
 * A message that fails is rejected; a real worker retries it a few times before that.
 */
async function startWorker(queue, book) {
  const connection = await amqp.connect(URL);
  const channel = await connection.createChannel();
  await channel.prefetch(1);
  await channel.consume(queue, (message) => {
    if (message === null) return; // the queue was deleted
    try {
      book.store(message.properties.headers.customer, String(message.content));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      channel.reject(message, false);
      return;
    }
    channel.ack(message);
  });
  return async () => {
    await channel.close();
    await connection.close();
  };
}

/** Returns the next message of a queue, and waits until there is one. */
async function receive(channel, queue) {
  for (;;) {
    const message = await channel.get(queue);
    if (message) return message;
    await sleep(POLL_MS);
  }
}

/** Publishes the dead letter again to the queue in which it died. Acknowledges it after its publish is confirmed. */
async function retryFailed(channel) {
  const message = await receive(channel, 'addresses.dead');
  const { 'x-death': [{ queue }], ...headers } = message.properties.headers;
  channel.sendToQueue(queue, message.content, { persistent: true, mandatory: true, headers });
  await channel.waitForConfirms();
  channel.ack(message);
  console.log(`the map is repaired, and the dead letter is published again: ${message.content}`);
}

/** Returns whether a queue has that many ready messages. */
async function isReady(channel, queue, count) {
  return (await channel.checkQueue(queue)).messageCount === count;
}

/** Sends a request to the HTTP API, and returns the JSON body of its response. */
async function api(method, path, body) {
  const headers = { authorization: `Basic ${btoa('guest:guest')}` };
  const response = await fetch(`${MANAGEMENT_URL}/api/${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

module.exports = { MOVES, URL, AddressBook, api, isReady, publishMoves, receive, retryFailed, work };
