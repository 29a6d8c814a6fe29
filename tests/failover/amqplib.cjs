// amqplib through a failover: publishes COUNT messages to a queue that it consumes, and connects again when it must.
//
// usage: node amqplib.cjs loop|recovery COUNT URL...
// Prints `confirmed N` for each message, and `received N` for each delivery.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');

const [how, count, ...urls] = process.argv.slice(2);
const received = new Set();
let channel = null;

/** Declare and consume with a new connection. */
async function setup(connection) {
  const opened = await connection.createConfirmChannel();
  opened.on('error', () => {});
  await opened.assertQueue('q', { durable: true });
  await opened.consume('q', (message) => {
    if (message === null) return;
    opened.ack(message);
    received.add(message.content.toString());
    console.log(`received ${message.content}`);
  });
  channel = opened;
}

/** Connect to one of the brokers, and again whenever the connection closes. */
async function connect() {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const connection = await amqp.connect(urls[attempt % urls.length]);
      connection.on('error', () => {}); // 'close' follows
      await setup(connection);
      connection.on('close', connect);
      return;
    } catch {
      await sleep(200);
    }
  }
}

/** Publish until it is confirmed. */
async function publish(body) {
  for (;;) {
    try {
      await new Promise((confirmed, failed) => {
        channel.sendToQueue('q', Buffer.from(body), { persistent: true },
          (error) => (error ? failed(error) : confirmed()));
      });
      return;
    } catch {
      await sleep(100);
    }
  }
}

async function main() {
  if (how === 'loop') {
    await connect();
  } else {
    const connection = await amqp.connect(urls[0], { recovery: { calculateDelay: () => 200, setup } });
    connection.on('error', () => {});
  }
  for (let number = 0; number < Number(count); number += 1) {
    await publish(String(number));
    console.log(`confirmed ${number}`);
  }
  while (received.size < Number(count)) await sleep(50);
  process.exit(0);
}

main();
