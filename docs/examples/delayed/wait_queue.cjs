// Delay messages with a queue: wait_queue.py with amqplib.
//
// usage: wait_queue.cjs [SECONDS]

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

/** Only the first message of a queue expires, so each delay has its own queue. */
async function remind(channel, text, delayMs) {
  const wait = `reminders.in.${delayMs}ms`;
  await channel.assertQueue(wait, {
    messageTtl: delayMs,
    deadLetterExchange: '',
    deadLetterRoutingKey: 'reminders',
    expires: delayMs + 60_000, // the queue is deleted some time after its last use
  });
  channel.sendToQueue(wait, Buffer.from(text), { persistent: true });
  await channel.waitForConfirms();
  console.log(`requested: ${text}`);
  return wait;
}

async function main(delayMs) {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('reminders');
  const waits = [
    await remind(channel, 'go home', 2 * delayMs),
    await remind(channel, 'take the cake out', delayMs),
  ];

  let due = 0;
  await new Promise((done) => channel.consume('reminders', (message) => {
    if (message === null) return; // the queue was deleted
    console.log(`reminder: ${message.content}`);
    channel.ack(message);
    due += 1;
    if (due === 2) done();
  }));

  for (const queue of [...waits, 'reminders']) await channel.deleteQueue(queue);
  await connection.close();
}

main(Number(process.argv[2] ?? 2) * 1000);
