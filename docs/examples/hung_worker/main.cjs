// A message goes to another worker when the first one hangs, although its connection stays open: main.py with amqplib.

const { setTimeout: sleep } = require('node:timers/promises');
const amqp = require('amqplib');

const URL = process.env.AMQP_URL ?? 'amqp://guest:guest@localhost:5672/';
const LOCK_MS = 1000;

async function worker(name) {
  const connection = await amqp.connect(URL);
  const channel = await connection.createConfirmChannel();
  return {
    connection,
    async begin() {
      for (;;) {
        const message = await channel.get('reports');
        if (message) {
          console.log(`${name}: begins ${message.content}${message.fields.redelivered ? ' again' : ''}`);
          return message;
        }
        await sleep(50);
      }
    },
    /** Process the report, and renew its lock every half second. */
    async work(message, seconds) {
      for (let i = 0; i < seconds * 2; i += 1) {
        await sleep(500);
        const headers = { 'x-delivery-tag': message.fields.deliveryTag };
        channel.sendToQueue('amq.renew-lock', Buffer.alloc(0), { headers, mandatory: true });
        await channel.waitForConfirms();
      }
    },
    finish(message) {
      channel.ack(message);
      console.log(`${name}: finished`);
    },
  };
}

async function main() {
  const connection = await amqp.connect(URL);
  const channel = await connection.createChannel();
  const lock = { 'x-consumer-timeout': LOCK_MS, 'x-consumer-timeout-action': 'return' };
  await channel.assertQueue('reports', { arguments: lock });
  const ann = await worker('Ann');
  const bob = await worker('Bob');
  const carl = await worker('Carl');

  channel.sendToQueue('reports', Buffer.from('the yearly report'));
  const late = await ann.begin();
  console.log('Ann hangs');
  bob.finish(await bob.begin());
  ann.finish(late); // too late, and without effect

  channel.sendToQueue('reports', Buffer.from('the long report'));
  const report = await carl.begin();
  await carl.work(report, 3);
  carl.finish(report);

  for (const { connection: each } of [ann, bob, carl]) await each.close();
  const { messageCount } = await channel.checkQueue('reports');
  console.log(`${messageCount} reports are left`);
  await channel.deleteQueue('reports');
  await connection.close();
}

main();
