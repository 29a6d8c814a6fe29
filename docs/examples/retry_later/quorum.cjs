// Retry a few times, then put aside, counted by the queue: quorum.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const ATTEMPTS = 3;

async function declare(channel) {
  await channel.assertQueue('webhooks', {
    deadLetterExchange: '',
    deadLetterRoutingKey: 'webhooks.failed',
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': ATTEMPTS - 1 }, // the number of times that a message may return
  });
  await channel.assertQueue('webhooks.failed', { arguments: { 'x-queue-type': 'quorum' } });
}

/** Makes queued calls, up to `attempts`. A failed call returns to the queue, which counts it. */
async function work(channel, call, attempts) {
  const consumerTag = 'worker';
  await new Promise((done) => channel.consume('webhooks', (message) => {
    const attempt = (message.properties.headers['x-delivery-count'] ?? 0) + 1;
    try {
      call(String(message.content));
      console.log(`attempt ${attempt}: called ${message.content}`);
      channel.ack(message);
    } catch (error) {
      console.log(`attempt ${attempt}: ${error.message}`);
      channel.nack(message);
    }
    attempts -= 1;
    if (attempts === 0) done();
  }, { consumerTag }));
  await channel.cancel(consumerTag);
}

/** Retries all failed messages, as a later process does. Acknowledges each after its publish is confirmed. */
async function retryFailed(channel) {
  const consumerTag = 'retry';
  const message = await new Promise((come) => channel.consume('webhooks.failed', come, { consumerTag }));
  await channel.cancel(consumerTag);
  const [death] = message.properties.headers['x-death'];
  console.log(`back to ${death.queue}, which gave up because of ${death.reason}`);
  channel.sendToQueue(death.queue, message.content, { persistent: true });
  await channel.waitForConfirms();
  channel.ack(message);
}

async function main() {
  const refuse = (host) => { throw new Error(`${host} is down`); };
  const accept = () => {};

  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await declare(channel);
  channel.sendToQueue('webhooks', Buffer.from('example.com'), { persistent: true });

  await work(channel, refuse, ATTEMPTS);
  await retryFailed(channel); // the next morning
  await work(channel, accept, 1);

  await channel.deleteQueue('webhooks');
  await channel.deleteQueue('webhooks.failed');
  await connection.close();
}

main();
