// Cure a hot loop: main.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const DOWN_MS = 500;
const RETRY = {
  'x-delayed-retry-type': 'all',
  'x-delayed-retry-min': 100,
  'x-delayed-retry-max': 10_000,
  'x-delayed-retry-multiplier': 2,
  'x-delivery-limit': 10,
};

/** Makes one call until it succeeds. Returns the number of attempts. */
async function work(channel, args) {
  await channel.assertQueue('webhooks', { arguments: args });
  channel.sendToQueue('webhooks', Buffer.from('example.com'), { persistent: true });
  const upAt = performance.now() + DOWN_MS;
  let attempts = 0;
  const consumerTag = 'worker';
  await new Promise((done) => channel.consume('webhooks', (message) => {
    attempts += 1;
    if (performance.now() < upAt) {
      channel.nack(message);
      return;
    }
    channel.ack(message);
    done();
  }, { consumerTag }));
  await channel.cancel(consumerTag);
  await channel.deleteQueue('webhooks');
  return attempts;
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createChannel();
  const without = await work(channel, {});
  console.log(`more than 20 attempts without a delay: ${without > 20 ? 'True' : 'False'}`);
  console.log(`attempts with a delay: ${await work(channel, RETRY)}`);
  await connection.close();
}

main();
