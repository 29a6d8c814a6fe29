// Exactly one charge of a credit card, although the shop publishes it three times: main.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

// Repetitions come within a day: longer than any retry of the shop.
const ONCE = { 'x-message-deduplication': true, 'x-cache-ttl': 24 * 3600 * 1000 };

async function connect() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('charges', { arguments: ONCE });
  return { connection, channel };
}

function charge(channel, order, amount) {
  channel.sendToQueue('charges', Buffer.from(`${amount} EUR for ${order}`), {
    persistent: true,
    mandatory: true,
    headers: { 'x-deduplication-header': order },
  });
}

async function main() {
  let { connection, channel } = await connect();
  charge(channel, 'order 17', 30);
  console.log('shop: published the charge, and lost the connection before the confirm');
  await connection.close();

  ({ connection, channel } = await connect());
  charge(channel, 'order 17', 30);
  await channel.waitForConfirms();
  console.log('shop: published it again, confirmed');
  charge(channel, 'order 17', 30);
  await channel.waitForConfirms();
  console.log('shop: the user pressed the button again, confirmed');
  charge(channel, 'order 18', 5);
  await channel.waitForConfirms();
  console.log('shop: published another order, confirmed');

  for (let message = await channel.get('charges'); message; message = await channel.get('charges')) {
    console.log(`bank: charges ${message.content}`);
    channel.ack(message);
  }

  charge(channel, 'order 17', 30);
  await channel.waitForConfirms();
  console.log('shop: published the paid charge again, confirmed');
  const { messageCount } = await channel.checkQueue('charges');
  console.log(`bank: ${messageCount} charges left`);

  await channel.deleteQueue('charges');
  await connection.close();
}

main();
