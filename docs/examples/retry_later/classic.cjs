// Retry a few times, then put aside, counted by the worker: classic.py with amqplib.
//
// usage: classic.cjs [SECONDS BETWEEN ATTEMPTS]

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const ATTEMPTS = 3;

async function declare(channel, pauseMs) {
  const to = (queue) => ({ deadLetterExchange: '', deadLetterRoutingKey: queue });
  await channel.assertQueue('webhooks', to('webhooks.wait'));
  await channel.assertQueue('webhooks.wait', { messageTtl: pauseMs, ...to('webhooks') });
  await channel.assertQueue('webhooks.failed');
}

/** Returns how often the worker has rejected this message. */
function failures(message) {
  const deaths = message.properties.headers['x-death'] ?? [];
  return deaths.filter((death) => death.reason === 'rejected').reduce((sum, death) => sum + death.count, 0);
}

/** Makes one call, with up to ATTEMPTS attempts. */
async function work(channel, call) {
  const consumerTag = 'worker';
  await new Promise((done) => channel.consume('webhooks', async (message) => {
    const attempt = failures(message) + 1;
    try {
      call(String(message.content));
      console.log(`attempt ${attempt}: called ${message.content}`);
    } catch (error) {
      console.log(`attempt ${attempt}: ${error.message}`);
      if (attempt < ATTEMPTS) {
        channel.reject(message, false); // to webhooks.wait
        return;
      }
      // Publish first, then acknowledge: a crash in between duplicates the message, but does not lose it.
      channel.sendToQueue('webhooks.failed', message.content, message.properties);
      await channel.waitForConfirms();
    }
    channel.ack(message);
    done();
  }, { consumerTag }));
  await channel.cancel(consumerTag);
}

/** Retries all failed messages, as a later process does. Drops their headers, so that the count starts again. */
async function retryFailed(channel) {
  for (let message = await channel.get('webhooks.failed'); message; message = await channel.get('webhooks.failed')) {
    console.log('back to webhooks');
    channel.sendToQueue('webhooks', message.content, { persistent: true });
    await channel.waitForConfirms();
    channel.ack(message);
  }
}

async function main(pauseMs) {
  const refuse = (host) => { throw new Error(`${host} is down`); };
  const accept = () => {};

  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await declare(channel, pauseMs);
  channel.sendToQueue('webhooks', Buffer.from('example.com'), { persistent: true });

  await work(channel, refuse);
  await retryFailed(channel); // the next morning
  await work(channel, accept);

  for (const queue of ['webhooks', 'webhooks.wait', 'webhooks.failed']) await channel.deleteQueue(queue);
  await connection.close();
}

main(Number(process.argv[2] ?? 1) * 1000);
