// Strict order with a second consumer in standby: main.py with amqplib.

const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';

const BOOKINGS = ['open the account', 'deposit 100', 'withdraw 80', 'withdraw 20', 'close the account'];

/** A cashier with her own connection. `gone` resolves when she has crashed or closed the account. */
async function cashier(name, diesOver) {
  const connection = await amqp.connect(URL);
  connection.on('error', () => {}); // a lost connection raises an error
  const channel = await connection.createChannel();
  await channel.prefetch(1); // no next booking until this one is acknowledged
  const gone = new Promise((resolve) => {
    channel.consume('bookings', async (message) => {
      const booking = String(message.content);
      if (booking === diesOver) {
        console.log(`${name}: crashes at '${booking}'`);
        connection.connection.stream.destroy(); // as in a power failure
        resolve();
        return;
      }
      console.log(`${name}: ${booking}`);
      channel.ack(message);
      if (booking === BOOKINGS.at(-1)) {
        await connection.close();
        resolve();
      }
    }).then(() => console.log(`${name}: here`));
  });
  await channel.checkQueue('bookings'); // answered after the consumer is registered
  return { gone };
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('bookings', { arguments: { 'x-single-active-consumer': true } });

  const ann = await cashier('Ann', 'withdraw 80');
  const bob = await cashier('Bob'); // consumes too, and receives nothing while Ann is connected
  for (const booking of BOOKINGS) channel.sendToQueue('bookings', Buffer.from(booking), { persistent: true });
  await channel.waitForConfirms();
  await ann.gone;
  await bob.gone;

  await channel.deleteQueue('bookings');
  await connection.close();
}

main().then(() => process.exit()); // Ann's connection would keep the process running
