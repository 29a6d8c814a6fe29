// Delay messages with an exchange: delayed_exchange.py with amqplib.
//
// usage: delayed_exchange.cjs [SECONDS]

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

async function remind(channel, text, delayMs) {
  channel.publish('later', 'reminders', Buffer.from(text), { persistent: true, headers: { 'x-delay': delayMs } });
  await channel.waitForConfirms();
  console.log(`requested: ${text}`);
}

async function main(delayMs) {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  // When the delay is over, route like a direct exchange.
  await channel.assertExchange('later', 'x-delayed-message', { arguments: { 'x-delayed-type': 'direct' } });
  await channel.assertQueue('reminders');
  await channel.bindQueue('reminders', 'later', 'reminders');
  await remind(channel, 'go home', 2 * delayMs);
  await remind(channel, 'take the cake out', delayMs);

  let due = 0;
  await new Promise((done) => channel.consume('reminders', (message) => {
    if (message === null) return; // the queue was deleted
    console.log(`reminder: ${message.content}`);
    channel.ack(message);
    due += 1;
    if (due === 2) done();
  }));

  await channel.deleteQueue('reminders');
  await channel.deleteExchange('later');
  await connection.close();
}

main(Number(process.argv[2] ?? 2) * 1000);
