// Premium customers first: main.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const NORMAL = 0;
const PREMIUM = 1;

const ORDERS = [['Ann', NORMAL], ['Bob', NORMAL], ['Cleo', PREMIUM], ['Dave', NORMAL], ['Eve', PREMIUM]];

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('orders', { maxPriority: PREMIUM });
  for (const [customer, priority] of ORDERS) {
    channel.sendToQueue('orders', Buffer.from(customer), { persistent: true, priority });
    console.log(`order of ${customer}${priority === PREMIUM ? ' (premium)' : ''}`);
  }
  await channel.waitForConfirms();

  await channel.prefetch(1); // a message that was already sent is not overtaken
  let served = 0;
  await new Promise((done) => channel.consume('orders', (message) => {
    if (message === null) return; // the queue was deleted
    console.log(`served: ${message.content}`);
    channel.ack(message);
    served += 1;
    if (served === ORDERS.length) done();
  }));

  await channel.deleteQueue('orders');
  await connection.close();
}

main();
