// A bank whose accounts are a stream of events, and read models that are built from the events: bank.py with amqplib.

const { randomUUID } = require('node:crypto');

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const STREAM = 'bank.events';

/** Read model: the balance of each account. next: offset of the next event, stored with the balances. */
class Balances {
  next = 0;

  accounts = new Map();

  apply({ type, account, amount }) {
    if (type === 'opened') this.accounts.set(account, 0);
    else if (type === 'deposited') this.accounts.set(account, this.accounts.get(account) + amount);
    else if (type === 'withdrawn') this.accounts.set(account, this.accounts.get(account) - amount);
  }

  toString() {
    return [...this.accounts].map(([account, balance]) => `${account} ${balance}`).join(', ');
  }
}

/** Read model: how much was deposited and withdrawn in all. */
class Turnover {
  next = 0;

  deposited = 0;

  withdrawn = 0;

  apply({ type, amount }) {
    if (type === 'deposited') this.deposited += amount;
    else if (type === 'withdrawn') this.withdrawn += amount;
  }

  toString() {
    return `${this.deposited} deposited, ${this.withdrawn} withdrawn`;
  }
}

/** Reads the stream for a model, from the next event of the model on. */
class Reader {
  #channel;

  #model;

  #messages = [];

  #arrived = () => {};

  static async start(connection, model) {
    const reader = new Reader();
    reader.#channel = await connection.createChannel();
    reader.#model = model;
    await reader.#channel.prefetch(100);
    await reader.#channel.consume(STREAM, (message) => {
      reader.#messages.push(message);
      reader.#arrived();
    }, { arguments: { 'x-stream-offset': model.next } });
    return reader;
  }

  /** Apply events until `isLast(offset, messageId)` is true. */
  async readUntil(isLast) {
    for (;;) {
      if (this.#messages.length === 0) await new Promise((resolve) => { this.#arrived = resolve; });
      const message = this.#messages.shift();
      const offset = message.properties.headers['x-stream-offset'];
      this.#model.apply(JSON.parse(message.content));
      this.#model.next = offset + 1;
      this.#channel.ack(message);
      if (isLast(offset, message.properties.messageId)) return;
    }
  }

  close() {
    return this.#channel.close();
  }
}

/**
 * Accepts commands. Each accepted command appends an event; the state is built from the events only.
 *
 * There is one bank at a time: two of them could accept withdrawals that together are more than the balance.
 */
class Bank {
  #connection;

  #channel;

  #reader;

  state = new Balances();

  static async start() {
    const bank = new Bank();
    bank.#connection = await amqp.connect(URL);
    bank.#channel = await bank.#connection.createConfirmChannel();
    await bank.#channel.assertQueue(STREAM, { durable: true, arguments: { 'x-queue-type': 'stream' } });
    bank.#reader = await Reader.start(bank.#connection, bank.state);
    // The bank knows all earlier events once it has read its own one.
    await bank.#append({ type: 'started' });
    bank.replayed = bank.state.next - 1;
    return bank;
  }

  async open(account) {
    await this.#append({ type: 'opened', account });
    console.log(`bank: opened an account for ${account}`);
  }

  async deposit(account, amount) {
    await this.#append({ type: 'deposited', account, amount });
    console.log(`bank: ${account} deposited ${amount}`);
  }

  async withdraw(account, amount) {
    const balance = this.state.accounts.get(account);
    if (balance < amount) {
      console.log(`bank: ${account} cannot withdraw ${amount}, the balance is ${balance}`);
      return;
    }
    await this.#append({ type: 'withdrawn', account, amount });
    console.log(`bank: ${account} withdrew ${amount}`);
  }

  /** Append an event, and read until it comes back. */
  async #append(event) {
    const eventId = randomUUID();
    this.#channel.sendToQueue(STREAM, Buffer.from(JSON.stringify(event)), { messageId: eventId, persistent: true });
    await this.#channel.waitForConfirms(); // the event is on the disk
    await this.#reader.readUntil((offset, messageId) => messageId === eventId);
  }

  stop() {
    return this.#connection.close();
  }
}

module.exports = { Balances, Bank, Reader, STREAM, Turnover, URL };
